#!/usr/bin/env node
// Mutation testing: changes src/ in one place at a time and sees whether a test notices.
//
//   node contracts/script/mutate.mjs [--kinds RR,CR] [--sample N] [--minutes N] [--file SecurityToken.sol] [--functions mint,_issueTo] [--list] [--survivors] [--again]
//
// Works on a copy under .run/mutation; results.jsonl there holds one line per mutant and is continued by the next run. A result
// counts as long as its file and the code of the contracts it goes into are the same. After tests were added, --survivors judges again what
// survived; after tests were changed or taken away, --again starts anew.
//
// Mutants come from the compiler's own syntax tree. One that does not compile is no mutant, nor one whose bytecode is the
// original's. The tests deploy by artifact, so a mutant is tried by putting its bytecode in the artifact's place. They are compiled
// by the dozen, each a copy of its own that shares everything it does not change: every mutant's bytecode is the one it would have
// alone. Mutants with the same bytecode are tried once. Fuzzing has a fixed seed and forgets its failures, so that a result does
// not hang on luck nor on the mutant before. The unit tests run first, the stateful ones only against what survives them.
// Exit status 1: a revert mutant survived or fewer than 90 % of the others fell.
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { appendFileSync, cpSync, existsSync, mkdirSync, readFileSync, readdirSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join, posix, relative } from "node:path";
import { fileURLToPath } from "node:url";

const project = dirname(dirname(fileURLToPath(import.meta.url)));
const work = join(dirname(project), ".run", "mutation");
const modules = join(dirname(project), "node_modules");
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
    .filter((name) => name.endsWith(".sol"))
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
  /** `instead`: the same change in other words, for where the compiler does not take the first. */
  const put = (kind, start, length, by, instead) => found.push({ kind, file, start, length, by, instead });
  const wanted = option("functions")?.split(",");
  const meant = (node) => !wanted || wanted.includes(node.name);

  function walk(node, inFunction) {
    if (Array.isArray(node)) return node.forEach((child) => walk(child, inFunction));
    if (node === null || typeof node !== "object") return;
    if (node.nodeType) visit(node, inFunction);
    const inside = inFunction || ((["FunctionDefinition", "ModifierDefinition"].includes(node.nodeType) || node.constant === true) && meant(node));
    for (const [key, child] of Object.entries(node)) if (key !== "documentation") walk(child, inside);
  }
  function visit(node, inFunction) {
    if (!inFunction) return;
    const [start, length] = span(node);
    const source = bytes.subarray(start, start + length).toString();
    if (["ExpressionStatement", "EmitStatement", "RevertStatement"].includes(node.nodeType)) {
      put("CR", start, length, "{}" + (source.endsWith(";") ? "" : " //"), "");
      // A constructor that reverts for sure never sets its immutables, which is an error.
      if (node.nodeType !== "RevertStatement") put("RR", start, length, "revert()", "require(false)");
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
    if (node.nodeType === "Literal" && node.kind === "number") {
      const next = String(BigInt(Math.trunc(Number(node.value.replaceAll("_", "")))) + 1n);
      put("LIR", start, length, node.subdenomination ? `${next} ${node.subdenomination}` : next);
    }
    if (node.nodeType === "Literal" && node.kind === "bool") put("LIR", start, length, node.value === "true" ? "false" : "true");
  }
  walk(tree(text), false);
  // A name with a capital is the constructor of a base.
  for (const node of tree(text).nodes) if (node.nodeType === "ContractDefinition") for (const member of node.nodes) if (member.nodeType === "FunctionDefinition" && meant(member)) for (const modifier of member.modifiers) {
    if (/^[a-z]/.test(modifier.modifierName.name)) put("MOD", ...span(modifier), "");
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

// ------------------------------------------------------------------------------------------------------------- compiling

const BATCH = 24;
const texts = new Map(sources(join(project, "src")).map((name) => [name, readFileSync(join(project, "src", name), "utf8")]));
const trees = new Map([...texts].map(([name, text]) => [name, tree(text)]));

/** A source of ours and all of ours that it imports, itself or through others. */
function reach(file, seen = new Set()) {
  if (seen.has(file)) return seen;
  seen.add(file);
  for (const node of trees.get(file).nodes) {
    if (node.nodeType === "ImportDirective" && node.file.startsWith(".")) reach(posix.join(posix.dirname(file), node.file), seen);
  }
  return seen;
}

/** What is deployed, by the file that holds it. */
const TARGETS = [...texts.keys()].filter((file) => trees.get(file).nodes.some((node) => node.nodeType === "ContractDefinition" && node.contractKind === "contract" && !node.abstract));
const nameOf = (target) => posix.basename(target, ".sol");
const targetsOf = (file) => TARGETS.filter((target) => reach(target).has(file));
const digest = (...parts) => createHash("sha256").update(parts.join("\0")).digest("hex");

/** The text of a source unit. `0007/…` is the tree as the seventh of the batch has it: only what it changes, and what imports that, are copies; the rest stands for the file in `src/`. */
function unit(path, batch) {
  const [, number, file] = /^(\d{4})\/(.*)$/.exec(path) ?? [];
  if (!number) return path.startsWith("src/") ? texts.get(path.slice(4)) : readFileSync(join(modules, path), "utf8");
  const variant = batch[Number(number)];
  if (file === variant.file) return variant.text;
  return reach(file).has(variant.file) ? texts.get(file) : `// SPDX-License-Identifier: MIT\npragma solidity ^0.8.0;\nimport "src/${file}";\n`;
}

/** For each `{ file, text }`, the code of the contracts the file goes into; null if it does not compile. */
function compile(batch) {
  if (batch.length === 0) return [];
  const paths = batch.map(({ file }, index) => targetsOf(file).map((target) => `${String(index).padStart(4, "0")}/${target}`));
  const wanted = ["evm.bytecode.object", "evm.deployedBytecode.object", "evm.deployedBytecode.immutableReferences"];
  const outputSelection = Object.fromEntries(paths.flat().map((path) => [path, { [nameOf(path)]: wanted }]));
  const settings = { evmVersion: "cancun", optimizer: { enabled: false }, metadata: { appendCBOR: false, bytecodeHash: "none" }, outputSelection };
  const input = { language: "Solidity", sources: Object.fromEntries(paths.flat().map((path) => [path, { content: unit(path, batch) }])), settings };
  const output = JSON.parse(solc.compile(JSON.stringify(input), { import: (path) => ({ contents: unit(path, batch) }) }));
  const errors = (output.errors ?? []).filter(({ severity }) => severity === "error");
  if (errors.length === 0) return paths.map((list) => Object.fromEntries(list.map((path) => [nameOf(path), output.contracts[path][nameOf(path)].evm])));
  if (batch.length === 1) return [null];
  const wrong = new Set(errors.map(({ sourceLocation }) => Number(/^(\d{4})\//.exec(sourceLocation?.file ?? "")?.[1] ?? NaN)).filter((index) => !Number.isNaN(index)));
  if (wrong.size === 0) return [...compile(batch.slice(0, batch.length / 2)), ...compile(batch.slice(batch.length / 2))];
  const rest = compile(batch.filter((_, index) => !wrong.has(index)));
  return batch.map((_, index) => (wrong.has(index) ? null : rest.shift()));
}

// --------------------------------------------------------------------------------------------------------------- testing

const STATEFUL = "test/{HotKeys,Invariants,VaultInvariants}.t.sol";
const SEED = "0x4d7573756269"; // "Musubi"
const artifact = (name) => join(work, "out", "quick", `${name}.sol`, `${name}.json`);
const codeOf = (code) => digest(...Object.entries(code).flatMap(([name, evm]) => [name, evm.bytecode.object])).slice(0, 16);

function forge(...args) {
  const native = join(modules, "@foundry-rs", `forge-${process.platform}-${process.arch.replace("x64", "amd64")}`, "bin", "forge");
  const environment = { ...process.env, FOUNDRY_PROFILE: "quick", FOUNDRY_FUZZ_SEED: SEED, FOUNDRY_SOLC: join(work, "script", "solc-once"), SOLC_ANSWERS: join(work, "answers") };
  return spawnSync(existsSync(native) ? native : join(modules, ".bin", "forge"), args, { cwd: work, encoding: "utf8", timeout: 240_000, env: environment });
}

/** The test that fails, or "" if all pass. */
function failing(...args) {
  const run = forge("test", "--fail-fast", ...args);
  for (const name of ["fuzz", "invariant"]) rmSync(join(work, "cache", name), { recursive: true, force: true });
  if (run.error?.code === "ETIMEDOUT") return "(out of time)";
  if (!/\d+ (tests? )?(passed|succeeded)/.test(run.stdout)) throw new Error(`forge did not run: ${run.stdout}${run.stderr}`);
  // Forge's exit status is 0 after --fail-fast whatever failed, so the output says.
  if (!/\[FAIL|[1-9]\d* failed/.test(run.stdout)) return "";
  return /\[FAIL.*\] (\w+)\(/.exec(run.stdout)?.[1] ?? "(a test)";
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

const verdicts = new Map();

function verdict(code, original) {
  if (code === null) return { result: "does not compile" };
  const hash = codeOf(code);
  if (hash === codeOf(original)) return { result: "same code" };
  if (!verdicts.has(hash)) {
    install(code);
    const killer = failing("--no-match-path", STATEFUL) || failing("--match-path", STATEFUL);
    install(original);
    verdicts.set(hash, killer ? { result: "killed", killer } : { result: "survived" });
  }
  return { ...verdicts.get(hash), code: hash };
}

const originals = new Map();
/** What a result was found with: the file, and the code of the contracts it goes into. */
const stateOf = (file) => digest(texts.get(file), codeOf(originals.get(file))).slice(0, 16);

/** A copy of the project, built; its own contracts are what `compile` makes of the same text, or nothing here means anything. */
function prepare() {
  mkdirSync(work, { recursive: true });
  for (const name of ["src", "test", "script"]) rmSync(join(work, name), { recursive: true, force: true });
  for (const name of ["src", "test", "script", "foundry.toml"]) cpSync(join(project, name), join(work, name), { recursive: true });
  if (!existsSync(join(work, "node_modules"))) symlinkSync(relative(work, modules), join(work, "node_modules"));
  for (const target of TARGETS) rmSync(dirname(artifact(nameOf(target))), { recursive: true, force: true });
  const build = forge("build");
  if (build.status !== 0) throw new Error(`forge build: ${build.stdout}${build.stderr}`);
  for (const file of files) {
    // Second in a batch, behind another variant, as a mutant may stand.
    const [, code] = compile([{ file: files[0], text: texts.get(files[0]) }, { file, text: texts.get(file) }]);
    for (const [name, evm] of Object.entries(code)) {
      const built = JSON.parse(readFileSync(artifact(name), "utf8")).bytecode.object;
      if (`0x${evm.bytecode.object}` !== built) throw new Error(`${name} compiles to other code with a copy of ${file}`);
    }
    originals.set(file, code);
  }
  const fails = failing();
  if (fails) throw new Error(`the tests fail without any mutant: ${fails}`);
}

// --------------------------------------------------------------------------------------------------------------- the run

/** A fixed order that mixes the kinds: the same sample on every machine. */
function shuffled(list) {
  return [...list].sort((a, b) => (digest(a.id) < digest(b.id) ? -1 : 1));
}

function report(results) {
  const table = {};
  for (const { kind, result } of results) {
    if (!["killed", "survived"].includes(result)) continue;
    table[kind] ??= { killed: 0, survived: 0 };
    table[kind][result] += 1;
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

const files = [...texts.keys()].filter((name) => !name.startsWith("interfaces") && targetsOf(name).length > 0 && name.endsWith(option("file", "")));
let mutants = shuffled(files.flatMap((name) => mutantsOf(name, texts.get(name))));
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
prepare();
if (process.argv.includes("--again")) rmSync(results_file, { force: true });
const known = new Map();
for (const line of existsSync(results_file) ? readFileSync(results_file, "utf8").trim().split("\n").filter(Boolean) : []) {
  const entry = JSON.parse(line);
  if (!originals.has(entry.file) || entry.state !== stateOf(entry.file)) continue;
  known.set(entry.id, entry);
  if (entry.result === "killed") verdicts.set(entry.code, { result: entry.result, killer: entry.killer });
}
if (process.argv.includes("--survivors")) for (const [id, { result }] of known) if (result === "survived") known.delete(id);

const until = Date.now() + Number(option("minutes", 1e6)) * 60_000;
const outstanding = mutants.filter(({ id }) => !known.has(id));
while (outstanding.length > 0 && Date.now() < until) {
  const batch = outstanding.splice(0, BATCH);
  const codes = compile(batch.map((mutant) => ({ file: mutant.file, text: apply(texts.get(mutant.file), mutant) })));
  const again = batch.flatMap((mutant, index) => (codes[index] === null && mutant.instead !== undefined ? [index] : []));
  const others = compile(again.map((index) => ({ file: batch[index].file, text: apply(texts.get(batch[index].file), { ...batch[index], by: batch[index].instead }) })));
  for (const [place, index] of again.entries()) codes[index] = others[place];
  for (const [index, mutant] of batch.entries()) {
    const entry = { ...mutant, state: stateOf(mutant.file), ...verdict(codes[index], originals.get(mutant.file)) };
    known.set(mutant.id, entry);
    appendFileSync(results_file, `${JSON.stringify(entry)}\n`);
  }
}
const judged = mutants.filter(({ id }) => known.has(id)).map(({ id }) => known.get(id));
const none = (result) => judged.filter((entry) => entry.result === result).length;
console.log(`${judged.length} of ${mutants.length} mutants tried; ${none("does not compile")} do not compile, ${none("same code")} compile to the original's code`);
process.exitCode = report(judged) ? 0 : 1;
