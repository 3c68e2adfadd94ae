/**
 * Runs a script: blocks of commands, each followed by `----` and what the members did, up to an empty line.
 *
 *     # Lines like this one are prose.
 *     cluster 3
 *     campaign n1
 *     ----
 *     n1@1 -> n2 MsgPreVote last=0@0
 *
 * `expect ...` commands state what must hold; they print nothing, and no recorded output can make them pass.
 */

import type { Message, NodeId, RaftConfig } from "../../raft/types.ts";
import { NONE } from "../../raft/types.ts";
import type { Member } from "./cluster.ts";
import {
  addMember,
  answerLogRead,
  applyNext,
  blankDisk,
  bootstrapDisk,
  compact,
  crash,
  deliver,
  encodeText,
  finishWrite,
  flushImage,
  give,
  linkOf,
  memberOf,
  pump,
  start,
} from "./cluster.ts";
import { expectation } from "./expectations.ts";
import { idOf, nameOf, parseEntry, parseMessage, showEntries } from "./notation.ts";
import type { Session } from "./session.ts";
import { newSession, say, showStatus } from "./session.ts";

type Command = (session: Session, words: readonly string[], line: string) => void;

/** The script with its outputs as they are now. Throws when an expectation fails. */
export function runScript(source: string): string {
  const session = newSession();
  const result: string[] = [];
  let inOutput = false;
  for (const [at, line] of source.split("\n").entries()) {
    if (inOutput) {
      if (line !== "") continue;
      inOutput = false;
    }
    if (line === "----") {
      inOutput = true;
      result.push(line, ...session.output.splice(0));
      continue;
    }
    result.push(line);
    if (line === "" || line.startsWith("#")) continue;
    try {
      run(session, line);
    } catch (cause) {
      const context = session.output.length === 0 ? "" : `\nafter\n${session.output.join("\n")}`;
      throw new Error(`line ${at + 1}: ${line}: ${cause instanceof Error ? cause.message : cause}${context}`, {
        cause,
      });
    }
  }
  return result.join("\n");
}

function run(session: Session, line: string): void {
  const [name = "", ...words] = line.split(" ").filter((word) => word !== "");
  const command = commands[name];
  if (command === undefined) throw new Error("no such command");
  command(session, words, line);
}

const commands: Readonly<Record<string, Command>> = {
  // Set-up.
  cluster: createCluster,
  /** add n4: a member that starts with nothing, and waits to hear from the cluster. */
  add: (session, [name = ""]) => {
    addMember(session.cluster, configOf(session, idOf(name)), blankDisk(session.genesis));
  },
  given,
  bootstrap,
  /** chance n1 3: n1's election timeouts are electionTicks + 3 from the next one on. */
  chance: ({ chance }, [name = "", value = ""]) => chance.set(idOf(name), Number(value)),
  silent: (session) => {
    session.silent = true;
  },
  record: (session) => {
    session.silent = false;
  },
  /** elect n1: unrecorded, until n1 leads and all is delivered. */
  elect: (session, [name = ""]) => {
    const silent = session.silent;
    session.silent = true;
    give(session.cluster, member(session, name), { kind: "campaign" });
    deliverAll(session);
    session.silent = silent;
    expectation(session, ["leader", name]);
  },

  // The network.
  deliver: (session, words) => {
    if (words.length === 0) deliverAll(session);
    else for (const message of take(session, words)) deliver(session.cluster, message);
  },
  drop: (session, words) => {
    const dropped = take(session, words);
    say(session, `dropped ${dropped.length}`);
  },
  duplicate: (session, words) => {
    const found = take(session, words);
    session.cluster.network.push(...found, ...found);
  },
  reverse: (session, words) => {
    const found = take(session, words);
    session.cluster.network.push(...found.reverse());
  },
  /** cut n1: every link from and to n1 loses everything, also what is underway. cut n1->n2: that one. */
  cut: ({ cluster }, [what = ""]) => {
    const [from = "", to] = what.split("->");
    for (const other of cluster.members.keys()) {
      if (to === undefined || idOf(to) === other) cluster.cut.add(linkOf(idOf(from), other));
      if (to === undefined) cluster.cut.add(linkOf(other, idOf(from)));
    }
    cluster.network = cluster.network.filter((m) => !cluster.cut.has(linkOf(m.from, m.to)));
  },
  heal: ({ cluster }) => cluster.cut.clear(),
  inject: ({ cluster }, _words, line) => deliver(cluster, parseMessage(line.slice("inject ".length))),

  // Inputs.
  tick: (session, [name = "", times = "1"]) => {
    for (let n = 0; n < Number(times); n++) give(session.cluster, member(session, name), { kind: "tick" });
  },
  /** rounds 10: everyone ticks, everything is delivered, ten times. */
  rounds: (session, [times = "1"]) => {
    for (let n = 0; n < Number(times); n++) {
      for (const each of session.cluster.members.values()) give(session.cluster, each, { kind: "tick" });
      deliverAll(session);
    }
  },
  campaign: (session, [name = ""]) => give(session.cluster, member(session, name), { kind: "campaign" }),
  /** propose n1 a b: both at once. */
  propose: (session, [name = "", ...data]) => {
    const proposals = data.map((each) => ({ type: 0 as const, data: encodeText(each) }));
    give(session.cluster, member(session, name), { kind: "propose", proposals });
  },
  /** change n1 addVoter:4 */
  change: (session, [name = "", ...data]) => {
    const proposals = data.map((each) => ({ type: 1 as const, data: encodeText(each) }));
    give(session.cluster, member(session, name), { kind: "propose", proposals });
  },
  read: (session, [name = "", id = ""]) => {
    give(session.cluster, member(session, name), { kind: "readIndex", id: encodeText(id) });
  },
  transfer: (session, [name = "", to = ""]) => {
    give(session.cluster, member(session, name), { kind: "transferLeader", to: idOf(to) });
  },
  gone: (session, [name = "", node = ""]) => {
    give(session.cluster, member(session, name), { kind: "gone", node: idOf(node) });
  },
  unreachable: (session, [name = "", node = ""]) => {
    give(session.cluster, member(session, name), { kind: "unreachable", node: idOf(node) });
  },
  report: (session, [name = "", to = "", verdict = ""]) => {
    give(session.cluster, member(session, name), { kind: "snapshotReport", to: idOf(to), ok: verdict === "ok" });
  },

  /** hold n1: it only takes inputs, until release n1. */
  hold: (session, [name = ""]) => {
    member(session, name).held = true;
  },
  release: (session, [name = ""]) => {
    member(session, name).held = false;
    pump(session.cluster, member(session, name));
  },

  // The disk and the state machine.
  /** slow n1 disk|apply|reads: done only when the script says so. */
  slow: (session, [name = "", what = ""]) => setAuto(session, name, what, false),
  fast: (session, [name = "", what = ""]) => {
    setAuto(session, name, what, true);
    pumpWaiting(session, member(session, name));
  },
  /** persist n1 [times] */
  persist: (session, [name = "", times = "1"]) => {
    const it = member(session, name);
    for (let n = 0; n < Number(times); n++) finishWrite(session.cluster, it);
    pump(session.cluster, it);
  },
  apply: (session, [name = "", times = "1"]) => {
    const it = member(session, name);
    for (let n = 0; n < Number(times); n++) applyNext(session.cluster, it);
    pump(session.cluster, it);
  },
  "answer-log-read": (session, [name = ""]) => {
    const it = member(session, name);
    answerLogRead(it);
    pump(session.cluster, it);
  },
  "lose-log-read": (session, [name = ""]) => {
    member(session, name).toRead.shift();
  },
  /** trim n1 3: entries up to 3 leave the memory. */
  trim: (session, [name = "", index = ""]) => {
    give(session.cluster, member(session, name), { kind: "trim", index: Number(index) });
  },
  /** compact n1 3: they leave the disk too, and the state there is offered as a snapshot. */
  compact: (session, [name = "", index = ""]) => {
    flushImage(member(session, name));
    compact(session.cluster, member(session, name), Number(index));
  },
  /** shrink n1 3: they leave the disk, and the core has not been told yet. */
  shrink: (session, [name = "", index = ""]) => {
    const { disk } = member(session, name);
    const count = Number(index) - disk.start.index;
    const last = disk.entries[count - 1];
    if (last === undefined) throw new Error("not on disk");
    disk.entries.splice(0, count);
    disk.start = { index: last.index, term: last.term };
  },
  crash: (session, [name = ""]) => crash(member(session, name)),
  restart: (session, [name = ""]) => start(session.cluster, member(session, name)),

  // Looking.
  status: (session, [name = ""]) => showStatus(session, member(session, name)),
  disk: (session, [name = ""]) => {
    const { hardState, start: before, entries } = member(session, name).disk;
    const { term, vote, commit } = hardState;
    const log = `after ${before.index}@${before.term} ${showEntries(entries)}`;
    say(session, `${name} has on disk term=${term} vote=${nameOf(vote)} commit=${commit} ${log}`);
  },
  expect: (session, words) => expectation(session, words),
};

// Commands that need a body.

const DEFAULTS: Omit<RaftConfig, "id" | "random"> = {
  electionTicks: 10,
  heartbeatTicks: 1,
  preVote: true,
  checkQuorum: true,
  maxMessageBytes: 1_000,
  maxInflight: 8,
  maxInflightBytes: 10_000,
  maxCommittedBytes: 10_000,
  maxUncommittedBytes: 10_000,
};

function configOf(session: Session, id: NodeId): RaftConfig {
  // n1 loses patience first.
  const random = (n: number) => (session.chance.get(id) ?? (Number(id) - 1) * 2) % n;
  return { ...DEFAULTS, ...session.options, id, random };
}

/**
 * cluster 3 [learners=1] [preVote=false] [maxInflight=2] ...: n1 to n3 vote, n4 learns, all with an empty log. What the
 * script did before it is forgotten.
 */
function createCluster(session: Session, [size = "", ...words]: readonly string[]): void {
  let learners = 0;
  const options: Record<string, number | boolean> = {};
  for (const word of words) {
    const [name = "", value = ""] = word.split("=");
    if (name === "learners") learners = Number(value);
    else if (!(name in DEFAULTS)) throw new Error(`no option ${name}`);
    else options[name] = value === "true" || (value !== "false" && Number(value));
  }
  session.options = options;
  session.silent = false;
  session.chance.clear();
  session.reads.clear();
  session.cluster.members.clear();
  session.cluster.cut.clear();
  session.cluster.network = [];
  const ids = Array.from({ length: Number(size) + learners }, (_, at) => BigInt(at + 1));
  session.genesis = { voters: ids.slice(0, Number(size)), learners: ids.slice(Number(size)) };
  for (const id of ids) addMember(session.cluster, configOf(session, id), blankDisk(session.genesis));
}

/** given n1 term=3 vote=n2 commit=1 log=1@1,2@3: n1 has been restarted with this on its disk. */
function given(session: Session, [name = "", ...words]: readonly string[]): void {
  const field = (key: string) => words.find((word) => word.startsWith(`${key}=`))?.slice(key.length + 1);
  const it = member(session, name);
  const vote = field("vote");
  it.disk.hardState = {
    term: Number(field("term") ?? 0),
    vote: vote === undefined ? NONE : idOf(vote),
    commit: Number(field("commit") ?? 0),
  };
  it.disk.entries = (field("log") ?? "")
    .split(",")
    .filter((word) => word !== "")
    .map(parseEntry);
  crash(it);
  start(session.cluster, it);
}

/** bootstrap 3: a new cluster whose log begins, on every member, with the entries that add its members. */
function bootstrap(session: Session, [size = ""]: readonly string[]): void {
  const ids = Array.from({ length: Number(size) }, (_, at) => BigInt(at + 1));
  for (const id of ids) addMember(session.cluster, configOf(session, id), bootstrapDisk(ids));
}

function member({ cluster }: Session, name: string): Member {
  return memberOf(cluster, idOf(name));
}

function setAuto(session: Session, name: string, what: string, value: boolean): void {
  const it = member(session, name);
  if (what === "disk") it.autoPersist = value;
  else if (what === "apply") it.autoApply = value;
  else if (what === "reads") it.autoRead = value;
  else if (what === "news") it.autoTell = value;
  else throw new Error(`slow or fast what? ${what}`);
}

function pumpWaiting({ cluster }: Session, it: Member): void {
  if (it.autoPersist) while (it.writes.length > 0) finishWrite(cluster, it);
  if (it.autoApply) while (it.toApply.length > 0) applyNext(cluster, it);
  if (it.autoRead) while (it.toRead.length > 0) answerLogRead(it);
  pump(cluster, it);
}

/** Takes what is underway on a link ("n1->n2") or to a member ("n2"), all kinds or the one named after it. */
function take({ cluster }: Session, [where = "", type]: readonly string[]): Message[] {
  const [first = "", second] = where.split("->");
  const matches = (m: Message) =>
    (second === undefined ? m.to === idOf(first) : m.from === idOf(first) && m.to === idOf(second)) &&
    (type === undefined || m.type === type);
  const taken = cluster.network.filter(matches);
  cluster.network = cluster.network.filter((m) => !matches(m));
  return taken;
}

const MANY_MESSAGES = 10_000;

function deliverAll({ cluster }: Session): void {
  for (let n = 0; n < MANY_MESSAGES; n++) {
    const message = cluster.network.shift();
    if (message === undefined) return;
    deliver(cluster, message);
  }
  throw new Error("the members do not stop talking");
}
