#!/usr/bin/env node
// Compares what Slither found (its JSON, first argument) with what docs/security/slither.md answers: per detector and place, in
// the table's first two columns. Exit status 1 for a finding without an answer, or an answer to a finding that is gone.

import { readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const root = dirname(dirname(dirname(fileURLToPath(import.meta.url))));
const answers = new Set(
  readFileSync(join(root, "docs", "security", "slither.md"), "utf8")
    .split("\n")
    .map((line) => /^\| ([a-z-]+) \| `([^`]+)` \|/.exec(line))
    .filter(Boolean)
    .map(([, detector, place]) => `${detector} ${place}`),
);

/** `Contract.element` of a finding's first element: what stays the same when lines move. */
function place({ elements }) {
  const [{ name, type, type_specific_fields: fields }] = elements;
  const parent = fields?.parent;
  if (type === "variable" && parent?.type === "function") return `${parent.type_specific_fields.parent.name}.${parent.name}.${name}`;
  return `${parent?.name}.${name}`;
}

const { results, success, error } = JSON.parse(readFileSync(process.argv[2], "utf8"));
if (!success) throw new Error(`Slither failed: ${error}`);
const found = new Set((results.detectors ?? []).map((finding) => `${finding.check} ${place(finding)}`));
const unanswered = [...found].filter((finding) => !answers.has(finding));
const gone = [...answers].filter((answer) => !found.has(answer));
for (const finding of unanswered) console.error(`no answer in docs/security/slither.md: ${finding}`);
for (const answer of gone) console.error(`answered, but not found any more: ${answer}`);
console.log(`SLITHER findings=${found.size} unanswered=${unanswered.length}`);
process.exitCode = unanswered.length + gone.length > 0 ? 1 : 0;
