#!/usr/bin/env node
// Writes chain/abi/<Contract>.json from a fresh compile of contracts/: what Python deploys and calls.
//
//   node contracts/script/export-abi.mjs           writes the files
//   node contracts/script/export-abi.mjs --check   writes nothing; exit status 1 and the names of files that differ

import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const CONTRACTS = ["AccessManager", "InvestorSBT", "SecurityToken", "TimelockController", "CollateralVault", "DepositForwarder", "AggregatorV3Interface"];
/** A simulator, deployed by the demo's and the tests' profiles alone. */
const DEMO = ["DemoPriceFeed"];
// Safe's own published build, unmodified: an audited contract is deployed with the very bytecode that was audited.
const SAFE = "@safe-global/safe-smart-account";
const PUBLISHED = {
  Safe: "contracts/Safe.sol/Safe.json",
  SafeProxy: "contracts/proxies/SafeProxy.sol/SafeProxy.json",
  SafeProxyFactory: "contracts/proxies/SafeProxyFactory.sol/SafeProxyFactory.json",
};

const project = dirname(dirname(fileURLToPath(import.meta.url)));
const target = join(dirname(project), "chain", "abi");
const forge = createRequire(import.meta.url).resolve("@foundry-rs/forge/package.json");

/** Compiles `src` or `demo` into a folder of its own, so that neither a cache nor the tests' profile has a say. */
function compile(folder, sources) {
  const { bin } = JSON.parse(readFileSync(forge, "utf8"));
  const program = join(dirname(forge), typeof bin === "string" ? bin : bin.forge);
  const environment = Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith("FOUNDRY_")));
  const out = join(folder, `out-${sources}`);
  execFileSync(process.execPath, [program, "build", sources, "--force", "--silent", "--out", out, "--cache-path", join(folder, `cache-${sources}`)], {
    cwd: project,
    env: environment,
    stdio: ["ignore", "ignore", "inherit"],
  });
  return out;
}

/** The file's text: interface, creation code, and what must stand on the chain afterwards; in a fixed order of keys. */
function describe(out, name) {
  const { abi, bytecode, deployedBytecode, metadata } = JSON.parse(readFileSync(join(out, `${name}.sol`, `${name}.json`), "utf8"));
  if (Object.keys(bytecode.linkReferences ?? {}).length > 0) throw new Error(`${name} needs linking`);
  const { optimizer, viaIR, evmVersion } = metadata?.settings ?? {};
  const settings = [optimizer?.enabled ? `optimizer ${optimizer.runs} runs` : "no optimizer", ...(viaIR ? ["via IR"] : []), `EVM ${evmVersion}`].join(", ");
  const described = { contract: name, compiler: metadata?.compiler?.version, settings, abi, bytecode: bytecode.object };
  const text = JSON.stringify({ ...described, runtime: deployedBytecode.object, immutables: immutables(name, deployedBytecode) }, null, 1);
  return `${text}\n`;
}

/** Where the constructor writes a value into the code: the places of each immutable, as "start start …", 32 bytes each. */
function immutables(name, { immutableReferences }) {
  return Object.values(immutableReferences ?? {}).map((places) => {
    if (places.some(({ length }) => length !== 32)) throw new Error(`${name} has an immutable that is not a word`);
    return places.map(({ start }) => start).join(" ");
  });
}

/** The same for a contract that its authors published compiled, with where it comes from and under which licence. */
function describePublished(name) {
  const root = join(dirname(project), "node_modules", SAFE);
  const { version, license } = JSON.parse(readFileSync(join(root, "package.json"), "utf8"));
  const { abi, bytecode, deployedBytecode, linkReferences } = JSON.parse(readFileSync(join(root, "build", "artifacts", PUBLISHED[name]), "utf8"));
  if (Object.keys(linkReferences ?? {}).length > 0) throw new Error(`${name} needs linking`);
  const text = JSON.stringify({ contract: name, source: `${SAFE}@${version}, unmodified`, license, abi, bytecode, runtime: deployedBytecode, immutables: [] }, null, 1);
  return `${text}\n`;
}

const folder = mkdtempSync(join(tmpdir(), "musubi-abi-"));
try {
  const built = { src: compile(folder, "src"), demo: compile(folder, "demo") };
  const different = [];
  const ours = [...CONTRACTS.map((name) => [name, describe(built.src, name)]), ...DEMO.map((name) => [name, describe(built.demo, name)])];
  const texts = [...ours, ...Object.keys(PUBLISHED).map((name) => [name, describePublished(name)])];
  for (const [name, fresh] of texts) {
    const path = join(target, `${name}.json`);
    if (existsSync(path) && readFileSync(path, "utf8") === fresh) continue;
    different.push(name);
    if (!process.argv.includes("--check")) {
      mkdirSync(target, { recursive: true });
      writeFileSync(path, fresh);
    }
  }
  if (process.argv.includes("--check") && different.length > 0) {
    console.error(`chain/abi differs from the contracts: ${different.join(", ")}. Run: node contracts/script/export-abi.mjs`);
    process.exitCode = 1;
  } else {
    console.log(different.length > 0 ? `wrote ${different.join(", ")}` : "chain/abi is up to date");
  }
} finally {
  rmSync(folder, { recursive: true, force: true });
}
