/**
 * What a run leaves behind to be judged: what clients saw, and what probes inside the members saw.
 *
 * Words and forms are those of the API, but the types are the history's own: a checker that shared code with the product
 * would share its mistakes. `wire.ts` turns messages of the API into them. Keys and values are latin1 strings, one char
 * a byte, so that `<` is byte order; 64-bit ids are bigints; members are small numbers, stable over a whole run.
 *
 * Every record is stamped with `at`, the true simulated time in ms (no member's own clock), and `seq`, which rises with
 * every record: "before" always means a lower seq, because many things happen at one `at`.
 */

export interface KeyValue {
  readonly key: string;
  readonly value: string;
  readonly createRevision: number;
  readonly modRevision: number;
  readonly version: number;
  readonly lease: bigint;
}

export interface RangeRequest {
  readonly kind: "range";
  readonly key: string;
  readonly rangeEnd: string;
  readonly revision: number;
  readonly limit: number;
  /** 0 none, 1 ascending, 2 descending. */
  readonly sortOrder: number;
  /** 0 key, 1 version, 2 create, 3 mod, 4 value. */
  readonly sortTarget: number;
  readonly serializable: boolean;
  readonly keysOnly: boolean;
  readonly countOnly: boolean;
  readonly minModRevision: number;
  readonly maxModRevision: number;
  readonly minCreateRevision: number;
  readonly maxCreateRevision: number;
}

export interface PutRequest {
  readonly kind: "put";
  readonly key: string;
  readonly value: string;
  readonly lease: bigint;
  readonly prevKv: boolean;
  readonly ignoreValue: boolean;
  readonly ignoreLease: boolean;
}

export interface DeleteRangeRequest {
  readonly kind: "deleteRange";
  readonly key: string;
  readonly rangeEnd: string;
  readonly prevKv: boolean;
}

export interface Compare {
  readonly key: string;
  readonly rangeEnd: string;
  readonly result: "equal" | "greater" | "less" | "notEqual";
  readonly target:
    | { readonly kind: "version"; readonly value: number }
    | { readonly kind: "createRevision"; readonly value: number }
    | { readonly kind: "modRevision"; readonly value: number }
    | { readonly kind: "value"; readonly value: string }
    | { readonly kind: "lease"; readonly value: bigint };
}

export type TxnOp = RangeRequest | PutRequest | DeleteRangeRequest | TxnRequest;

export interface TxnRequest {
  readonly kind: "txn";
  readonly compare: readonly Compare[];
  readonly success: readonly TxnOp[];
  readonly failure: readonly TxnOp[];
}

/** `id` 0 leaves the choice to the server. */
export type LeaseGrantRequest = { readonly kind: "leaseGrant"; readonly id: bigint; readonly ttlSeconds: number };
export type LeaseRevokeRequest = { readonly kind: "leaseRevoke"; readonly id: bigint };
export type CompactRequest = { readonly kind: "compact"; readonly revision: number; readonly physical: boolean };

/** What stands in the log and changes keys, leases or the compact revision. */
export type Command =
  | PutRequest
  | DeleteRangeRequest
  | TxnRequest
  | CompactRequest
  | LeaseGrantRequest
  | LeaseRevokeRequest;

export type Request =
  | RangeRequest
  | Command
  | { readonly kind: "leaseKeepAlive"; readonly id: bigint }
  | { readonly kind: "leaseTimeToLive"; readonly id: bigint; readonly keys: boolean }
  | { readonly kind: "leaseLeases" }
  | { readonly kind: "hashKv"; readonly revision: number }
  | { readonly kind: "status" }
  | { readonly kind: "moveLeader"; readonly to: number }
  | MembersRequest;

/** `revision` is that of the response's header everywhere, 0 where it has none. */
export interface RangeResponse {
  readonly kind: "range";
  readonly revision: number;
  readonly kvs: readonly KeyValue[];
  readonly more: boolean;
  readonly count: number;
}
export interface PutResponse {
  readonly kind: "put";
  readonly revision: number;
  readonly prevKv: KeyValue | undefined;
}
export interface DeleteRangeResponse {
  readonly kind: "deleteRange";
  readonly revision: number;
  readonly deleted: number;
  readonly prevKvs: readonly KeyValue[];
}
export type TxnOpResponse = RangeResponse | PutResponse | DeleteRangeResponse | TxnResponse;
export interface TxnResponse {
  readonly kind: "txn";
  readonly revision: number;
  readonly succeeded: boolean;
  readonly responses: readonly TxnOpResponse[];
}

export type Response =
  | TxnOpResponse
  | { readonly kind: "compact"; readonly revision: number }
  | { readonly kind: "leaseGrant"; readonly revision: number; readonly id: bigint; readonly ttlSeconds: number }
  | { readonly kind: "leaseRevoke"; readonly revision: number }
  /** `ttlSeconds` 0: the lease is unknown. */
  | { readonly kind: "leaseKeepAlive"; readonly revision: number; readonly id: bigint; readonly ttlSeconds: number }
  /** `ttlSeconds` -1: the lease is unknown. */
  | {
      readonly kind: "leaseTimeToLive";
      readonly revision: number;
      readonly ttlSeconds: number;
      readonly grantedSeconds: number;
      readonly keys: readonly string[];
    }
  | { readonly kind: "leaseLeases"; readonly revision: number; readonly ids: readonly bigint[] }
  | {
      readonly kind: "hashKv";
      readonly revision: number;
      readonly hash: number;
      readonly hashRevision: number;
      readonly compactRevision: number;
    }
  | {
      readonly kind: "status";
      readonly revision: number;
      readonly term: number;
      /** 0n: it knows of none. */
      readonly leader: bigint;
      readonly commitIndex: number;
      readonly appliedIndex: number;
    }
  | { readonly kind: "moveLeader"; readonly revision: number }
  /** `added`: the id of the member that was added. */
  | {
      readonly kind: "members";
      readonly revision: number;
      readonly list: readonly ListedMember[];
      readonly added: bigint | undefined;
    };

/** Whom an answer says that it is from. */
export interface Header {
  readonly cluster: bigint;
  readonly member: bigint;
  readonly term: number;
}

/**
 * `refused`: the server said that the request had no effect and never will have one. `unknown`: it may have had its
 * effect, may have it later, or never. An open request is unknown.
 */
export type Outcome =
  | { readonly kind: "ok"; readonly response: Response; readonly header?: Header | undefined }
  | { readonly kind: "refused"; readonly reason: string }
  | { readonly kind: "unknown"; readonly reason: string };

export interface Stamp {
  readonly at: number;
  readonly seq: number;
}

/** One request of a client and what became of it. A keep-alive is an operation like any other, stream or not. */
export interface Operation {
  readonly id: number;
  readonly client: number;
  /** Who was asked. */
  readonly member: number;
  readonly request: Request;
  readonly invoked: Stamp;
  /** When the client had its answer, or gave up; undefined while it waits. */
  readonly returned: Stamp | undefined;
  readonly outcome: Outcome;
}

export interface WatchRequest {
  /** 0: the server chooses. */
  readonly watchId: bigint;
  readonly key: string;
  readonly rangeEnd: string;
  readonly startRevision: number;
  readonly noPut: boolean;
  readonly noDelete: boolean;
  readonly prevKv: boolean;
  readonly fragment: boolean;
  readonly progressNotify: boolean;
}

export interface WatchEvent {
  readonly kind: "put" | "delete";
  readonly kv: KeyValue;
  readonly prevKv: KeyValue | undefined;
}

export interface WatchResponse {
  readonly header?: Header | undefined;
  readonly revision: number;
  readonly watchId: bigint;
  readonly created: boolean;
  readonly canceled: boolean;
  readonly compactRevision: number;
  readonly cancelReason: string;
  readonly fragment: boolean;
  readonly events: readonly WatchEvent[];
}

export type WatchRecord = Stamp &
  (
    | { readonly kind: "create"; readonly request: WatchRequest }
    | { readonly kind: "cancel"; readonly watchId: bigint }
    | { readonly kind: "progressRequest" }
    | { readonly kind: "response"; readonly response: WatchResponse }
    /** Nothing is received from here on: an error, a lost connection, or the client closed it. */
    | { readonly kind: "end"; readonly reason: string }
  );

/** One watch stream with everything that was sent and received on it, in order. A resumed watch is a new stream. */
export interface WatchStream {
  readonly id: number;
  readonly client: number;
  readonly member: number;
  readonly opened: Stamp;
  readonly records: readonly WatchRecord[];
}

/** `hash` covers type and data (entryHash). `isChange`: it changes the membership. */
export interface LogEntry {
  readonly index: number;
  readonly term: number;
  readonly hash: number;
  readonly isChange?: boolean;
}

/** One row of the list of members. */
export interface ListedMember {
  readonly id: bigint;
  readonly name: string;
  readonly peerURLs: readonly string[];
  readonly clientURLs: readonly string[];
  readonly isLearner: boolean;
}

export type MembersRequest =
  | { readonly kind: "members"; readonly change: "list"; readonly linearizable: boolean }
  | { readonly kind: "members"; readonly change: "add"; readonly peerURL: string; readonly isLearner: boolean }
  | { readonly kind: "members"; readonly change: "promote" | "remove"; readonly id: bigint }
  | { readonly kind: "members"; readonly change: "update"; readonly id: bigint; readonly peerURL: string };

/**
 * What probes see. A *life* is one start of a member's process; lives of a member count up from 1. `member` in `vote` and
 * `to` is a member's number, 0 for none.
 */
export type Probe = { readonly member: number; readonly life: number } & (
  | {
      /** The member has read its disk and begins to take part; `log` is what it found (everything from `firstIndex`). */
      readonly kind: "started";
      readonly term: number;
      readonly vote: number;
      readonly commit: number;
      readonly appliedIndex: number;
      readonly firstIndex: number;
      readonly log: readonly LogEntry[];
    }
  /** "fatal": it ended itself (its disk failed, or it refused to start). */
  | { readonly kind: "ended"; readonly how: "crash" | "stop" | "fatal" }
  /**
   * A fault took or changed what was synced on this member's disk. `lost`: it comes back empty. From then on its promises
   * do not bind it; the plan keeps such members a minority.
   */
  | { readonly kind: "damaged"; readonly what: "lost" | "log" | "state" }
  /** Ready.softState says that this member leads now, or that it led and does so no longer. */
  | { readonly kind: "leader"; readonly term: number }
  | { readonly kind: "deposed"; readonly term: number }
  /** Ready.persist is handed to the log: the hard state, and entries that replace everything from the first one on. */
  | {
      readonly kind: "persist";
      readonly hardState: { readonly term: number; readonly vote: number; readonly commit: number } | undefined;
      readonly entries: readonly LogEntry[];
    }
  /** These entries, as they were handed to the log, are on its disk. */
  | { readonly kind: "synced"; readonly entries: readonly LogEntry[] }
  /** A promise left the member: everything up to `index` is on its disk (a MsgAppResp that does not reject). */
  | { readonly kind: "acknowledged"; readonly term: number; readonly index: number; readonly to: number }
  /** A promise left the member: it votes for `vote` in `term` (a granting MsgVoteResp, or its own MsgVote). */
  | { readonly kind: "voted"; readonly term: number; readonly vote: number }
  /** The core handed this entry out as committed. */
  | { readonly kind: "committed"; readonly entry: LogEntry }
  /** The state machine applied the entry. `command` is undefined for what touches neither keys nor leases. */
  | {
      readonly kind: "applied";
      readonly entry: LogEntry;
      readonly command: Command | undefined;
      readonly revision: number;
    }
  /** The list of members as applied: changed by the entry at `index` of `term`, or what the member starts with. */
  | {
      readonly kind: "members";
      readonly index: number;
      readonly term: number;
      readonly voters: readonly number[];
      readonly learners: readonly number[];
      readonly list: readonly ListedMember[];
    }
  /** A hash of the state as of `appliedIndex`; equal `what` at equal index must have equal hashes on all members. */
  | { readonly kind: "state"; readonly appliedIndex: number; readonly what: string; readonly hash: number }
  /** A snapshot from another member replaced log and state. */
  | { readonly kind: "installed"; readonly index: number; readonly term: number }
);

/** What the fault plan knows and members do not. */
export type WorldEvent =
  /**
   * Who could lead if members did what they should: every voter of the newest membership that runs, is neither paused nor stalled, and exchanges
   * messages both ways, within a heartbeat, with enough voters that do so too to be a quorum with it. Said whenever the
   * list changes, and again, unchanged, whenever a link or a life among them does (which starts the time anew).
   */
  | { readonly kind: "quorum"; readonly members: readonly number[] }
  /** Injecting ends: links are healed, stopped members come back, clients go on. */
  | { readonly kind: "healed" }
  /** Since then every member that runs has served a write and a read: from here on everything is answered. */
  | { readonly kind: "recovered" }
  /** Clients have had their last answers and watchers their time: the final checks may be strict. */
  | { readonly kind: "settled" };

export interface RunFacts {
  readonly electionMs: number;
  readonly heartbeatMs: number;
  /** A member's monotonic clock runs between (1 - maxDrift) and (1 + maxDrift) times as fast as true time. */
  readonly maxDrift: number;
  /** So many leases a leader ends in a second at most; those that are due wait for each other. */
  readonly expiriesPerSecond: number;
}

export interface Violation {
  readonly checker: string;
  readonly message: string;
  readonly at: number;
}

/** How many things of each kind a checker looked at. A run in which a needed count is 0 proved nothing. */
export type Counts = Readonly<Record<string, number>>;

/** A checker that looks at probes as they come: what it finds, it reports at once. */
export interface ProbeChecker {
  readonly name: string;
  readonly probe: (probe: Probe, stamp: Stamp) => void;
  readonly world?: (event: WorldEvent, stamp: Stamp) => void;
  /** Time passes without anything said; called often enough (every few simulated seconds), and at the end. */
  readonly tick?: (stamp: Stamp) => void;
  readonly counts: () => Counts;
}

/** The first application of an index, by whomever. */
export interface AppliedEntry {
  readonly entry: LogEntry;
  readonly command: Command | undefined;
  readonly revision: number;
  readonly applied: Stamp;
}

/** A list of members, when it first came to be somewhere. */
export interface MembersStep {
  readonly index: number;
  readonly term: number;
  /** How far each member's log was then, by number. */
  readonly logs: ReadonlyMap<number, number>;
  readonly learners: readonly number[];
  readonly voters: readonly number[];
  readonly list: readonly ListedMember[];
  readonly applied: Stamp;
}

export interface Life {
  readonly member: number;
  readonly life: number;
  readonly started: Stamp;
  /** Undefined while it runs. */
  readonly ended: Stamp | undefined;
}

interface OpenLife extends Life {
  ended: Stamp | undefined;
}

interface OpenOperation extends Operation {
  returned: Stamp | undefined;
  outcome: Outcome;
}

interface OpenStream extends WatchStream {
  readonly records: WatchRecord[];
}

const NOT_RETURNED: Outcome = { kind: "unknown", reason: "not returned" };

/** The recorder: clients and probes write, checkers read. It never throws into the code that it observes. */
export class History {
  readonly facts: RunFacts;
  readonly #now: () => number;
  #seq = 0;
  readonly #operations: OpenOperation[] = [];
  readonly #streams: OpenStream[] = [];
  /** log[index]; index 0 and what nobody applied (behind a snapshot) are undefined. */
  readonly #log: (AppliedEntry | undefined)[] = [];
  readonly #members: MembersStep[] = [];
  /** Where each member's log ends. */
  readonly #logs = new Map<number, number>();
  readonly #leaders: (Stamp & { readonly member: number; readonly term: number })[] = [];
  readonly #candidates: (Stamp & { readonly member: number; readonly term: number })[] = [];
  readonly #lives: OpenLife[] = [];
  readonly #world: (Stamp & { readonly event: WorldEvent })[] = [];
  readonly #checkers: ProbeChecker[] = [];
  readonly #violations: Violation[] = [];
  /** Called with every probe, after the checkers. */
  onProbe: (probe: Probe) => void = () => undefined;

  constructor(facts: RunFacts, now: () => number) {
    this.facts = facts;
    this.#now = now;
  }

  stamp(): Stamp {
    return { at: this.#now(), seq: ++this.#seq };
  }

  /** Before the first probe. */
  attach(checker: ProbeChecker): void {
    this.#checkers.push(checker);
  }

  /** The run can stop as soon as there is one. */
  get violations(): readonly Violation[] {
    return this.#violations;
  }

  report(checker: string, message: string, at = this.#now()): void {
    this.#violations.push({ checker, message, at });
  }

  invoke(client: number, member: number, request: Request): Operation {
    const invoked = this.stamp();
    const operation: OpenOperation = {
      id: this.#operations.length,
      client,
      member,
      request,
      invoked,
      returned: undefined,
      outcome: NOT_RETURNED,
    };
    this.#operations.push(operation);
    return operation;
  }

  /** Once for an operation. */
  settle(operation: Operation, outcome: Outcome): void {
    const open = this.#operations[operation.id];
    if (open === undefined || open.returned !== undefined) throw new Error(`operation ${operation.id} settled twice`);
    open.returned = this.stamp();
    open.outcome = outcome;
  }

  openStream(client: number, member: number): WatchStream {
    const stream: OpenStream = { id: this.#streams.length, client, member, opened: this.stamp(), records: [] };
    this.#streams.push(stream);
    return stream;
  }

  watchCreate(stream: WatchStream, request: WatchRequest): void {
    this.#records(stream).push({ ...this.stamp(), kind: "create", request });
  }

  watchCancel(stream: WatchStream, watchId: bigint): void {
    this.#records(stream).push({ ...this.stamp(), kind: "cancel", watchId });
  }

  watchProgress(stream: WatchStream): void {
    this.#records(stream).push({ ...this.stamp(), kind: "progressRequest" });
  }

  watchResponse(stream: WatchStream, response: WatchResponse): void {
    this.#records(stream).push({ ...this.stamp(), kind: "response", response });
  }

  watchEnd(stream: WatchStream, reason: string): void {
    this.#records(stream).push({ ...this.stamp(), kind: "end", reason });
  }

  #records(stream: WatchStream): WatchRecord[] {
    const open = this.#streams[stream.id];
    if (open === undefined) throw new Error(`no stream ${stream.id}`);
    return open.records;
  }

  probe(probe: Probe): void {
    const stamp = this.stamp();
    if (probe.kind === "applied") {
      const { entry, command, revision } = probe;
      this.#log[entry.index] ??= { entry, command, revision, applied: stamp };
    } else if (probe.kind === "members") {
      const { index, term, list, voters, learners } = probe;
      if (index > (this.#members.at(-1)?.index ?? 0)) {
        this.#members.push({ index, term, list, voters, learners, logs: new Map(this.#logs), applied: stamp });
      }
    } else if (probe.kind === "persist") {
      const last = probe.entries.at(-1);
      if (last !== undefined) this.#logs.set(probe.member, last.index);
    } else if (probe.kind === "acknowledged") {
      // A snapshot that the log is to begin with is no entry, and what it says is promised before the member starts anew.
      this.#logs.set(probe.member, Math.max(probe.index, this.#logs.get(probe.member) ?? 0));
    } else if (probe.kind === "leader") {
      this.#leaders.push({ ...stamp, member: probe.member, term: probe.term });
    } else if (probe.kind === "voted") {
      if (probe.vote === probe.member) this.#candidates.push({ ...stamp, member: probe.member, term: probe.term });
    } else if (probe.kind === "started") {
      this.#logs.set(probe.member, probe.log.at(-1)?.index ?? probe.firstIndex - 1);
      this.#lives.push({ member: probe.member, life: probe.life, started: stamp, ended: undefined });
    } else if (probe.kind === "ended") {
      const life = this.#lives.findLast(({ member }) => member === probe.member);
      if (life !== undefined) life.ended ??= stamp;
    }
    for (const checker of this.#checkers) checker.probe(probe, stamp);
    this.onProbe(probe);
  }

  world(event: WorldEvent): void {
    const stamp = this.stamp();
    this.#world.push({ ...stamp, event });
    for (const checker of this.#checkers) checker.world?.(event, stamp);
  }

  tick(): void {
    const stamp = this.stamp();
    for (const checker of this.#checkers) checker.tick?.(stamp);
  }

  get operations(): readonly Operation[] {
    return this.#operations;
  }

  get streams(): readonly WatchStream[] {
    return this.#streams;
  }

  get log(): readonly (AppliedEntry | undefined)[] {
    return this.#log;
  }

  /** By rising index. Nobody applies a change before somebody has applied the one before it. */
  get members(): readonly MembersStep[] {
    return this.#members;
  }

  get leaders(): readonly (Stamp & { readonly member: number; readonly term: number })[] {
    return this.#leaders;
  }

  /** Who asked for votes. */
  get candidates(): readonly (Stamp & { readonly member: number; readonly term: number })[] {
    return this.#candidates;
  }

  get lives(): readonly Life[] {
    return this.#lives;
  }

  get worldEvents(): readonly (Stamp & { readonly event: WorldEvent })[] {
    return this.#world;
  }

  get probeCheckers(): readonly ProbeChecker[] {
    return this.#checkers;
  }
}

/** FNV-1a over type and data, as an entry's mark in the history. */
export function entryHash(type: number, data: Uint8Array): number {
  return hashBytes(data, type + 1);
}

/** 32 bits; `seed` sets streams of hashes apart. */
export function hashBytes(bytes: Uint8Array, seed = 0): number {
  let hash = (0x811c9dc5 ^ seed) >>> 0;
  for (let at = 0; at < bytes.length; at++) hash = Math.imul(hash ^ (bytes[at] as number), 0x01000193);
  return hash >>> 0;
}
