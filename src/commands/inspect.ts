import { parseArgs } from "node:util";
import { openLevelShadow } from "../../storage/level-backend.ts";
import { lockHolder } from "../../storage/node-lock.ts";
import { hexId } from "../server/ids.ts";
import { type Inspected, inspectMember, type Judgement, judge } from "../server/inspection.ts";
import type { CommandDeps } from "./commands.ts";

const USAGE = `Usage: quorate inspect [--json] DATA-DIR[,WAL-DIR]...

  Says what the data directories of stopped members hold, whether they are
  damaged, and which of them has the most. Changes nothing.

  --json    for programs
  --help    print this and exit
`;
const WIDTH = 80;
const LABEL = 14;

/** Resolves with the exit code: 1 when there is nothing that a member could be started with. */
export async function inspect(words: readonly string[], deps: CommandDeps): Promise<number> {
  let places: readonly string[];
  let json: boolean;
  try {
    const { values, positionals } = parseArgs({
      args: [...words],
      options: { json: { type: "boolean" }, help: { type: "boolean", short: "h" } },
      allowPositionals: true,
    });
    if (values.help === true) {
      deps.out(USAGE);
      return 0;
    }
    places = positionals;
    json = values.json === true;
    if (places.length === 0) throw new Error("which data directories?");
  } catch (error) {
    deps.err(`${error instanceof Error ? error.message : error}\n\n${USAGE}`);
    return 2;
  }
  const inspected: Inspected[] = [];
  for (const place of places) {
    const [dataDir = "", walDir = `${dataDir}/member/wal`] = place.split(",");
    inspected.push(
      await inspectMember({ dataDir, walDir }, { disk: deps.readOnlyDisk, openStore: openLevelShadow, lockHolder }),
    );
  }
  const verdict = judge(inspected);
  deps.out(json ? `${jsonOf(inspected, verdict)}\n` : textOf(inspected, verdict));
  return verdict.best === undefined ? 1 : 0;
}

function jsonOf(inspected: readonly Inspected[], { best, hasQuorum, remarks }: Judgement): string {
  const members = inspected.map(({ log, ...member }) => ({ ...member, log: log && { ...log } }));
  const plain = { members, best: best?.dataDir ?? null, hasQuorum, remarks };
  return JSON.stringify(plain, (_, value) => (typeof value === "bigint" ? hexId(value) : value), 2);
}

export function textOf(inspected: readonly Inspected[], verdict: Judgement): string {
  const lines = inspected.flatMap((member) => [...linesOf(member), ""]);
  lines.push(...wrapped("", verdictOf(verdict)));
  for (const remark of verdict.remarks) lines.push(...wrapped("Note:", remark, 6));
  return `${lines.join("\n")}\n`;
}

function linesOf(inspected: Inspected): string[] {
  const { dataDir, runsAs, memberId, clusterId, log, state, members, damage } = inspected;
  const lines = [dataDir];
  const row = (label: string, text: string): void => void lines.push(...wrapped(`  ${label}`, text));
  if (runsAs !== undefined) row("in use", `by process ${runsAs}; it was not looked at`);
  if (memberId !== undefined && clusterId !== undefined) {
    const own = members.find(({ id }) => id === memberId);
    const kind = own?.isLearner === true ? ", a learner" : "";
    row("member", `${hexId(memberId)}${own?.name ? ` (${own.name})` : ""}${kind}, cluster ${hexId(clusterId)}`);
  }
  if (log !== undefined) {
    const { firstIndex, lastIndex, lastTerm, tornBytes } = log;
    const range = lastIndex < firstIndex ? `no entries behind ${lastIndex}` : `entries ${firstIndex} to ${lastIndex}`;
    row("log", `${range}; last: entry ${lastIndex} of term ${lastTerm}`);
    row("promises", `term ${log.term}, vote ${hexId(log.vote)}, commit ${log.commit}`);
    if (tornBytes > 0) row("torn write", `${tornBytes} bytes at the end, which were never acknowledged`);
  }
  if (state !== undefined) {
    row("state store", `at entry ${state.appliedIndex} of term ${state.appliedTerm}, revision ${state.revision}`);
  }
  for (const { id, name, peerURLs, isLearner } of members) {
    const about = [name || "(not started)", ...peerURLs, ...(isLearner ? ["learner"] : [])].join(" ");
    row(id === members[0]?.id ? "members" : "", `${hexId(id)} ${about}`);
  }
  for (const what of damage) row("DAMAGE", what);
  return lines;
}

function verdictOf({ best, hasQuorum }: Judgement): string {
  if (best === undefined) return "There is nothing here that a member could be started with.";
  const { dataDir, log } = best;
  const most = `${dataDir} has the most (entry ${log?.lastIndex} of term ${log?.lastTerm}).`;
  if (hasQuorum) {
    return (
      `${most} A majority of its members is here and whole, so nothing is lost: start them all as ever, without ` +
      "--force-new-cluster."
    );
  }
  return (
    `${most} If no more members than these can be brought back, start this one with --force-new-cluster, and add new ` +
    "members to it."
  );
}

/** Lines of at most WIDTH, the label in front of the first. Words longer than a line stay whole. */
function wrapped(label: string, text: string, indent = label === "" ? 0 : LABEL): string[] {
  const lines: string[] = [];
  let line = label.padEnd(indent);
  let isEmpty = true;
  for (const word of text.split(" ")) {
    if (!isEmpty && line.length + 1 + word.length > WIDTH) {
      lines.push(line);
      line = " ".repeat(indent);
      isEmpty = true;
    }
    line += isEmpty ? word : ` ${word}`;
    isEmpty = false;
  }
  return [...lines, line];
}
