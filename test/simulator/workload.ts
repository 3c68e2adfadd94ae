import {
  CompactionRequest,
  HashKVRequest,
  LeaseGrantRequest,
  LeaseLeasesRequest,
  LeaseRevokeRequest,
  LeaseTimeToLiveRequest,
  MemberListRequest,
  RangeRequest,
  StatusRequest,
} from "../../proto/generated/etcdserverpb.ts";
import { rpcs } from "../../proto/generated/services.ts";
import { unreachable } from "../../raft/assert.ts";
import { Code } from "../../src/api/errors.ts";
import type { Rpc } from "../../src/rpc/rpc.ts";
import type { History, Outcome, Request, Response } from "./history.ts";
import { Keeper } from "./keeper.ts";
import type { Random } from "./random.ts";
import { type Knowledge, Requests, remember } from "./requests.ts";
import type { ClientPort } from "./sim-rpc.ts";
import { OPERATION_KINDS, type OperationKind, type Plan } from "./swarm.ts";
import { Watcher } from "./watcher.ts";
import {
  compactRequestOf,
  deleteRangeRequestOf,
  deleteRangeResponseOf,
  headerOf,
  keepAliveOutcomeOf,
  leaseGrantRequestOf,
  membersResponseOf,
  outcomeOfError,
  putRequestOf,
  putResponseOf,
  rangeRequestOf,
  rangeResponseOf,
  txnRequestOf,
  txnResponseOf,
} from "./wire.ts";
import type { Owner, World } from "./world.ts";

export interface WorkloadDeps {
  readonly world: World;
  readonly port: ClientPort;
  readonly history: History;
  readonly random: Random;
  /** Numbers of the members that clients know of. */
  readonly members: () => readonly number[];
  readonly report: (checker: string, message: string) => void;
}

/** One client: a machine of its own, one request at a time. */
export interface Client {
  readonly number: number;
  readonly owner: Owner;
  readonly random: Random;
  readonly requests: Requests;
}

const TIMEOUTS_MS = [500, 2_000, 8_000, 20_000] as const;
const MUTATIONS: readonly OperationKind[] = ["put", "deleteRange", "txn"];
/** Asked one after the other while a compaction is on its way. */
const READS_BEFORE_COMPACTION = 12;
const FINAL_TIMEOUT_MS = 8_000;
const RETRY_MS = 100;

/** All clients of a run. They go on until they are told to stop, whatever happens to the members. */
export class Workload {
  readonly #plan: Plan;
  readonly #deps: WorkloadDeps;
  readonly #knowledge: Knowledge = { revision: 1, leases: [], values: [] };
  readonly #watchers: Watcher[] = [];
  #isStopping = false;
  #busy = 0;

  constructor(plan: Plan, deps: WorkloadDeps) {
    this.#plan = plan;
    this.#deps = deps;
  }

  /** Requests under way. */
  get busy(): number {
    return this.#busy;
  }

  /** The machines that clients work on, for links to be cut. */
  get clients(): number {
    const { clients, watchers, keepAlives } = this.#plan.workload;
    return clients + watchers + (keepAlives ? 1 : 0);
  }

  start(): void {
    const { clients, watchers, watchStreamMs, keepAlives, leaseSeconds } = this.#plan.workload;
    let number = 0;
    for (let i = 0; i < clients; i++) this.#go(this.#client(++number), (client) => this.#operate(client));
    for (let i = 0; i < watchers; i++) {
      const watcher = new Watcher(this.#client(++number), this.#knowledge, this.#deps, watchStreamMs);
      this.#watchers.push(watcher);
      watcher.start();
    }
    const isStopping = (): boolean => this.#isStopping;
    if (keepAlives) new Keeper(this.#client(++number), this.#knowledge, this.#deps, leaseSeconds, isStopping).start();
  }

  /** No new requests; watches stay, and from now on they only read. */
  stop(): void {
    this.#isStopping = true;
    for (const watcher of this.#watchers) watcher.settle();
  }

  /** Watchers ask for progress: what they then have must be everything. */
  askProgress(): void {
    for (const watcher of this.#watchers) watcher.askProgress();
  }

  /** Reads everything through a member, until it answers or the time is over. */
  async readAll(member: number, patienceMs: number): Promise<boolean> {
    const client = this.#client(100 + member);
    const until = this.#deps.world.now + patienceMs;
    const request = RangeRequest.create({ key: "\0", rangeEnd: "\0" });
    const recorded = rangeRequestOf(request);
    while (this.#deps.world.now < until) {
      const outcome = await this.#call(
        client,
        member,
        rpcs.KVRange,
        request,
        recorded,
        rangeResponseOf,
        FINAL_TIMEOUT_MS,
      );
      if (outcome.kind === "ok") return true;
      await this.#deps.world.delay(client.owner, RETRY_MS, "retry");
    }
    return false;
  }

  /** Two clients, the second up to `apartMs` later. */
  async readTwice(member: number, patienceMs: number, apartMs: number): Promise<void> {
    const { world, random } = this.#deps;
    const first = this.readAll(member, patienceMs);
    await world.delay(undefined, random.split(`second reader at ${member}`).real(0, apartMs), "second reader");
    await Promise.all([first, this.readAll(member, patienceMs)]);
  }

  /** Writes through a member, until it is acknowledged or the time is over. */
  async writeOne(member: number, patienceMs: number): Promise<boolean> {
    const client = this.#client(200 + member);
    const until = this.#deps.world.now + patienceMs;
    while (this.#deps.world.now < until) {
      const request = { ...client.requests.put(), lease: 0n, ignoreLease: false, ignoreValue: false };
      const outcome = await this.#call(
        client,
        member,
        rpcs.KVPut,
        request,
        putRequestOf(request),
        putResponseOf,
        FINAL_TIMEOUT_MS,
      );
      if (outcome.kind === "ok") return true;
      await this.#deps.world.delay(client.owner, RETRY_MS, "retry");
    }
    return false;
  }

  #client(number: number): Client {
    const random = this.#deps.random.split(`client ${number}`);
    const owner: Owner = { name: `c${number}`, dead: false, heldUntil: 0 };
    return { number, owner, random, requests: new Requests(this.#plan.workload, random, this.#knowledge, `${number}`) };
  }

  #go(client: Client, work: (client: Client) => Promise<void>): void {
    this.#deps.world.schedule(client.owner, 0, "client", () => void work(client));
  }

  async #operate(client: Client): Promise<void> {
    const { random, owner } = client;
    const { mix, thinkMs } = this.#plan.workload;
    const kinds = OPERATION_KINDS.map((kind) => [mix[kind], kind] as const);
    let member = random.pick(this.#deps.members());
    while (!this.#isStopping) {
      const kind = random.weighted(kinds);
      const outcome = await this.#one(client, member, kind);
      if (outcome.kind === "ok" && MUTATIONS.includes(kind) && random.chance(0.3)) {
        // Whoever has heard of a write and asks somebody else at once must find it there.
        await this.#one(client, random.pick(this.#deps.members()), "range");
      }
      if (outcome.kind === "unknown" || random.chance(0.1)) member = random.pick(this.#deps.members());
      await this.#deps.world.delay(owner, -Math.log(1 - random.fraction()) * thinkMs, "think");
    }
  }

  #one(client: Client, member: number, kind: OperationKind): Promise<Outcome> {
    const { requests, random } = client;
    const knowledge = this.#knowledge;
    const range = (request: RangeRequest): Promise<Outcome> =>
      this.#call(client, member, rpcs.KVRange, request, rangeRequestOf(request), rangeResponseOf);
    switch (kind) {
      case "put": {
        const request = requests.put();
        return this.#call(client, member, rpcs.KVPut, request, putRequestOf(request), putResponseOf);
      }
      case "range":
        return range(requests.readRange("now"));
      case "serializableRange":
        return range(requests.readRange("serializable"));
      case "oldRange":
        return range(requests.readRange("old"));
      case "deleteRange": {
        const request = requests.deleteRange();
        const recorded = deleteRangeRequestOf(request);
        return this.#call(client, member, rpcs.KVDeleteRange, request, recorded, deleteRangeResponseOf);
      }
      case "txn": {
        const request = requests.txn();
        return this.#call(client, member, rpcs.KVTxn, request, txnRequestOf(request), txnResponseOf);
      }
      case "compact":
        return random.chance(0.3) ? this.#compactUnderReads(client, member) : this.#compact(client, member);
      case "leaseGrant": {
        const { leaseSeconds } = this.#plan.workload;
        const ID = random.chance(0.5) ? 0n : BigInt(random.between(1, 1_000));
        const request = LeaseGrantRequest.create({ TTL: random.between(1, leaseSeconds), ID });
        return this.#call(client, member, rpcs.LeaseLeaseGrant, request, leaseGrantRequestOf(request), (response) => {
          remember(knowledge.leases, response.ID);
          return {
            kind: "leaseGrant",
            revision: response.header?.revision ?? 0,
            id: response.ID,
            ttlSeconds: response.TTL,
          };
        });
      }
      case "leaseRevoke": {
        const ID = requests.lease();
        const recorded = { kind: "leaseRevoke", id: ID } as const;
        const request = LeaseRevokeRequest.create({ ID });
        return this.#call(client, member, rpcs.LeaseLeaseRevoke, request, recorded, ({ header }) => ({
          kind: "leaseRevoke",
          revision: header?.revision ?? 0,
        }));
      }
      case "leaseKeepAlive":
        return this.#keepAliveOnce(client, member, requests.lease());
      case "leaseTimeToLive": {
        const ID = requests.lease();
        const keys = random.chance(0.5);
        const recorded = { kind: "leaseTimeToLive", id: ID, keys } as const;
        const request = LeaseTimeToLiveRequest.create({ ID, keys });
        return this.#call(client, member, rpcs.LeaseLeaseTimeToLive, request, recorded, (response) => ({
          kind: "leaseTimeToLive",
          revision: response.header?.revision ?? 0,
          ttlSeconds: response.TTL,
          grantedSeconds: response.grantedTTL,
          keys: response.keys,
        }));
      }
      case "leaseLeases": {
        const request = LeaseLeasesRequest.create();
        return this.#call(client, member, rpcs.LeaseLeaseLeases, request, { kind: "leaseLeases" }, (response) => ({
          kind: "leaseLeases",
          revision: response.header?.revision ?? 0,
          ids: response.leases.map(({ ID }) => ID),
        }));
      }
      case "hashKv": {
        const revision = random.chance(0.5) ? 0 : Math.max(0, knowledge.revision - random.below(20));
        const recorded = { kind: "hashKv", revision } as const;
        const request = HashKVRequest.create({ revision });
        return this.#call(client, member, rpcs.MaintenanceHashKV, request, recorded, (response) => ({
          kind: "hashKv",
          revision: response.header?.revision ?? 0,
          hash: response.hash,
          hashRevision: response.hashRevision,
          compactRevision: response.compactRevision,
        }));
      }
      case "status": {
        const request = StatusRequest.create();
        return this.#call(client, member, rpcs.MaintenanceStatus, request, { kind: "status" }, (response) => ({
          kind: "status",
          revision: response.header?.revision ?? 0,
          term: response.raftTerm,
          leader: BigInt.asUintN(64, response.leader),
          commitIndex: response.raftIndex,
          appliedIndex: response.raftAppliedIndex,
        }));
      }
      case "members": {
        const request = MemberListRequest.create({ linearizable: random.chance(0.5) });
        const recorded = { kind: "members", change: "list", linearizable: request.linearizable } as const;
        return this.#call(client, member, rpcs.ClusterMemberList, request, recorded, ({ members }) =>
          membersResponseOf(members),
        );
      }
      default:
        return unreachable(kind);
    }
  }

  #compact(client: Client, member: number, request = client.requests.compact()): Promise<Outcome> {
    return this.#call(client, member, rpcs.KVCompact, request, compactRequestOf(request), ({ header }) => ({
      kind: "compact",
      revision: header?.revision ?? 0,
    }));
  }

  /** While the compaction is on its way its member reads what it will drop, so that one of the reads is under way then. */
  async #compactUnderReads(client: Client, member: number): Promise<Outcome> {
    const { requests, random } = client;
    const revision = Math.max(1, this.#knowledge.revision - random.below(3));
    let isOver = false;
    const compaction = this.#compact(client, member, CompactionRequest.create({ revision })).finally(() => {
      isOver = true;
    });
    for (let reads = 0; reads < READS_BEFORE_COMPACTION && !isOver; reads++) {
      const request = requests.wholeRange(Math.max(1, revision - 1 - random.below(20)));
      await this.#call(client, member, rpcs.KVRange, request, rangeRequestOf(request), rangeResponseOf);
    }
    return await compaction;
  }

  /** One keep-alive on a stream of its own. */
  #keepAliveOnce(client: Client, member: number, id: bigint): Promise<Outcome> {
    const { port, world, history } = this.#deps;
    const operation = history.invoke(client.number, member, { kind: "leaseKeepAlive", id });
    this.#busy++;
    return new Promise((resolve) => {
      let isSettled = false;
      const settle = (outcome: Outcome): void => {
        if (isSettled) return;
        isSettled = true;
        timer.cancel();
        this.#busy--;
        history.settle(operation, outcome);
        stream.close();
        resolve(outcome);
      };
      const timer = world.schedule(client.owner, client.random.pick(TIMEOUTS_MS), "keep-alive gives up", () => {
        settle({ kind: "unknown", reason: "client: deadline exceeded" });
      });
      const stream = port.stream(
        client.owner,
        member,
        rpcs.LeaseLeaseKeepAlive,
        (answer) => settle(keepAliveOutcomeOf(answer)),
        (code, message) => settle(outcomeOfError(code, message)),
      );
      stream.send({ ID: id });
    });
  }

  async #call<Q, A>(
    client: Client,
    member: number,
    rpc: Rpc<Q, A>,
    request: Q,
    recorded: Request,
    read: (response: A) => Response,
    timeoutMs: number = client.random.pick(TIMEOUTS_MS),
  ): Promise<Outcome> {
    const { history, port, report } = this.#deps;
    const metadata: Record<string, string> = client.random.chance(0.1) ? { hasleader: "true" } : {};
    const operation = history.invoke(client.number, member, recorded);
    this.#busy++;
    const result = await port.call(client.owner, member, rpc, request, { timeoutMs, metadata });
    this.#busy--;
    let outcome: Outcome;
    if (result.kind === "ok") {
      const response = read(result.response);
      this.#knowledge.revision = Math.max(this.#knowledge.revision, response.revision);
      outcome = { kind: "ok", response, header: headerOf(result.response) };
    } else {
      if (result.code === Code.Internal) report("internal error", `${rpc.path}: ${result.message}`);
      outcome = outcomeOfError(result.code, result.message);
    }
    history.settle(operation, outcome);
    return outcome;
  }
}
