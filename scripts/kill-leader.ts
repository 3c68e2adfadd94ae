import { spawnSync } from "node:child_process";
import { realpathSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { clusterMembers } from "./cluster-file.ts";
import { answersRead, findLeader, type Reachable } from "./find-leader.ts";

const USAGE = `Usage: scripts/kill-leader.sh [--local [--data-dir DIR] | --compose] [--force] [--json]

Kills the leader of the cluster that runs here (SIGKILL: no goodbye) and says how long the others were without one.
  --local      the cluster of npm start, which starts the member again after 5 s
  --compose    the cluster of docker compose up
  --data-dir   where the members of npm start keep their data (data, beside this folder's README)
  --force      also when the others are no majority then
  --json       one line of JSON instead of text
Without --local or --compose: the one that runs.`;

/** How long the others may take to elect: far beyond what they need, for a machine that is busy. */
const ELECTION_LIMIT_MS = 60_000;

interface Killable extends Reachable {
  readonly runs: boolean;
  kill(): void;
  /** What brings it back, for the person who reads this. */
  readonly comeback: string;
}

class Refusal extends Error {}

const root = realpathSync(join(dirname(fileURLToPath(import.meta.url)), "..", ".."));

try {
  process.exitCode = await killLeader(process.argv.slice(2));
} catch (error) {
  if (!(error instanceof Refusal)) throw error;
  process.stderr.write(`${error.message}\n`);
  process.exitCode = 1;
}

async function killLeader(argv: readonly string[]): Promise<number> {
  let flags: {
    local?: boolean;
    compose?: boolean;
    "data-dir"?: string;
    force?: boolean;
    json?: boolean;
    help?: boolean;
  };
  try {
    ({ values: flags } = parseArgs({
      args: [...argv],
      options: {
        local: { type: "boolean" },
        compose: { type: "boolean" },
        "data-dir": { type: "string" },
        force: { type: "boolean" },
        json: { type: "boolean" },
        help: { type: "boolean", short: "h" },
      },
    }));
    if (flags.compose === true && (flags.local === true || flags["data-dir"] !== undefined)) {
      throw new Error("--compose does not go with --local or --data-dir");
    }
  } catch (error) {
    process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n\n${USAGE}\n`);
    return 2;
  }
  if (flags.help === true) {
    process.stdout.write(`${USAGE}\n`);
    return 0;
  }
  const all = findMembers(flags);
  const members = all.filter(({ runs }) => runs);
  if (all.length > 1 && flags.force !== true && 2 * (members.length - 1) <= all.length) {
    const down = all.filter(({ runs }) => !runs).map(({ name }) => name);
    const why = down.length === 0 ? `there are only ${all.length} members` : `${down.join(" and ")} is down already`;
    throw new Refusal(`${why}: without the leader, too, no majority would be left. --force does it nonetheless`);
  }
  const before = await findLeader(members, 5_000);
  if (before === undefined) throw new Refusal("no member leads: have a quorum of members running, then try again");
  const others = members.filter((member) => member.name !== before.name);
  const killedAt = performance.now();
  before.kill();
  const say = (text: string): boolean | undefined =>
    flags.json === true ? undefined : process.stdout.write(`${text}\n`);
  say(`killed ${before.name}, the leader of term ${before.term}`);
  if (others.length === 0) {
    say(`it was the only member that ran; ${before.comeback}`);
    if (flags.json === true) process.stdout.write(`${JSON.stringify({ killed: before.name })}\n`);
    return 0;
  }
  const after = await nextLeader(others, before.term);
  const seconds = Number(((performance.now() - killedAt) / 1000).toFixed(3));
  say(`${after.name} leads term ${after.term} and answers after ${seconds} s\n${before.comeback}`);
  if (flags.json === true) {
    const { name: leader, term } = after;
    process.stdout.write(`${JSON.stringify({ killed: before.name, leader, term, seconds })}\n`);
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

function findMembers(flags: { local?: boolean; compose?: boolean; "data-dir"?: string }): readonly Killable[] {
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
  return clusterMembers(dataDir).map(({ name, clientPort, pid, runs }) => ({
    name,
    clientPort,
    runs,
    kill: () => process.kill(pid, "SIGKILL"),
    comeback: `npm start starts ${name} again 5 s after its end`,
  }));
}

/** The containers of this folder's compose project, or of the one that COMPOSE_PROJECT_NAME names. */
function composeMembers(wanted: boolean): readonly Killable[] {
  let lines: readonly string[];
  try {
    const label = (name: string): string => `{{.Label "com.docker.compose.${name}"}}`;
    const format = ["{{.Names}}", label("service"), label("project"), label("project.working_dir"), "{{.State}}"].join(
      "\t",
    );
    lines = docker("ps", "--all", "--filter", "label=com.docker.compose.service", "--format", format).split("\n");
  } catch (error) {
    // Without an engine there is no compose cluster; that is only worth a word to somebody who asked for one.
    if (wanted) throw error;
    return [];
  }
  const containers = lines
    .filter((line) => line !== "")
    .map((line) => {
      const [container = "", name = "", project = "", folder = "", state] = line.split("\t");
      return { container, name, project, folder, runs: state === "running" };
    })
    .filter(({ name }) => /^quorate\d+$/.test(name))
    .filter(({ project, folder }) =>
      process.env.COMPOSE_PROJECT_NAME === undefined ? isHere(folder) : project === process.env.COMPOSE_PROJECT_NAME,
    );
  const projects = [...new Set(containers.filter(({ runs }) => runs).map(({ project }) => project))];
  if (projects.length > 1) {
    throw new Refusal(`several compose projects run here: set COMPOSE_PROJECT_NAME to one of ${projects.join(", ")}`);
  }
  const [project] = projects;
  const members = containers.filter((each) => each.project === project);
  return members.map(({ container, name, runs }) => ({
    name,
    clientPort: runs ? Number(docker("port", container, "2379/tcp").trim().split(":").at(-1)) : 0,
    runs,
    kill: () => docker("kill", "--signal=KILL", container),
    comeback: `bring it back with: docker compose start ${name}`,
  }));
}

/** The label has the folder as it was typed, perhaps through a link. */
function isHere(folder: string): boolean {
  try {
    return realpathSync(folder) === root;
  } catch {
    return false;
  }
}

/** Throws Refusal with what docker said. */
function docker(...args: string[]): string {
  const { status, error, stdout, stderr } = spawnSync("docker", args, { encoding: "utf8" });
  if (error !== undefined) throw new Refusal(`cannot run docker: ${error.message}`);
  if (status !== 0) throw new Refusal(`docker ${args[0]}: ${stderr.trim()}`);
  return stdout;
}
