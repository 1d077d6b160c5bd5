#!/usr/bin/env node
// Mutation testing: changes src/ in one place at a time and sees whether a test notices.
//
//   node contracts/script/mutate.mjs [--kinds RR,CR] [--sample N] [--minutes N] [--file SecurityToken.sol] [--list] [--again]
//
// Works on a copy under .run/mutation; results.jsonl there holds one line per mutant and is continued by the next run (--again
// starts anew, which is right after sources or tests changed). Mutants come from the compiler's own syntax tree. A mutant that
// does not compile is no mutant, nor one whose bytecode is the original's. The tests deploy by artifact, so each mutant is
// compiled alone, by a compiler that stays loaded, and its bytecode put in the artifact's place. The unit tests run first, the
// stateful ones only against what survives them. Exit status 1: a revert mutant survived or fewer than 90 % of the others fell.
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { appendFileSync, cpSync, existsSync, mkdirSync, readFileSync, readdirSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join, relative } from "node:path";
import { fileURLToPath } from "node:url";

const project = dirname(dirname(fileURLToPath(import.meta.url)));
const work = join(dirname(project), ".run", "mutation");
const solc = createRequire(import.meta.url)("solc");

/** What slither-mutate calls these kinds; RR is "the statement reverts". */
const SWAPS = {
  "<": ["<=", ">="], "<=": ["<", ">"], ">": [">=", "<="], ">=": [">", "<"], "==": ["!="], "!=": ["=="],
  "+": ["-"], "-": ["+"], "*": ["+"], "/": ["*"], "%": ["+"], "&&": ["||"], "||": ["&&"], "&": ["|"], "|": ["&"], "<<": [">>"], ">>": ["<<"],
  "+=": ["-="], "-=": ["+="], "|=": ["&="], "&=": ["|="], "=": [],
};
const KIND_OF = (operator) => (/^[<>=!]=?$/.test(operator) ? "ROR" : ["&&", "||"].includes(operator) ? "LOR" : "AOR");

function option(name, fallback) {
  const at = process.argv.indexOf(`--${name}`);
  return at < 0 ? fallback : process.argv[at + 1];
}

function sources(folder) {
  return readdirSync(folder, { recursive: true })
    .map(String)
    .filter((name) => name.endsWith(".sol") && !name.startsWith("interfaces"))
    .sort();
}

function tree(text) {
  const input = { language: "Solidity", sources: { file: { content: text } }, settings: { stopAfter: "parsing", outputSelection: { "*": { "": ["ast"] } } } };
  return JSON.parse(solc.compile(JSON.stringify(input))).sources.file.ast;
}

/** Every mutant of one file: where, what stands there, what shall. Offsets are in bytes. */
function mutantsOf(file, text) {
  const bytes = Buffer.from(text);
  const found = [];
  const span = (node) => node.src.split(":").slice(0, 2).map(Number);
  const put = (kind, start, length, by) => found.push({ kind, file, start, length, by });

  function walk(node, inFunction) {
    if (Array.isArray(node)) return node.forEach((child) => walk(child, inFunction));
    if (node === null || typeof node !== "object") return;
    if (node.nodeType) visit(node, inFunction);
    const inside = inFunction || node.nodeType === "FunctionDefinition" || node.nodeType === "ModifierDefinition";
    for (const [key, child] of Object.entries(node)) if (key !== "documentation") walk(child, inside);
  }
  function visit(node, inFunction) {
    if (!inFunction) return;
    const [start, length] = span(node);
    const source = bytes.subarray(start, start + length).toString();
    if (["ExpressionStatement", "EmitStatement", "RevertStatement"].includes(node.nodeType)) {
      put("CR", start, length, "{}" + (source.endsWith(";") ? "" : " //"));
      if (node.nodeType === "ExpressionStatement") put("RR", start, length, "revert()");
      if (node.nodeType === "EmitStatement") put("RR", start, length, "revert()");
    }
    if (node.nodeType === "Return" && node.expression) put("RR", start, length, "revert()");
    if (node.nodeType === "IfStatement") {
      const [from, size] = span(node.condition);
      put("MIA", from, size, "true");
      put("MIA", from, size, "false");
    }
    if (node.nodeType === "BinaryOperation" || node.nodeType === "Assignment") {
      const left = node.leftExpression ?? node.leftHandSide;
      const right = node.rightExpression ?? node.rightHandSide;
      const from = span(left)[0] + span(left)[1];
      const between = bytes.subarray(from, span(right)[0]).toString();
      const at = between.indexOf(node.operator);
      for (const by of SWAPS[node.operator] ?? []) put(KIND_OF(node.operator), from + Buffer.byteLength(between.slice(0, at)), node.operator.length, by);
    }
    if (node.nodeType === "UnaryOperation" && node.operator === "!") put("UOR", start, 1, "");
    if (node.nodeType === "UnaryOperation" && node.operator === "++") put("UOR", node.prefix ? start : start + length - 2, 2, "--");
    if (node.nodeType === "UnaryOperation" && node.operator === "--") put("UOR", node.prefix ? start : start + length - 2, 2, "++");
    if (node.nodeType === "Literal" && node.kind === "number" && !node.subdenomination) put("LIR", start, length, String(BigInt(Math.trunc(Number(node.value))) + 1n));
    if (node.nodeType === "Literal" && node.kind === "bool") put("LIR", start, length, node.value === "true" ? "false" : "true");
  }
  walk(tree(text), false);
  for (const node of tree(text).nodes) if (node.nodeType === "ContractDefinition") for (const member of node.nodes) if (member.nodeType === "FunctionDefinition") for (const modifier of member.modifiers) {
    if (["restricted", "delayed"].includes(modifier.modifierName.name)) put("MOD", ...span(modifier), "");
  }
  return found.map((mutant) => {
    const before = bytes.subarray(0, mutant.start).toString();
    const was = bytes.subarray(mutant.start, mutant.start + mutant.length).toString();
    const line = before.split("\n").length;
    return { ...mutant, line, was, id: `${mutant.kind} ${file}:${line}:${mutant.start} ${mutant.by}` };
  });
}

function apply(text, mutant) {
  const bytes = Buffer.from(text);
  return Buffer.concat([bytes.subarray(0, mutant.start), Buffer.from(mutant.by), bytes.subarray(mutant.start + mutant.length)]).toString();
}

function forge(...args) {
  const program = join(dirname(project), "node_modules", ".bin", "forge");
  const environment = { ...process.env, FOUNDRY_PROFILE: "quick" };
  return spawnSync(program, ["test", "--fail-fast", ...args], { cwd: work, encoding: "utf8", timeout: 240_000, env: environment });
}

function survives(...args) {
  const run = forge(...args);
  if (run.error?.code === "ETIMEDOUT") return false;
  if (!/\d+ (tests? )?(passed|succeeded)/.test(run.stdout)) throw new Error(`forge did not run: ${run.stdout}${run.stderr}`);
  // Forge's exit status is 0 after --fail-fast whatever failed, so the output says.
  return !/\[FAIL|[1-9]\d* failed/.test(run.stdout);
}

const TARGETS = ["SecurityToken", "InvestorSBT", "CollateralVault"];
/** Files that only one of the contracts uses; the rest belong to all. */
const ONLY = { "SecurityToken.sol": 0, "libraries/AccountWord.sol": 0, "libraries/Restriction.sol": 0, "InvestorSBT.sol": 1, "libraries/SbtWord.sol": 1, "CollateralVault.sol": 2, "DepositForwarder.sol": 2 };
const STATEFUL = "test/{HotKeys,Invariants,VaultInvariants}.t.sol";
const artifact = (name) => join(work, "out", "quick", `${name}.sol`, `${name}.json`);

/** Creation and runtime code of the contracts a file goes into, with `text` in its place; null if it does not compile. */
function compile(file, text) {
  const names = file in ONLY ? [TARGETS[ONLY[file]]] : TARGETS;
  const read = (path) => (path === `src/${file}` ? text : readFileSync(join(work, path.startsWith("@") ? join("node_modules", path) : path), "utf8"));
  const outputSelection = { "*": { "*": ["evm.bytecode.object", "evm.deployedBytecode.object", "evm.deployedBytecode.immutableReferences"] } };
  const settings = { evmVersion: "cancun", optimizer: { enabled: false }, metadata: { appendCBOR: false, bytecodeHash: "none" }, outputSelection };
  const input = { language: "Solidity", sources: Object.fromEntries(names.map((name) => [`src/${name}.sol`, { content: read(`src/${name}.sol`) }])), settings };
  const output = JSON.parse(solc.compile(JSON.stringify(input), { import: (path) => ({ contents: read(path) }) }));
  if ((output.errors ?? []).some(({ severity }) => severity === "error")) return null;
  return Object.fromEntries(names.map((name) => [name, output.contracts[`src/${name}.sol`][name].evm]));
}

function install(code) {
  for (const [name, evm] of Object.entries(code)) {
    const json = JSON.parse(readFileSync(artifact(name), "utf8"));
    json.bytecode.object = `0x${evm.bytecode.object}`;
    json.deployedBytecode.object = `0x${evm.deployedBytecode.object}`;
    json.deployedBytecode.immutableReferences = evm.deployedBytecode.immutableReferences;
    writeFileSync(artifact(name), JSON.stringify(json));
  }
}

const unchanged = new Map();

function judge(mutant, original) {
  if (!unchanged.has(mutant.file)) unchanged.set(mutant.file, compile(mutant.file, original));
  const code = compile(mutant.file, apply(original, mutant));
  const before = unchanged.get(mutant.file);
  if (code === null || Object.keys(code).every((name) => code[name].bytecode.object === before[name].bytecode.object)) return "no mutant";
  install(code);
  const result = survives("--no-match-path", STATEFUL) && survives("--match-path", STATEFUL) ? "survived" : "killed";
  install(before);
  return result;
}

/** A fixed order that mixes the kinds: the same sample on every machine. */
function shuffled(list) {
  const key = (mutant) => createHash("sha256").update(mutant.id).digest("hex");
  return [...list].sort((a, b) => (key(a) < key(b) ? -1 : 1));
}

function report(results) {
  const table = {};
  for (const { kind, result } of results) {
    if (result === "no mutant") continue;
    table[kind] ??= { killed: 0, survived: 0 };
    table[kind][result === "survived" ? "survived" : "killed"] += 1;
  }
  console.log("kind  killed  survived");
  for (const [kind, row] of Object.entries(table).sort()) console.log(`${kind.padEnd(5)} ${String(row.killed).padStart(6)} ${String(row.survived).padStart(9)}`);
  for (const entry of results.filter(({ result }) => result === "survived")) console.log(`survived: ${entry.kind} ${entry.file}:${entry.line}  ${entry.was.replaceAll(/\s+/g, " ")}  ->  ${entry.by || "(nothing)"}`);
  const others = Object.entries(table).filter(([kind]) => kind !== "RR").map(([, row]) => row);
  const killed = others.reduce((sum, row) => sum + row.killed, 0);
  const all = others.reduce((sum, row) => sum + row.killed + row.survived, 0);
  const reverts = table.RR ?? { killed: 0, survived: 0 };
  const rate = all === 0 ? 100 : (100 * killed) / all;
  console.log(`MUTATION revert=${reverts.killed}/${reverts.killed + reverts.survived} others=${killed}/${all} (${rate.toFixed(1)} %)`);
  return reverts.survived === 0 && rate >= 90;
}

const files = sources(join(project, "src")).filter((name) => (option("file") ? name.endsWith(option("file")) : true));
const originals = Object.fromEntries(files.map((name) => [name, readFileSync(join(project, "src", name), "utf8")]));
let mutants = shuffled(files.flatMap((name) => mutantsOf(name, originals[name])));
mutants = mutants.filter((mutant, index) => mutants.findIndex(({ id }) => id === mutant.id) === index);
mutants.sort((a, b) => Number(b.kind === "RR") - Number(a.kind === "RR")); // the reverts first; the rest stays shuffled
const kinds = option("kinds")?.split(",");
if (kinds) mutants = mutants.filter(({ kind }) => kinds.includes(kind));
mutants = mutants.slice(0, Number(option("sample", mutants.length)));
if (process.argv.includes("--list")) {
  const counts = {};
  for (const { kind } of mutants) counts[kind] = (counts[kind] ?? 0) + 1;
  console.log(mutants.length, counts);
  process.exit(0);
}

const results_file = join(work, "results.jsonl");
mkdirSync(work, { recursive: true });
for (const name of ["src", "test"]) rmSync(join(work, name), { recursive: true, force: true });
for (const name of ["src", "test", "script", "foundry.toml"]) cpSync(join(project, name), join(work, name), { recursive: true });
if (!existsSync(join(work, "node_modules"))) symlinkSync(relative(work, join(dirname(project), "node_modules")), join(work, "node_modules"));
if (process.argv.includes("--again")) rmSync(results_file, { force: true });
const known = new Map((existsSync(results_file) ? readFileSync(results_file, "utf8").trim().split("\n").filter(Boolean) : []).map((line) => JSON.parse(line)).map((entry) => [entry.id, entry]));

if (!survives()) throw new Error("the tests fail without any mutant");
const until = Date.now() + Number(option("minutes", 1e6)) * 60_000;
for (const mutant of mutants) {
  if (known.has(mutant.id)) continue;
  if (Date.now() > until) break;
  const entry = { ...mutant, result: judge(mutant, originals[mutant.file]) };
  known.set(mutant.id, entry);
  appendFileSync(results_file, `${JSON.stringify(entry)}\n`);
}
const judged = mutants.filter(({ id }) => known.has(id)).map(({ id }) => known.get(id));
console.log(`${judged.length} of ${mutants.length} mutants tried, ${judged.filter(({ result }) => result === "no mutant").length} of them did not compile`);
process.exitCode = report(judged) ? 0 : 1;
