/** What the simulator looks at inside a member: its log, its state machine and its messages, seen from outside. */

import type { Entry, Message } from "../../raft/types.ts";
import type { Applied, StateMachine } from "../../src/state/machine.ts";
import { memberJson } from "../../storage/stored-json.ts";
import type { Wal, WalBatch } from "../../storage/wal.ts";
import { type History, hashBytes } from "./history.ts";
import type { Roster } from "./roster.ts";
import { hostOf } from "./sim-network.ts";
import { hashText } from "./trace.ts";
import { commandOf, logEntryOf } from "./wire.ts";

export interface Observer {
  readonly history: History;
  readonly member: number;
  readonly life: number;
  readonly roster: Roster;
}

/** A whole look at the state costs as much as there are keys. */
const LOOK_EVERY = 64;

/** `onDurable` hears of every batch that is on the disk. */
export function observeWal(
  wal: Wal,
  { history, member, life, roster }: Observer,
  onDurable: (batch: WalBatch) => void,
): Wal {
  return {
    metadata: wal.metadata,
    get firstIndex() {
      return wal.firstIndex;
    },
    get lastIndex() {
      return wal.lastIndex;
    },
    get segmentCount() {
      return wal.segmentCount;
    },
    append: (batch) => {
      const { hardState, snapshot } = batch;
      if (snapshot !== undefined) history.probe({ member, life, kind: "installed", ...snapshot });
      const entries = batch.entries.map(logEntryOf);
      for (const { index, isChange } of entries) if (isChange === true) roster.wrote(index);
      history.probe({
        member,
        life,
        kind: "persist",
        hardState: hardState && {
          term: hardState.term,
          vote: roster.numberOf(hardState.vote),
          commit: hardState.commit,
        },
        entries,
      });
      return wal.append(batch).then(() => {
        if (entries.length > 0) history.probe({ member, life, kind: "synced", entries });
        onDurable(batch);
      });
    },
    read: (from, through, maxBytes) => wal.read(from, through, maxBytes),
    cut: (through, keepSegments) => wal.cut(through, keepSegments),
    close: () => wal.close(),
  };
}

export function observeMachine(machine: StateMachine, observer: Observer): StateMachine {
  const { history, member, life, roster } = observer;
  return {
    get appliedIndex() {
      return machine.appliedIndex;
    },
    get appliedTerm() {
      return machine.appliedTerm;
    },
    get confState() {
      return machine.confState;
    },
    get mvcc() {
      return machine.mvcc;
    },
    get leases() {
      return machine.leases;
    },
    get cluster() {
      return machine.cluster;
    },
    get alarms() {
      return machine.alarms;
    },
    apply: (entry: Entry, wanted) => {
      const mark = logEntryOf(entry);
      history.probe({ member, life, kind: "committed", entry: mark });
      roster.applied(entry.index);
      const before = machine.appliedIndex;
      const members = machine.cluster.members();
      const applied = machine.apply(entry, wanted);
      if (entry.index <= before) return applied;
      const { index, revision } = applied;
      history.probe({ member, life, kind: "applied", entry: mark, command: commandOf(entry), revision });
      history.probe({ member, life, kind: "state", appliedIndex: index, what: "effect", hash: effectHash(applied) });
      if (machine.cluster.members() !== members) tellMembers(machine, observer);
      if (index % LOOK_EVERY === 0) lookAt(machine, { history, member, life });
      return applied;
    },
  };
}

/** The list of members is another one, or that of a restart. Term 1 is the founding, which is there in one piece. */
export function tellMembers({ cluster, appliedIndex, appliedTerm }: StateMachine, observer: Observer): void {
  const { history, member, life, roster } = observer;
  const records = cluster.members();
  const numbers = (isLearner: boolean): number[] =>
    records.filter((record) => record.isLearner === isLearner).map(({ id }) => roster.numberOf(id));
  for (const { id, peerURLs } of records) roster.learn(id, hostOf(peerURLs[0] as string));
  const configuration = { index: appliedIndex, voters: numbers(false), learners: numbers(true) };
  history.probe({ member, life, kind: "members", ...configuration, term: appliedTerm, list: records });
  if (appliedTerm > 1) roster.tell(member, { ...configuration, records });
}

/** Probes of the whole state as of now. */
export function lookAt(machine: StateMachine, { history, member, life }: Omit<Observer, "roster">): void {
  const { appliedIndex } = machine;
  history.probe({ member, life, kind: "state", appliedIndex, what: "keys", hash: keysHash(machine) });
  history.probe({ member, life, kind: "state", appliedIndex, what: "leases", hash: leasesHash(machine) });
  history.probe({ member, life, kind: "state", appliedIndex, what: "members", hash: membersHash(machine) });
}

export function observeMessage(message: Message, { history, member, life, roster }: Observer): void {
  const { term } = message;
  if (message.type === "MsgAppResp" && !message.reject) {
    const to = roster.numberOf(message.to);
    history.probe({ member, life, kind: "acknowledged", term, index: message.index, to });
  } else if (message.type === "MsgVoteResp" && !message.reject) {
    history.probe({ member, life, kind: "voted", term, vote: roster.numberOf(message.to) });
  } else if (message.type === "MsgVote") {
    history.probe({ member, life, kind: "voted", term, vote: member });
  }
}

/** What every member must make of an entry alike: not the answer, which is made only where somebody waits for it. */
function effectHash({ result, revision, events, leases, leaderEntry, confChange }: Applied): number {
  const outcome = result.kind === "error" ? result.error.message : "";
  const change = confChange === undefined ? "" : `${confChange.kind}${"node" in confChange ? confChange.node : ""}`;
  const facts = leases.map((fact) => `${fact.kind}${fact.id}`).join();
  let hash = hashText(`${outcome}/${revision}/${facts}/${leaderEntry}/${change}`);
  for (const event of events) hash = Math.imul(hash ^ hashBytes(event.kv), 0x01000193) ^ hashText(event.key);
  return hash;
}

function keysHash({ mvcc }: StateMachine): number {
  let hash = mvcc.currentRevision ^ (mvcc.compactRevision << 16);
  mvcc.visit("\0", "\0", mvcc.currentRevision, (version) => {
    hash = Math.imul(hash ^ hashBytes(mvcc.value(version)), 0x01000193);
    return true;
  });
  return hash;
}

function leasesHash({ leases }: StateMachine): number {
  const rows = leases.ids().map((id) => {
    const lease = leases.get(id);
    return `${id}:${lease?.ttlSeconds}:${lease?.remainingSeconds}:${[...(lease?.keys ?? [])].sort().join()}`;
  });
  return hashText(rows.join(";"));
}

function membersHash({ cluster }: StateMachine): number {
  return hashText(`${cluster.version}${cluster.members().map(memberJson).join()}`);
}
