/**
 * Very many leases: granted in parallel, a fifth of them due in the same second under load while some are kept alive,
 * and the leader lost while all are there.
 */
import { rpcs } from "../../proto/generated/services.ts";
import type { MemberProcess } from "../e2e/cluster.ts";
import {
  expiryBoundMs,
  isFarFrom,
  judgeMemory,
  type Peaks,
  shortOf,
  succeededExpiryBoundMs,
  unmeasured,
} from "./bounds.ts";
import { becomes, now } from "./clock.ts";
import { type Expected, type Judged, judge } from "./departure-check.ts";
import type { DepartureReaderDesk } from "./departure-reader.ts";
import { type Spread, spreadOf } from "./figures.ts";
import { Helper } from "./helper.ts";
import type { GrantOrder, GrantResult, LeaseLoadDesk } from "./lease-load.ts";
import type { Departure } from "./lease-times.ts";
import { type Measured, peakBytes, withMeasured } from "./members.ts";
import type { PutLoadDesk, PutResult } from "./put-load.ts";
import { brokenOff, count, mib, ms, type Report, type Say, spread } from "./report.ts";
import { firstService, type Service } from "./succession.ts";

export interface LeaseScale {
  readonly leases: number;
  readonly putsPerSecond: number;
  /** Of those that are kept alive for a while, and of those that the next leader has to count anew. */
  readonly shortTtlSeconds: number;
}

const LONG_TTL_SECONDS = 3_600;
const PUT_GROUPS = 64;
const GRANT_PATIENCE_MS = 600_000;
/** First ids, far enough from each other. */
const FIRST = { long: 1, more: 100_000_001, storm: 200_000_001, kept: 300_000_001, witness: 400_000_001 } as const;
const PREFIX = { storm: "lease-storm/", kept: "lease-kept/", witness: "lease-witness/" } as const;

interface Helpers {
  readonly leases: Helper<LeaseLoadDesk>;
  readonly puts: Helper<PutLoadDesk>;
  readonly reader: Helper<DepartureReaderDesk>;
}

export function runLeases(scale: LeaseScale, say: Say): Promise<Report> {
  const startHelpers = (): Helpers => ({
    leases: new Helper("lease-load.ts"),
    puts: new Helper("put-load.ts"),
    reader: new Helper("departure-reader.ts"),
  });
  return withMeasured(3, startHelpers, (measured, helpers) => new LeaseRun(scale, say, measured, helpers).run());
}

interface Outcome {
  /** When the leader was killed. */
  readonly alive: number;
  readonly grants: GrantResult;
  readonly stragglers: number;
  readonly storm: Judged;
  readonly kept: Judged;
  readonly puts: PutResult;
  readonly service: Service;
  readonly witnesses: Judged;
  readonly peaks: Peaks;
  readonly idle: Peaks;
  /** Of all members until the leader was lost; of the survivors until the next one served, when asked for lists, since. */
  readonly pausesMs: Record<"before" | "change" | "lists" | "after", readonly number[]>;
}

class LeaseRun {
  readonly #scale: LeaseScale;
  readonly #say: Say;
  readonly #measured: Measured;
  readonly #helpers: Helpers;
  readonly #startedAt = now();
  readonly #problems: string[] = [];
  readonly #notes: string[] = [];
  readonly #storm: number;
  readonly #kept: number;
  readonly #witnesses: number;

  constructor(scale: LeaseScale, say: Say, measured: Measured, helpers: Helpers) {
    this.#scale = scale;
    this.#say = say;
    this.#measured = measured;
    this.#helpers = helpers;
    this.#storm = Math.max(1, Math.floor(scale.leases / 5));
    this.#kept = Math.min(200, Math.max(1, Math.floor(scale.leases / 100)));
    this.#witnesses = Math.max(1, Math.floor(scale.leases / 100));
  }

  async run(): Promise<Report> {
    try {
      return await this.#run();
    } catch (error) {
      // Whatever it is, it is reported, with what was found before it.
      return brokenOff(this.#title, this.#problems, error, { ...this.#scale });
    }
  }

  get #title(): string {
    return `Lease storms: ${count(this.#scale.leases)} leases, ${count(this.#storm)} of them due in one second`;
  }

  async #run(): Promise<Report> {
    const { cluster } = this.#measured;
    const { puts } = this.#helpers;
    const first = await cluster.leader();
    const idle = cluster.members.map(({ pid }) => peakBytes(pid));
    const grants = await this.#grant(FIRST.long, this.#scale.leases - this.#storm, { seconds: LONG_TTL_SECONDS });

    const { putsPerSecond } = this.#scale;
    await puts.ask("start", { endpoints: cluster.endpoints, putsPerSecond, groups: PUT_GROUPS });
    await this.#keepSome();
    const { storm, stragglers } = await this.#stormPasses(grants);
    const putResult = await puts.ask("stop");
    const kept = await this.#keepNoLonger();

    await this.#grant(FIRST.more, this.#storm - this.#witnesses, { seconds: LONG_TTL_SECONDS });
    const leader = await cluster.leader();
    if (leader !== first) this.#notes.push(`${first.name} lost the lead to ${leader.name} under the load`);
    const survivors = cluster.members.filter((member) => member !== leader);
    await this.#grantWitnesses(survivors[0] as MemberProcess);
    const peaksBefore = cluster.members.map(({ pid }) => peakBytes(pid));
    const before = await this.#pauses(cluster.members);
    const alive = await this.#listed(leader, true);

    this.#tell("the leader is killed");
    const killedAt = now();
    await leader.kill();
    const service = await firstService(survivors, FIRST.long, killedAt);
    const change = await this.#pauses(survivors);
    for (const member of survivors) await this.#listed(member, true);
    const lists = await this.#pauses(survivors);
    const witnesses = await this.#witnessesGo(killedAt, service);
    const after = await this.#pauses(survivors);
    for (const member of survivors) await this.#listed(member, false);

    const peaks = cluster.members.map((member, i) => (member.running ? peakBytes(member.pid) : peaksBefore[i]));
    this.#problems.push(...judgeMemory(idle, peaks, 0, this.#scale.leases));
    const pausesMs = { before, change, lists, after };
    if (service.ttlProblem !== undefined) this.#problems.push(service.ttlProblem);
    return this.#report({
      alive,
      idle,
      grants,
      stragglers,
      storm,
      kept,
      puts: putResult,
      service,
      witnesses,
      peaks,
      pausesMs,
    });
  }

  async #grant(from: number, number: number, ttl: GrantOrder["ttl"], prefix?: string): Promise<GrantResult> {
    const { leases } = this.#helpers;
    const { endpoints } = this.#measured.cluster;
    const order = { endpoints, from, count: number, ttl, ...(prefix === undefined ? {} : { prefix }) };
    let isDone = false;
    const granted = leases.ask("grant", order).finally(() => {
      isDone = true;
    });
    const told = becomes(async () => {
      this.#tell(`granting; ${count(await leases.ask("granted"))} granted so far`);
      return isDone;
    }, GRANT_PATIENCE_MS);
    const [got, isInTime] = await Promise.all([granted, told]);
    if (!isInTime)
      this.#problems.push(`${count(number)} leases took more than ${GRANT_PATIENCE_MS / 1_000} s to grant`);
    if (got.failureCount > 0) {
      this.#problems.push(`${count(got.failureCount)} grants failed: ${got.failures.join("; ")}`);
    }
    return got;
  }

  async #keepSome(): Promise<void> {
    const { leases, reader } = this.#helpers;
    const { endpoints } = this.#measured.cluster;
    const { shortTtlSeconds } = this.#scale;
    await reader.ask("watch", { endpoint: endpoints[1] as string, prefix: PREFIX.kept });
    await this.#grant(FIRST.kept, this.#kept, { seconds: shortTtlSeconds }, PREFIX.kept);
    const order = { from: FIRST.kept, count: this.#kept, ttlSeconds: shortTtlSeconds };
    await leases.ask("keep", { endpoint: endpoints[2] as string, ...order });
  }

  /** TTLs are such that all end in one second, whenever each is granted. */
  async #stormPasses(grants: GrantResult): Promise<{ readonly storm: Judged; readonly stragglers: number }> {
    const { reader } = this.#helpers;
    const { leases } = this.#scale;
    await reader.ask("watch", { endpoint: this.#measured.cluster.endpoints[1] as string, prefix: PREFIX.storm });
    const perSecond = Math.max(1, (leases - this.#storm) / grants.seconds);
    // A grant and a put each, beside the load.
    const neededMs = 1.6 * ((2 * this.#storm) / perSecond) * 1_000;
    const endAt = now() + neededMs + 4_000;
    const { stragglers } = await this.#grant(FIRST.storm, this.#storm, { endAt }, PREFIX.storm);
    if (stragglers > 0) this.#notes.push(`${count(stragglers)} leases were granted too late to end with the others`);
    const storm = await this.#departures(PREFIX.storm, endAt, {
      name: "storm",
      from: FIRST.storm,
      count: this.#storm,
      notBefore: ({ sentAt, ttlMs }) => sentAt + ttlMs,
      due: ({ answeredAt, ttlMs }) => answeredAt + ttlMs,
      boundMs: expiryBoundMs(this.#storm),
    });
    return { storm, stragglers };
  }

  async #keepNoLonger(): Promise<Judged> {
    const { renewedAt, lapses, problems } = await this.#helpers.leases.ask("stopKeeping");
    this.#problems.push(...problems);
    if (lapses > 0) this.#notes.push(`${count(lapses)} renewals were sent too late by this machine`);
    const lastRenewal = new Map(renewedAt);
    const due = ({ id, sentAt, ttlMs }: Departure): number => (lastRenewal.get(id) ?? sentAt) + ttlMs;
    return this.#departures(PREFIX.kept, now() + this.#scale.shortTtlSeconds * 1_000, {
      name: "kept alive until now",
      from: FIRST.kept,
      count: this.#kept,
      notBefore: due,
      due,
      boundMs: expiryBoundMs(this.#kept),
    });
  }

  /** Short leases that the next leader has to count anew. */
  async #grantWitnesses(watchedAt: MemberProcess): Promise<void> {
    await this.#helpers.reader.ask("watch", { endpoint: watchedAt.endpoint, prefix: PREFIX.witness });
    await this.#grant(FIRST.witness, this.#witnesses, { seconds: this.#scale.shortTtlSeconds }, PREFIX.witness);
  }

  async #witnessesGo(killedAt: number, { servedAt }: Service): Promise<Judged> {
    return this.#departures(PREFIX.witness, servedAt + this.#scale.shortTtlSeconds * 1_000, {
      name: "after the leader was lost",
      from: FIRST.witness,
      count: this.#witnesses,
      // The next leader is elected later than this, and counts a full time-to-live from then on (L-9).
      notBefore: ({ sentAt, ttlMs }) => (sentAt + ttlMs > killedAt ? killedAt : sentAt) + ttlMs,
      due: ({ ttlMs }) => servedAt + ttlMs,
      boundMs: succeededExpiryBoundMs(this.#witnesses),
    });
  }

  /** Waits for all to go, until they are overdue beyond the bound. */
  async #departures(prefix: string, dueAt: number, expected: Expected): Promise<Judged> {
    const { reader } = this.#helpers;
    const patienceMs = Math.max(0, dueAt - now()) + 2 * expected.boundMs + 5_000;
    const doing = `${expected.name}: ${count(expected.count)} leases to end`;
    // Those that stay are a problem of the judgement below.
    await becomes(async () => {
      const gone = await reader.ask("gone", prefix);
      this.#tell(`${doing}; ${count(gone)} did`);
      return gone >= expected.count;
    }, patienceMs);
    const { departures, problems } = await reader.ask("departures", prefix);
    this.#problems.push(...problems);
    const judged = judge(departures, expected);
    this.#problems.push(...judged.problems);
    return judged;
  }

  /** The member has each long lease and no other, save the witnesses while they may live. Answers how many it has. */
  async #listed(member: MemberProcess, mayHaveWitnesses: boolean): Promise<number> {
    const client = this.#measured.cluster.client(member);
    // Its list is of what it applied; after a linearizable read that is everything acknowledged.
    await client.range({ key: "nothing" }, 30_000);
    const { leases } = await client.unary(rpcs.LeaseLeaseLeases, {}, { timeoutMs: 60_000 });
    const has = new Set(leases.map(({ ID }) => Number(ID)));
    const held = (from: number, number: number): number => {
      let found = 0;
      for (let id = from; id < from + number; id++) if (has.has(id)) found++;
      return found;
    };
    const total = this.#scale.leases - this.#witnesses;
    const long = held(FIRST.long, this.#scale.leases - this.#storm) + held(FIRST.more, this.#storm - this.#witnesses);
    if (long < total) this.#problems.push(`${member.name} lost ${count(total - long)} of ${count(total)} leases`);
    const others = has.size - long - (mayHaveWitnesses ? held(FIRST.witness, this.#witnesses) : 0);
    if (others > 0) this.#problems.push(`${member.name} has ${count(others)} leases that should be gone`);
    return has.size;
  }

  #pauses(members: readonly MemberProcess[]): Promise<number[]> {
    return Promise.all(members.map((member) => this.#measured.longestPauseMs(member)));
  }

  #tell(doing: string): void {
    this.#say(`leases ${((now() - this.#startedAt) / 1_000).toFixed(0)} s: ${doing}`);
  }

  #report(outcome: Outcome): Report {
    const { leases, putsPerSecond } = this.#scale;
    const { grants, storm, kept, witnesses, service, puts, pausesMs, peaks } = outcome;
    if (puts.failureCount > 0) {
      this.#problems.push(`${count(puts.failureCount)} puts failed: ${puts.failures.join("; ")}`);
    }
    const grantsPerSecond = (leases - this.#storm) / grants.seconds;
    const rate = puts.acknowledged / puts.seconds;
    const lag = (judged: Judged): Spread => spreadOf(judged.lagsMs);
    return {
      title: this.#title,
      rows: [
        ["grants", `${count(grantsPerSecond)}/s`],
        ["puts beside the storm", `${count(rate)}/s of ${count(putsPerSecond)} wanted`],
        ["  answered after", spread(puts.latencyMs)],
        ["expiry lag, storm", spread(lag(storm))],
        ["  first due to last gone", ms(storm.spanMs)],
        [`expiry lag, ${count(this.#kept)} kept until then`, spread(lag(kept))],
        ["alive, leader killed", count(outcome.alive)],
        ["  next put after", ms(service.putMs)],
        ["  next word of a lease after", ms(service.ttlMs)],
        [`  lag, ${count(this.#witnesses)} short ones then`, spread(lag(witnesses))],
        ["longest event-loop pause", pausesMs.before.map(ms).join(", ")],
        ["  while the leader changes", pausesMs.change.map(ms).join(", ")],
        ["  all leases are listed", pausesMs.lists.map(ms).join(", ")],
        ["  afterwards", pausesMs.after.map(ms).join(", ")],
        ["peak memory (idle at first)", peaks.map(mib).join(", ")],
        ["", `(${outcome.idle.map(mib).join(", ")})`],
      ],
      problems: this.#problems,
      notes: [...this.#notes, ...shortOf(rate, putsPerSecond), ...unmeasured(peaks)],
      isFarFromRate: isFarFrom(rate, putsPerSecond),
      figures: {
        leases,
        storm: this.#storm,
        kept: this.#kept,
        witnesses: this.#witnesses,
        alive: outcome.alive,
        grantsPerSecond,
        stragglers: outcome.stragglers,
        putsPerSecond: rate,
        putLatencyMs: puts.latencyMs,
        stormLagMs: lag(storm),
        stormSpanMs: storm.spanMs,
        keptLagMs: lag(kept),
        witnessLagMs: lag(witnesses),
        failoverPutMs: service.putMs,
        failoverTimeToLiveMs: service.ttlMs,
        longestPausesMs: pausesMs,
        peakBytes: peaks,
        idleBytes: outcome.idle,
      },
    };
  }
}
