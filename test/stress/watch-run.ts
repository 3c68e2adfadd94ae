/**
 * Watchers with prev_kv on a few streams while puts come at a steady rate; one stream stops reading, a compaction
 * overtakes it, another stops and goes on later.
 */
import { rpcs } from "../../proto/generated/services.ts";
import {
  type Delays,
  isFarFrom,
  judgeDelays,
  judgeGrowth,
  judgeLive,
  judgeMemory,
  type Peaks,
  STALL_BYTES,
  shortOf,
  TELLING_BYTES,
  unmeasured,
} from "./bounds.ts";
import { becomes, now, pause } from "./clock.ts";
import type { Spread } from "./figures.ts";
import { Helper } from "./helper.ts";
import { type Measured, peakBytes, withMeasured } from "./members.ts";
import type { PutLoadDesk, PutResult } from "./put-load.ts";
import { brokenOff, count, mib, ms, type Report, type Say, spread } from "./report.ts";
import { groupCount, spreadWatches } from "./spread-watches.ts";
import { EVENT_BYTES, groupPrefix, PREFIX } from "./stamped-value.ts";
import type { ReaderResult, WatchEnd, WatchReaderDesk } from "./watch-reader.ts";

export interface WatchScale {
  readonly watchers: number;
  readonly putsPerSecond: number;
  readonly seconds: number;
  /**
   * Whether streams that suffer are a problem: where others use the machine, too, their delays show nothing. And whether
   * so much is to go past the stalled stream that memory shows who keeps it.
   */
  readonly judgesFigures: boolean;
}

const MEMBERS = 3;
const LOOK_MS = 250;
const PATIENCE_MS = 60_000;
/** Of the whole run, in percent. */
const SHARES = { warmUp: 10, alone: 25, stalled: 35, after: 30 } as const;
/** A stream that stops is full after so many seconds, by having enough watches. */
const FULL_AFTER_SECONDS = 1.5;

const OVERTAKEN = "the overtaken stream";
const LATE = "the late stream";

interface Helpers {
  readonly load: Helper<PutLoadDesk>;
  readonly steady: Helper<WatchReaderDesk>;
  readonly slow: Helper<WatchReaderDesk>;
}

export function runWatch(scale: WatchScale, say: Say): Promise<Report> {
  const startHelpers = (): Helpers => ({
    load: new Helper("put-load.ts"),
    steady: new Helper("watch-reader.ts"),
    slow: new Helper("watch-reader.ts"),
  });
  return withMeasured(MEMBERS, startHelpers, (measured, helpers) => new WatchRun(scale, say, measured, helpers).run());
}

class WatchRun {
  readonly #scale: WatchScale;
  readonly #say: Say;
  readonly #measured: Measured;
  readonly #helpers: Helpers;
  readonly #startedAt = now();
  readonly #problems: string[] = [];
  readonly #groups: number;

  constructor(scale: WatchScale, say: Say, measured: Measured, helpers: Helpers) {
    this.#scale = scale;
    this.#say = say;
    this.#measured = measured;
    this.#helpers = helpers;
    this.#groups = groupCount(scale.watchers);
  }

  async run(): Promise<Report> {
    try {
      return await this.#run();
    } catch (error) {
      // Whatever it is, it is reported, with what was found before it.
      const { steady, slow } = this.#helpers;
      const readers = await Promise.allSettled([steady.ask("state"), slow.ask("state")]);
      const found = readers.flatMap((reader) => (reader.status === "fulfilled" ? reader.value.problems : []));
      return brokenOff(this.#title, [...this.#problems, ...found], error, { ...this.#scale });
    }
  }

  get #title(): string {
    const { watchers, putsPerSecond, seconds } = this.#scale;
    return `Watch under stress: ${count(watchers)} watchers, ${count(putsPerSecond)} puts/s, ${seconds} s`;
  }

  async #run(): Promise<Report> {
    const { putsPerSecond, seconds } = this.#scale;
    const { cluster, longestPauseMs } = this.#measured;
    const { load, steady, slow } = this.#helpers;
    const { endpoints, members } = cluster;
    const peaks = (): Peaks => members.map(({ pid }) => peakBytes(pid));
    const idle = peaks();
    const leader = await cluster.leader();
    await this.#openSteady(endpoints);
    const slice = (percent: number): number => (seconds * 1_000 * percent) / 100;

    await steady.ask("phase", "warming up");
    await load.ask("start", { endpoints, putsPerSecond, groups: this.#groups });
    await this.#watchFor(slice(SHARES.warmUp), "warming up");
    const liveFirst = await this.#live();
    const putsFirst = (await load.ask("state")).acknowledged;

    await steady.ask("phase", "alone");
    await this.#watchFor(slice(SHARES.alone), "all streams read");
    const peaksAlone = peaks();

    await steady.ask("phase", "stalled");
    await this.#openStalled(OVERTAKEN, leader.endpoint);
    const stalledAt = await this.#revision();
    await this.#watchFor(slice(SHARES.stalled), "one stream stalled");
    await this.#goesPast(stalledAt, this.#scale.judgesFigures ? TELLING_BYTES : STALL_BYTES);
    const liveLast = await this.#live();
    const putsBetween = (await load.ask("state")).acknowledged - putsFirst;
    this.#problems.push(...judgeLive(liveFirst, liveLast, putsBetween));
    const compactRevision = (await steady.ask("state")).revision;
    const peaksStalled = peaks();
    this.#problems.push(...judgeGrowth(peaksAlone, peaksStalled, members.indexOf(leader)));
    const pastBytes = (compactRevision - stalledAt) * this.#stalledWatches * EVENT_BYTES;

    await steady.ask("phase", "after");
    const afterStart = now();
    await cluster.client(leader).unary(rpcs.KVCompact, { revision: compactRevision }, { timeoutMs: 30_000 });
    const overtaken = await this.#goesOn(OVERTAKEN);
    for (const end of overtaken) this.#judgeOvertaken(end, compactRevision);
    const keptBytes = overtaken.reduce((sum, { revision }) => sum + Math.max(0, revision - stalledAt) * EVENT_BYTES, 0);

    await this.#openStalled(LATE, leader.endpoint);
    const lateAt = await this.#revision();
    await this.#goesPast(lateAt, STALL_BYTES);
    const late = await this.#goesOn(LATE);
    if (late.some((end) => end.overtaken !== undefined)) {
      this.#problems.push(`${LATE} was cancelled though nothing that it had to read was compacted`);
    }
    await this.#watchFor(slice(SHARES.after) - (now() - afterStart), "all streams read");

    const puts = await load.ask("stop");
    await this.#everythingSeen(puts);
    const [seen, slowly] = await Promise.all([steady.ask("result"), slow.ask("result")]);
    const pausesMs = await Promise.all(members.map((member) => longestPauseMs(member)));
    const peaksInAll = peaks();
    this.#problems.push(...judgeMemory(idle, peaksInAll, 2, 0));
    return this.#report(puts, seen, slowly, {
      overtaken,
      pastBytes,
      keptBytes,
      pausesMs,
      idle,
      peaksAlone,
      peaksStalled,
      peaks: peaksInAll,
      liveFirst,
      liveLast,
      stalledAt: members.indexOf(leader),
    });
  }

  #live(): Promise<number[]> {
    const { cluster, liveBytes } = this.#measured;
    return Promise.all(cluster.members.map((member) => liveBytes(member)));
  }

  /** One watch after the other breaks the same promise: said once. */
  #broken(what: string): void {
    if (!this.#problems.includes(what)) this.#problems.push(what);
  }

  /** So many of everything that a stream that stops is full soon, and that enough has gone past it by the end of its phase. */
  get #stalledWatches(): number {
    const { putsPerSecond, seconds, judgesFigures } = this.#scale;
    const watchBytesPerSecond = EVENT_BYTES * putsPerSecond;
    const soon = STALL_BYTES / (watchBytesPerSecond * FULL_AFTER_SECONDS);
    const enough = judgesFigures ? TELLING_BYTES / ((watchBytesPerSecond * seconds * SHARES.stalled) / 100) : 0;
    return Math.ceil(Math.max(soon, enough));
  }

  async #openSteady(endpoints: readonly string[]): Promise<void> {
    const startRevision = (await this.#revision()) + 1;
    await Promise.all(
      spreadWatches(this.#scale.watchers, endpoints.length).flatMap(({ member, groups }, s) => {
        const endpoint = endpoints[member] as string;
        const order = { name: `stream ${s}`, endpoint, prefixes: groups.map(groupPrefix), startRevision };
        return groups.length === 0
          ? []
          : [this.#helpers.steady.ask("open", { ...order, everyRevision: false, stalled: false })];
      }),
    );
  }

  /** It sees everything from now on, once in each of its watches, and reads nothing of it. */
  async #openStalled(name: string, endpoint: string): Promise<void> {
    const prefixes = Array.from({ length: this.#stalledWatches }, () => PREFIX);
    const startRevision = (await this.#revision()) + 1;
    const order = { name, endpoint, prefixes, startRevision, everyRevision: true, stalled: true };
    await this.#helpers.slow.ask("open", order);
  }

  async #revision(): Promise<number> {
    const { cluster } = this.#measured;
    const { header } = await cluster.client(cluster.member(0)).range({ key: "nothing" }, 30_000);
    return header?.revision ?? 0;
  }

  /** So much, more than a member may keep, went past a stream that stalled at that revision. */
  async #goesPast(stalledAt: number, bytes: number): Promise<void> {
    const puts = bytes / (EVENT_BYTES * this.#stalledWatches);
    await this.#becomes(`${mib(bytes)} go past the stalled stream`, async () => {
      const { revision } = await this.#helpers.steady.ask("state");
      await this.#tell("filling a stalled stream");
      return revision > stalledAt + puts;
    });
  }

  async #becomes(what: string, condition: () => Promise<boolean>): Promise<void> {
    if (await becomes(condition, PATIENCE_MS)) return;
    this.#problems.push(`not within ${PATIENCE_MS / 1_000} s: ${what}`);
  }

  /** Reads again, until each of its watches has all there was at this moment or was cancelled. */
  async #goesOn(name: string): Promise<WatchEnd[]> {
    const { slow } = this.#helpers;
    const goal = await this.#revision();
    let ends: WatchEnd[] = [];
    await slow.ask("resume", name);
    await this.#becomes(`${name} has everything up to revision ${goal}, or was cancelled`, async () => {
      ends = await slow.ask("ends", name);
      await this.#tell(`${name} catches up`);
      return ends.every(({ revision, overtaken }) => overtaken !== undefined || revision >= goal);
    });
    await slow.ask("close", name);
    return ends;
  }

  /** W-6. Everything up to its last event is checked as it arrives. */
  #judgeOvertaken({ revision, overtaken }: WatchEnd, compactRevision: number): void {
    if (overtaken === undefined) {
      // Of history nothing was left that it could have had this from: more was kept for it than a member may keep.
      this.#broken(`${OVERTAKEN} has everything though the compaction at ${compactRevision} was beyond it`);
      return;
    }
    const isRight =
      overtaken.compactRevision === compactRevision && overtaken.headerRevision === 0 && overtaken.reason === "";
    if (!isRight) this.#broken(`${OVERTAKEN} was cancelled with ${JSON.stringify(overtaken)}`);
    if (revision + 1 >= compactRevision) {
      this.#broken(`${OVERTAKEN} was cancelled with revision ${revision}, next to ${compactRevision}`);
    }
  }

  async #everythingSeen(puts: PutResult): Promise<void> {
    const { steady } = this.#helpers;
    if (puts.failureCount > 0) {
      this.#problems.push(`${count(puts.failureCount)} puts failed: ${puts.failures.join("; ")}`);
    }
    let missing = 0;
    const isComplete = await becomes(async () => {
      missing = await steady.ask("missing", puts.keys);
      await this.#tell("waiting for the last events");
      return missing === 0;
    }, PATIENCE_MS);
    if (!isComplete) this.#problems.push(`lost: ${count(missing)} events never came`);
  }

  async #watchFor(milliseconds: number, doing: string): Promise<void> {
    const end = now() + milliseconds;
    while (now() < end) {
      await pause(Math.min(LOOK_MS, Math.max(0, end - now())));
      await this.#tell(doing);
    }
  }

  async #tell(doing: string): Promise<void> {
    const [{ acknowledged }, { events }] = await Promise.all([
      this.#helpers.load.ask("state"),
      this.#helpers.steady.ask("state"),
    ]);
    const seconds = ((now() - this.#startedAt) / 1_000).toFixed(0);
    this.#say(`watch ${seconds} s: ${doing}; ${count(acknowledged)} puts, ${count(events)} events`);
  }

  #report(
    puts: PutResult,
    seen: ReaderResult,
    slowly: ReaderResult,
    rest: {
      readonly overtaken: readonly WatchEnd[];
      readonly pastBytes: number;
      readonly keptBytes: number;
      readonly pausesMs: readonly number[];
      readonly idle: Peaks;
      readonly peaksAlone: Peaks;
      readonly peaksStalled: Peaks;
      readonly peaks: Peaks;
      readonly liveFirst: readonly number[];
      readonly liveLast: readonly number[];
      readonly stalledAt: number;
    },
  ): Report {
    const { putsPerSecond } = this.#scale;
    const problems = [...this.#problems];
    for (const reader of [seen, slowly]) {
      problems.push(...reader.problems);
      if (reader.problemCount > reader.problems.length) problems.push(`... ${count(reader.problemCount)} in all`);
    }
    const none: Spread = { count: 0, p50: 0, p99: 0, max: 0 };
    const delay = (phase: string): Spread => seen.delaysMs[phase] ?? none;
    const delays = (phase: string): Delays =>
      this.#measured.cluster.endpoints.map((endpoint) => seen.delaysAtMs[phase]?.[endpoint] ?? none);
    for (const phase of this.#scale.judgesFigures ? ["stalled", "after"] : []) {
      const ownPauseMs = Math.max(puts.ownPauseMs, seen.ownPauseMs);
      problems.push(...judgeDelays(phase, delays("alone"), delays(phase), rest.stalledAt, ownPauseMs));
    }
    const rate = puts.acknowledged / puts.seconds;
    const notes = [...shortOf(rate, putsPerSecond), ...unmeasured(rest.peaks)];
    if (rest.pastBytes < TELLING_BYTES) {
      notes.push(`${mib(rest.pastBytes)} went past the stalled stream, too little to see in memory who keeps it`);
    }
    const cancelled = rest.overtaken.filter(({ overtaken }) => overtaken !== undefined).length;
    return {
      title: this.#title,
      rows: [
        ["puts", `${count(puts.acknowledged)} (${count(rate)}/s)`],
        ["  answered after", spread(puts.latencyMs)],
        ["events to those who read", count(seen.events)],
        ["event delay, all read", spread(delay("alone"))],
        ["  one stream stalled", spread(delay("stalled"))],
        ["  compaction, catching up", spread(delay("after"))],
        ["went past the stalled stream", mib(rest.pastBytes)],
        ["  of it kept for it", mib(rest.keptBytes)],
        ["  watches told of compaction", `${cancelled} of ${rest.overtaken.length}`],
        ["events to those who stalled", count(slowly.events)],
        ["longest event-loop pause", rest.pausesMs.map(ms).join(", ")],
        ["peak memory (idle at first)", rest.peaks.map(mib).join(", ")],
        ["", `(${rest.idle.map(mib).join(", ")}); leader m${rest.stalledAt + 1}`],
        ["  when the stall began", rest.peaksAlone.map(mib).join(", ")],
        ["  when it ended", rest.peaksStalled.map(mib).join(", ")],
        ["in use after the warm-up", rest.liveFirst.map(mib).join(", ")],
        ["  when the stall ended", rest.liveLast.map(mib).join(", ")],
        ["own pauses: load, watchers", `${ms(puts.ownPauseMs)}, ${ms(seen.ownPauseMs)}`],
      ],
      problems,
      notes,
      isFarFromRate: isFarFrom(rate, putsPerSecond),
      figures: {
        ...this.#scale,
        acknowledged: puts.acknowledged,
        achievedPutsPerSecond: rate,
        putLatencyMs: puts.latencyMs,
        events: seen.events,
        slowEvents: slowly.events,
        delaysMs: seen.delaysMs,
        delaysAtMs: seen.delaysAtMs,
        liveBytesFirst: rest.liveFirst,
        liveBytesLast: rest.liveLast,
        cancelledWatches: cancelled,
        stalledWatches: rest.overtaken.length,
        pastStalledBytes: rest.pastBytes,
        keptForStalledBytes: rest.keptBytes,
        longestPausesMs: rest.pausesMs,
        peakBytes: rest.peaks,
        peakBytesAlone: rest.peaksAlone,
        peakBytesStalled: rest.peaksStalled,
        idleBytes: rest.idle,
        ownPausesMs: { load: puts.ownPauseMs, watchers: seen.ownPauseMs },
      },
    };
  }
}
