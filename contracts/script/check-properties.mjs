#!/usr/bin/env node
// Holds docs/security/properties.md and the tests together:
//   - properties are numbered P-001, P-002, … without a gap, at least 150 of them;
//   - each names a test that exists in contracts/test, as `Contract.test`;
//   - each test is named by a property, so that none is there without saying what for;
//   - each test that docs/security/bad-input.md names exists, Solidity or Python;
//   - no test expects a bare `new` to revert: tests deploy by artifact, and such a test ends there, unseen;
//   - every state-changing function of the three contracts is in the table of contracts/test/Access.t.sol or in OPEN below.
// Exit status 1 and the reasons, if not.

import { existsSync, readFileSync, readdirSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const LEAST = 150;
/** Functions anybody may call, because they act on the caller's own things, or refuse everybody. */
const OPEN = {
  InvestorSBT: ["voidAttestation", "approve", "setApprovalForAll", "transferFrom", "safeTransferFrom", "setAuthority"],
  SecurityToken: ["transfer", "transferFrom", "approve", "permit", "objectToRecovery", "setAuthority"],
  // Only takes in, acts on the caller's own account, or finishes what has waited in public.
  CollateralVault: ["open", "deposit", "depositFrom", "objectToBorrowerChange", "applyBorrowerChange", "applySaleAddress", "setAuthority"],
};
const NAMES = { InvestorSBT: "sbt", SecurityToken: "token", CollateralVault: "vault" };

const contracts = dirname(dirname(fileURLToPath(import.meta.url)));
const root = dirname(contracts);
const read = (...path) => readFileSync(join(...path), "utf8");

/** Names of the tests as `Contract.test`, from the sources. */
function tests() {
  const found = new Set();
  for (const file of readdirSync(join(contracts, "test"), { recursive: true }).map(String).filter((name) => name.endsWith(".sol"))) {
    let contract = "";
    for (const line of read(contracts, "test", file).split("\n")) {
      contract = /^(?:abstract )?contract (\w+)/.exec(line)?.[1] ?? contract;
      const name = /^    function (test\w*|invariant_\w*|check_\w*)\(/.exec(line)?.[1];
      if (name) found.add(`${contract}.${name}`);
    }
  }
  return found;
}

const problems = [];
const existing = tests();
const named = new Set();
const properties = read(root, "docs", "security", "properties.md").split("\n").filter((line) => line.startsWith("- **P-"));
properties.forEach((line, index) => {
  const number = `P-${String(index + 1).padStart(3, "0")}`;
  if (!line.startsWith(`- **${number}** `)) problems.push(`expected ${number}: ${line.slice(0, 40)}`);
  const after = line.slice(line.lastIndexOf(" — ") + 3);
  const names = [...after.matchAll(/`(\w+\.\w+)`/g)].map((match) => match[1]);
  if (!line.includes(" — ") || names.length === 0) problems.push(`${number} names no test`);
  for (const name of names) {
    named.add(name);
    if (!existing.has(name)) problems.push(`${number} names ${name}, which does not exist`);
  }
});
if (properties.length < LEAST) problems.push(`${properties.length} properties, at least ${LEAST} are wanted`);
for (const name of existing) if (!named.has(name)) problems.push(`${name} belongs to no property`);

const badInput = read(root, "docs", "security", "bad-input.md");
for (const [, name] of badInput.matchAll(/`(\w+Test\.\w+)`/g)) if (!existing.has(name)) problems.push(`bad-input.md names ${name}, which does not exist`);
for (const [, file, name] of badInput.matchAll(/`([\w/]+\.py)::(\w+)`/g)) {
  if (!existsSync(join(root, file)) || !read(root, file).includes(`def ${name}(`)) problems.push(`bad-input.md names ${file}::${name}, which does not exist`);
}

for (const file of readdirSync(join(contracts, "test"), { recursive: true }).map(String).filter((name) => name.endsWith(".sol"))) {
  const text = read(contracts, "test", file);
  for (const match of text.matchAll(/expectRevert\([^;]*;\s*(vm\.prank\([^;]*;\s*)?([\w.]+ )*(\w+\s*=\s*)?new /g)) {
    problems.push(`${file}:${text.slice(0, match.index).split("\n").length} expects a bare new to revert; make it a call, as Base.deploy does`);
  }
}

const access = read(contracts, "test", "Access.t.sol");
for (const [contract, open] of Object.entries(OPEN)) {
  const target = NAMES[contract];
  for (const entry of JSON.parse(read(root, "chain", "abi", `${contract}.json`)).abi) {
    if (entry.type !== "function" || ["view", "pure"].includes(entry.stateMutability) || open.includes(entry.name)) continue;
    const signature = `${entry.name}(${entry.inputs.map(({ type }) => type).join(",")})`;
    if (!access.includes(`${target}.${entry.name},`) && !access.includes(`"${signature}"`)) problems.push(`Access.t.sol leaves out ${contract}.${signature}`);
  }
}

if (problems.length > 0) {
  console.error(problems.join("\n"));
  process.exitCode = 1;
} else {
  console.log(`${properties.length} properties, ${existing.size} tests`);
}
