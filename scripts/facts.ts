/**
 * Which of the promised facts (docs/facts.md) have a test that names them: npm run facts -- [--json] [--contract FILE]
 * With --contract the list is also compared with the numbering of a text whose facts begin their lines with "- ID ".
 * Ends with 1 when a fact has neither a test nor a reason, or the two numberings differ.
 */
import { readFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { compareNumbering, factCoverage, isOpen } from "./fact-coverage.ts";

const { values } = parseArgs({ options: { json: { type: "boolean" }, contract: { type: "string" } } });

const facts = factCoverage();
const open = facts.filter(isOpen);
const ids = facts.map(({ id }) => id);
const { unlisted, unknown, elsewhere } =
  values.contract === undefined
    ? { unlisted: [], unknown: [], elsewhere: [] }
    : compareNumbering(ids, readFileSync(values.contract, "utf8"));

if (values.json) {
  const contract = values.contract === undefined ? {} : { contract: { unlisted, unknown, elsewhere } };
  console.log(JSON.stringify({ facts, open: open.map(({ id }) => id), ...contract }, null, 2));
} else {
  const tested = facts.filter(({ tests }) => tests.length > 0);
  const explained = facts.filter(({ untested }) => untested !== "");
  for (const { id, untested, tests } of explained) {
    console.log(`${id.padEnd(6)}${tests.length > 0 ? "in part" : "no test"}: ${untested}`);
  }
  for (const { id, about } of open) console.log(`${id.padEnd(6)}NO TEST, NO REASON: ${about}`);
  for (const id of unlisted) console.log(`${id.padEnd(6)}is in ${values.contract} and not in the list`);
  for (const id of unknown) console.log(`${id.padEnd(6)}is in the list and not in ${values.contract}`);
  if (elsewhere.length > 0) console.log(`not promised by the list: sections ${elsewhere.join(", ")}`);
  console.log(`${facts.length} facts: ${tested.length} with tests, ${explained.length} explained, ${open.length} open`);
}
process.exitCode = open.length + unlisted.length + unknown.length === 0 ? 0 : 1;
