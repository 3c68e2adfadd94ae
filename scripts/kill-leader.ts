import { execFileSync } from "node:child_process";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { readClusterFile } from "./cluster-file.ts";
import { answersRead, findLeader, type Reachable } from "./find-leader.ts";

const USAGE = `Usage: scripts/kill-leader.sh [--local [--data-dir DIR] | --compose] [--json]

Kills the leader of the cluster that runs here (SIGKILL: no goodbye) and says how long the others were without one.
  --local      the cluster of npm start, which starts the member again after 5 s
  --compose    the cluster of docker compose up
  --data-dir   where the members of npm start keep their data (./data)
  --json       one line of JSON instead of text
Without --local or --compose: the one that runs.`;

/** How long the others may take to elect: far beyond what they need, for a machine that is busy. */
const ELECTION_LIMIT_MS = 60_000;

interface Killable extends Reachable {
  kill(): void;
  /** What brings it back, for the person who reads this. */
  readonly comeback: string;
}

class Refusal extends Error {}

const root = join(dirname(fileURLToPath(import.meta.url)), "..", "..");

try {
  process.exitCode = await killLeader(process.argv.slice(2));
} catch (error) {
  if (!(error instanceof Refusal)) throw error;
  process.stderr.write(`${error.message}\n`);
  process.exitCode = 1;
}

async function killLeader(argv: readonly string[]): Promise<number> {
  let flags: { local?: boolean; compose?: boolean; "data-dir"?: string; json?: boolean; help?: boolean };
  try {
    ({ values: flags } = parseArgs({
      args: [...argv],
      options: {
        local: { type: "boolean" },
        compose: { type: "boolean" },
        "data-dir": { type: "string" },
        json: { type: "boolean" },
        help: { type: "boolean", short: "h" },
      },
    }));
  } catch (error) {
    process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n\n${USAGE}\n`);
    return 2;
  }
  if (flags.help === true) {
    process.stdout.write(`${USAGE}\n`);
    return 0;
  }
  const members = membersThatRun(flags);
  const before = await findLeader(members, 5_000);
  if (before === undefined) throw new Refusal("no member leads: have a quorum of members running, then try again");
  const others = members.filter((member) => member.name !== before.name);
  const killedAt = performance.now();
  before.kill();
  if (flags.json !== true) process.stdout.write(`killed ${before.name}, the leader of term ${before.term}\n`);
  if (others.length === 0) {
    process.stdout.write(`it was the only member; ${before.comeback}\n`);
    return 0;
  }
  const after = await nextLeader(others, before.term);
  const seconds = Number(((performance.now() - killedAt) / 1000).toFixed(3));
  if (flags.json === true) {
    const { name: leader, term } = after;
    process.stdout.write(`${JSON.stringify({ killed: before.name, leader, term, seconds })}\n`);
  } else {
    process.stdout.write(`${after.name} leads term ${after.term} and answers after ${seconds} s\n${before.comeback}\n`);
  }
  return 0;
}

async function nextLeader(others: readonly Killable[], oldTerm: number) {
  const deadline = Date.now() + ELECTION_LIMIT_MS;
  while (Date.now() < deadline) {
    const leader = await findLeader(others, deadline - Date.now());
    if (leader !== undefined && leader.term > oldTerm && (await answersRead(leader))) return leader;
  }
  throw new Refusal(
    `the others elected no leader within ${ELECTION_LIMIT_MS / 1000} s: do ${others.map((m) => m.name).join(" and ")} run?`,
  );
}

function membersThatRun(flags: { local?: boolean; compose?: boolean; "data-dir"?: string }): readonly Killable[] {
  const local = flags.compose === true ? [] : localMembers(flags["data-dir"] ?? join(root, "data"));
  const compose = flags.local === true || flags["data-dir"] !== undefined ? [] : composeMembers(flags.compose === true);
  if (local.length > 0 && compose.length > 0) {
    throw new Refusal("a local and a compose cluster run here: say which with --local or --compose");
  }
  const members = local.length > 0 ? local : compose;
  if (members.length === 0) throw new Refusal("no cluster runs here: npm start, or docker compose up");
  return members;
}

function localMembers(dataDir: string): readonly Killable[] {
  return readClusterFile(dataDir)
    .filter(({ name, pid }) => commandLine(pid).includes(`--name=${name}`))
    .map(({ name, clientPort, pid }) => ({
      name,
      clientPort,
      kill: () => process.kill(pid, "SIGKILL"),
      comeback: `npm start starts ${name} again 5 s after its end`,
    }));
}

/** "" when there is no such process: then the number may be somebody else's by now. */
function commandLine(pid: number): string {
  try {
    return execFileSync("ps", ["-o", "args=", "-p", String(pid)], { encoding: "utf8" });
  } catch {
    return "";
  }
}

/** The running containers of this folder's compose project, whichever version of compose made them. */
function composeMembers(wanted: boolean): readonly Killable[] {
  const project = process.env.COMPOSE_PROJECT_NAME;
  const filter =
    project === undefined
      ? `label=com.docker.compose.project.working_dir=${root}`
      : `label=com.docker.compose.project=${project}`;
  let lines: string;
  try {
    lines = docker("ps", "--filter", filter, "--format", '{{.Names}}\t{{.Label "com.docker.compose.service"}}');
  } catch (error) {
    // Without an engine there is no compose cluster; that is only worth a word to somebody who asked for one.
    if (wanted) throw new Refusal(`cannot ask Docker: ${error instanceof Error ? error.message.trim() : error}`);
    return [];
  }
  return lines
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => {
      const [container = "", name = ""] = line.split("\t");
      return {
        name,
        clientPort: Number(docker("port", container, "2379/tcp").trim().split(":").at(-1)),
        kill: () => docker("kill", "--signal=KILL", container),
        comeback: `bring it back with: docker compose start ${name}`,
      };
    });
}

function docker(...args: string[]): string {
  return execFileSync("docker", args, { encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] });
}
