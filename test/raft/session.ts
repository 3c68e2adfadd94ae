/** One run of a script: the members, what they have done since it was last recorded, and how that is shown. */

import { status } from "../../raft/raft.ts";
import type { ConfState, NodeId, Persist, RaftConfig } from "../../raft/types.ts";
import { NONE } from "../../raft/types.ts";
import type { Cluster, Event, Member } from "./cluster.ts";
import { decodeText, memberOf, newCluster } from "./cluster.ts";
import { nameOf, showEntries, showEntry, showMembers, showMessage } from "./notation.ts";

export interface Session {
  cluster: Cluster;
  readonly output: string[];
  /** Nothing is recorded while it is set. */
  silent: boolean;
  options: Partial<RaftConfig>;
  /** The membership before the first entry. */
  genesis: ConfState;
  /** What config.random gives to each member, modulo n. */
  readonly chance: Map<NodeId, number>;
  /** The read points that were given. */
  readonly reads: Map<string, number>;
}

export function newSession(): Session {
  const session: Session = {
    cluster: newCluster((event) => record(session, event)),
    output: [],
    silent: false,
    options: {},
    genesis: { voters: [], learners: [] },
    chance: new Map(),
    reads: new Map(),
  };
  return session;
}

export function say(session: Session, line: string): void {
  if (!session.silent) session.output.push(line);
}

/** The session's view of what the members do. */
export function record(session: Session, event: Event): void {
  if (event.kind === "read") session.reads.set(readKey(event.id, decodeText(event.point.id)), event.point.index);
  const line = showEvent(session, event);
  if (line !== undefined) say(session, line);
}

export function readKey(id: NodeId, read: string): string {
  return `${nameOf(id)} ${read}`;
}

/** Writes are shown where the script has made the disk slow: else each is done at once. */
function showEvent({ cluster }: Session, event: Event): string | undefined {
  switch (event.kind) {
    case "sent":
      return showMessage(event.message);
    case "state": {
      const { role, term, leader } = event.state;
      const whose = role === "leader" ? "" : leader === NONE ? ", no leader" : `, leader ${nameOf(leader)}`;
      return `${nameOf(event.id)} is ${role} in term ${term}${whose}`;
    }
    case "writing":
      return memberOf(cluster, event.id).autoPersist ? undefined : showWrite(event.id, event.persist);
    case "written":
      if (memberOf(cluster, event.id).autoPersist) return undefined;
      return `${nameOf(event.id)} has written #${event.persist.seq}`;
    case "applied":
      return `${nameOf(event.id)} applies ${showEntry(event.entry)}`;
    case "installed":
      return `${nameOf(event.id)} installs snapshot ${event.image.index}@${event.image.term}`;
    case "read":
      return `${nameOf(event.id)} may read ${decodeText(event.point.id)} at ${event.point.index}`;
    case "logRead": {
      const { to, from, through } = event.read;
      return `${nameOf(event.id)} reads its log from ${from} through ${through} for ${nameOf(to)}`;
    }
  }
}

function showWrite(id: NodeId, { seq, hardState, entries, snapshot, mustSync }: Persist): string {
  const parts = [`${nameOf(id)} writes #${seq}`];
  if (hardState !== undefined) {
    parts.push(`term=${hardState.term} vote=${nameOf(hardState.vote)} commit=${hardState.commit}`);
  }
  if (snapshot !== undefined) parts.push(`snapshot=${snapshot.metadata.index}@${snapshot.metadata.term}`);
  if (entries.length > 0) parts.push(showEntries(entries));
  if (!mustSync) parts.push("(no sync)");
  return parts.join(" ");
}

export function showStatus(session: Session, it: Member): void {
  if (it.raft === undefined) {
    say(session, `${nameOf(it.id)} is down`);
    return;
  }
  const s = status(it.raft);
  const marks = `commit=${s.commit} applied=${s.applied} last=${s.lastIndex}`;
  const conf = `${showMembers("voters", s.confState.voters)}${showMembers(" learners", s.confState.learners)}`;
  say(
    session,
    `${nameOf(s.id)} ${s.role} term=${s.term} vote=${nameOf(s.vote)} leader=${nameOf(s.leader)} ${marks} ${conf}`,
  );
  for (const pr of s.progress) {
    const rest = `${pr.learner ? " learner" : ""}${pr.recentActive ? " active" : ""}`;
    say(session, `  ${nameOf(pr.id)} ${pr.state} match=${pr.match} next=${pr.next} inflight=${pr.inflight}${rest}`);
  }
}
