/** The `expect` command of the scripts: what must hold, whatever the recorded output says. */

import { canPropose, type Raft, type Status, status } from "../../raft/raft.ts";
import type { Entry } from "../../raft/types.ts";
import { leaders, memberOf } from "./cluster.ts";
import { idOf, nameOf } from "./notation.ts";
import type { Session } from "./session.ts";

type Expectation = (session: Session, words: readonly string[]) => void;

export function expectation(session: Session, [what = "", ...words]: readonly string[]): void {
  const check = expectations[what];
  if (check === undefined) throw new Error(`no such expectation: ${what}`);
  check(session, words);
}

const expectations: Readonly<Record<string, Expectation>> = {
  /** leader n1 [n2 ..]: these lead, no one else (of several, all but one in an old term). leader none */
  leader: ({ cluster }, words) => {
    const found = leaders(cluster).map((member) => nameOf(member.id));
    equal(found.join(" ") || "none", words.join(" "));
  },
  role: (session, [name, role = ""]) => equal(statusOf(session, name).role, role),
  follows: (session, [name, leader = ""]) => equal(nameOf(statusOf(session, name).leader), leader),
  term: (session, [name, term]) => equal(statusOf(session, name).term, Number(term)),
  vote: (session, [name, vote = ""]) => equal(nameOf(statusOf(session, name).vote), vote),
  commit: (session, [name, commit]) => equal(statusOf(session, name).commit, Number(commit)),
  applied: (session, [name, applied]) => equal(statusOf(session, name).applied, Number(applied)),
  last: (session, [name, last]) => equal(statusOf(session, name).lastIndex, Number(last)),
  voters: (session, [name, ...ids]) => equal(names(statusOf(session, name).confState.voters), ids.join(" ")),
  learners: (session, [name, ...ids]) => equal(names(statusOf(session, name).confState.learners), ids.join(" ")),
  transferee: (session, [name, to = ""]) => equal(nameOf(statusOf(session, name).transferee), to),
  /** commands n1 a b: what n1's state machine has seen. */
  commands: ({ cluster }, [name = "", ...commands]) =>
    equal(memberOf(cluster, idOf(name)).image.commands.join(" "), commands.join(" ")),
  /** log n1 2@1 3@2: the entries in n1's memory. */
  log: (session, [name, ...points]) =>
    equal(points.join(" "), raftOf(session, name).log.entries.map(pointOf).join(" ")),
  /** disk n1 2@1 3@2: the entries on n1's disk. */
  disk: ({ cluster }, [name = "", ...points]) =>
    equal(memberOf(cluster, idOf(name)).disk.entries.map(pointOf).join(" "), points.join(" ")),
  /** progress n1 n2 replicate 4: as n1 sees n2, which has matched up to 4. */
  progress: (session, [name, other = "", state = "", match]) => {
    const pr = statusOf(session, name).progress.find((each) => each.id === idOf(other));
    equal(pr?.state, state);
    equal(pr?.match, Number(match));
  },
  /** inflight n1 n2 3 */
  inflight: (session, [name, other = "", count]) =>
    equal(statusOf(session, name).progress.find((each) => each.id === idOf(other))?.inflight, Number(count)),
  "can-propose": (session, [name]) => equal(canPropose(raftOf(session, name)), true),
  "cannot-propose": (session, [name]) => equal(canPropose(raftOf(session, name)), false),
  /** read n1 r1 4: the read point that n1 was given. */
  read: ({ reads }, [name, id, index]) => equal(reads.get(`${name} ${id}`), Number(index)),
  "no-read": ({ reads }, [name, id]) => equal(reads.get(`${name} ${id}`), undefined),
  /** underway n1->n2 MsgApp 3: so many sent and not delivered. */
  underway: ({ cluster }, [link = "", type, count]) => {
    const [from = "", to = ""] = link.split("->");
    const found = cluster.network.filter((m) => m.from === idOf(from) && m.to === idOf(to) && m.type === type);
    equal(found.length, Number(count));
  },
  quiet: ({ cluster }) => equal(cluster.network.length, 0),
};

function pointOf(entry: Entry): string {
  return `${entry.index}@${entry.term}`;
}

function names(ids: readonly bigint[]): string {
  return ids.map(nameOf).join(" ");
}

function raftOf({ cluster }: Session, name = ""): Raft {
  const { raft } = memberOf(cluster, idOf(name));
  if (raft === undefined) throw new Error(`${name} is down`);
  return raft;
}

function statusOf(session: Session, name: string | undefined): Status {
  return status(raftOf(session, name));
}

function equal(actual: unknown, expected: unknown): void {
  if (actual !== expected) throw new Error(`expected ${expected}, found ${actual}`);
}
