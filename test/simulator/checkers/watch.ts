import type { History, KeyValue, Stamp, WatchEvent, WatchRequest, WatchResponse, WatchStream } from "../history.ts";
import type { Change } from "./model.ts";
import { inRange, isSamePair } from "./model-store.ts";
import { compactRevisionAt, revisionAt, type Truth } from "./truth.ts";
import { Findings, show, type Verdict } from "./verdict.ts";

interface Watch {
  readonly id: bigint;
  readonly request: WatchRequest;
  readonly createdAt: number;
  /** Every event of a lower revision that concerns the watch was received. */
  next: number;
  /** "overtaken": told that compaction passed it by. The client may still cancel it. */
  state: "live" | "overtaken" | "canceled";
  cancelAsked: boolean;
  /** Events of a response that came in fragments, up to now. */
  fragments: WatchEvent[];
}

/** W-7. */
const MAX_REVISIONS_PER_RESPONSE = 1000;

/** Ids that belong to no watch (W-4, W-11). */
const NO_WATCH = -1n;

/**
 * What a watch promises (W-1..W-14), on every stream by itself: from its start on, every event of its range that its
 * filters pass, once, in order, no revision in parts, each with its true content; no event after a cancel; nothing said of
 * progress that was not delivered; cancelled for compaction only when it was overtaken. A resumed watch is a watch with a
 * start: that nothing is missing or twice over the break follows from both being complete.
 */
export function checkWatches(history: History, truth: Truth): Verdict {
  const findings = new Findings("watch", [
    "watches",
    "events",
    "events with prev_kv",
    "catch-up watches",
    "progress",
    "overtaken by compaction",
    "fragments",
    "complete at the end",
    "progress told at the end",
  ]);
  const settled = history.worldEvents.find(({ event }) => event.kind === "settled");
  for (const stream of history.streams) {
    new StreamCheck(stream, truth, findings).run(settled && endOf(history, truth, settled));
  }
  return findings.verdict();
}

/** What must have reached every watch that is still open in the end and was not made at the last moment. */
interface End {
  readonly revision: number;
  /** Until then, and so long before the end. */
  readonly createdBefore: number;
  readonly patienceMs: number;
}

function endOf({ facts }: History, truth: Truth, settled: Stamp): End {
  const patienceMs = 2 * facts.electionMs;
  const createdBefore = settled.at - patienceMs;
  let { revision } = truth;
  while (revision > 1 && (truth.revisionApplied[revision]?.at ?? 0) > createdBefore) revision--;
  return { revision, createdBefore, patienceMs };
}

class StreamCheck {
  readonly #stream: WatchStream;
  readonly #truth: Truth;
  readonly #findings: Findings;
  readonly #watches = new Map<bigint, Watch>();
  /** Create requests without an answer yet: answers come in the order of requests (W-1). */
  readonly #creates: WatchRequest[] = [];
  #progressAsked = 0;
  #progressAnswered = 0;
  #lastAsked: Stamp | undefined;
  /** No reply since. */
  #isProgressOwed = false;

  constructor(stream: WatchStream, truth: Truth, findings: Findings) {
    this.#stream = stream;
    this.#truth = truth;
    this.#findings = findings;
  }

  run(end: End | undefined): void {
    for (const record of this.#stream.records) {
      switch (record.kind) {
        case "create":
          this.#creates.push(record.request);
          break;
        case "cancel": {
          const watch = this.#watches.get(record.watchId);
          if (watch !== undefined) watch.cancelAsked = true;
          break;
        }
        case "progressRequest":
          this.#progressAsked++;
          this.#lastAsked = record;
          this.#isProgressOwed = true;
          break;
        case "response":
          this.#response(record.response, record);
          break;
        case "end":
          return;
      }
    }
    if (end !== undefined) this.#atEnd(end);
  }

  #report(message: string, { at }: Stamp): void {
    const { id, client, member } = this.#stream;
    this.#findings.report(`stream ${id} of client ${client} at member ${member}: ${message}`, at);
  }

  #response(response: WatchResponse, stamp: Stamp): void {
    const known = revisionAt(this.#truth, stamp.seq);
    if (response.revision > known) {
      this.#report(`a response names revision ${response.revision}, when ${known} was the highest`, stamp);
    }
    if (response.created) this.#created(response, stamp);
    else if (response.canceled) this.#canceled(response, stamp);
    else if (response.watchId === NO_WATCH) this.#progressReply(response, stamp);
    else if (response.events.length > 0) this.#events(response, stamp);
    else this.#progressNotice(response, stamp);
  }

  #created(response: WatchResponse, stamp: Stamp): void {
    const request = this.#creates.shift();
    const { watchId } = response;
    if (request === undefined) {
      this.#report(`watch ${watchId} was created, and nobody asked`, stamp);
      return;
    }
    const refusal = this.#refusal(request);
    if (response.canceled) {
      if (refusal === undefined) this.#report(`${show(request)} was refused: ${response.cancelReason}`, stamp);
      return;
    }
    const held = this.#watches.get(watchId);
    if (refusal !== undefined && refusal !== "its id may be free") {
      this.#report(`${show(request)} was created, and ${refusal}`, stamp);
    }
    if (watchId === NO_WATCH || held?.state === "live" || (request.watchId !== 0n && request.watchId !== watchId)) {
      this.#report(`${show(request)} was created as ${watchId}`, stamp);
    }
    this.#findings.count("watches");
    if (request.startRevision > 0 && request.startRevision <= response.revision) {
      this.#findings.count("catch-up watches");
    }
    this.#watches.set(watchId, {
      id: watchId,
      request,
      next: request.startRevision > 0 ? request.startRevision : response.revision + 1,
      state: "live",
      cancelAsked: false,
      createdAt: stamp.at,
      fragments: [],
    });
  }

  /** Why the create has to be refused (W-4). */
  #refusal({ watchId, key, rangeEnd, startRevision }: WatchRequest): string | undefined {
    if (startRevision < 0) return "its start is negative";
    if (rangeEnd !== "" && rangeEnd !== "\0" && key >= rangeEnd) return "its range is empty";
    if (watchId === 0n) return undefined;
    const watch = this.#watches.get(watchId);
    if (watch === undefined || watch.state === "canceled") return undefined;
    // A cancel under way, and a watch that compaction ended, free the id or not, depending on what came first.
    return watch.cancelAsked || watch.state === "overtaken" ? "its id may be free" : "its id is taken";
  }

  #canceled(response: WatchResponse, stamp: Stamp): void {
    const watch = this.#watches.get(response.watchId);
    if (watch === undefined || watch.state === "canceled") {
      this.#report(`${show(response)} cancels no watch`, stamp);
      return;
    }
    if (watch.fragments.length > 0) this.#report(`watch ${watch.id} ends within fragments`, stamp);
    const { compactRevision } = response;
    if (compactRevision === 0) {
      if (!watch.cancelAsked)
        this.#report(`watch ${watch.id} was cancelled, and nobody asked: ${show(response)}`, stamp);
      watch.state = "canceled";
      return;
    }
    this.#findings.count("overtaken by compaction");
    const known = compactRevisionAt(this.#truth, stamp.seq);
    if (compactRevision > known) {
      this.#report(
        `watch ${watch.id} was cancelled for compact revision ${compactRevision}, ${known} is the highest`,
        stamp,
      );
    }
    if (watch.next >= compactRevision) {
      this.#report(
        `watch ${watch.id} was cancelled for compact revision ${compactRevision}, and needs none below ${watch.next}`,
        stamp,
      );
    }
    watch.state = "overtaken";
  }

  #liveWatch(response: WatchResponse, stamp: Stamp): Watch | undefined {
    const watch = this.#watches.get(response.watchId);
    if (watch?.state === "live") return watch;
    this.#report(
      `a response of watch ${response.watchId}, which is ${watch?.state ?? "unknown"}: ${show(response)}`,
      stamp,
    );
    return undefined;
  }

  #progressReply(response: WatchResponse, stamp: Stamp): void {
    this.#progressAnswered++;
    this.#isProgressOwed = false;
    if (this.#progressAnswered > this.#progressAsked) this.#report("a progress reply that nobody asked for", stamp);
    if (response.events.length > 0) this.#report("a progress reply with events", stamp);
    for (const watch of this.#watches.values()) {
      if (watch.state !== "live") continue;
      if (response.revision < watch.request.startRevision) {
        this.#report(
          `progress ${response.revision}, and watch ${watch.id} starts at ${watch.request.startRevision}`,
          stamp,
        );
      }
      this.#progress(watch, response.revision, stamp);
    }
  }

  #progressNotice(response: WatchResponse, stamp: Stamp): void {
    const watch = this.#liveWatch(response, stamp);
    if (watch === undefined) return;
    if (!watch.request.progressNotify) this.#report(`a notice of progress that watch ${watch.id} does not want`, stamp);
    this.#progress(watch, response.revision, stamp);
  }

  /** W-11: everything up to `revision` was delivered. */
  #progress(watch: Watch, revision: number, stamp: Stamp): void {
    this.#findings.count("progress");
    if (watch.fragments.length > 0) this.#report(`progress within the fragments of watch ${watch.id}`, stamp);
    const missing = this.#firstMissing(watch, revision, stamp);
    if (missing !== undefined) {
      this.#report(`progress ${revision}, and watch ${watch.id} never got ${show(missing)}`, stamp);
    }
    watch.next = Math.max(watch.next, revision + 1);
  }

  #firstMissing(watch: Watch, through: number, stamp: Stamp): Change | undefined {
    for (let revision = watch.next; revision <= through; revision++) {
      for (const change of this.#truth.changes[revision] ?? []) {
        if (concerns(watch.request, change) && !this.#mayBeGone(change, stamp)) return change;
      }
    }
    return undefined;
  }

  /**
   * C-2: a compaction keeps of its own revision what a read finds, and tombstones. A key that one transaction put and then
   * deleted (two nested ones may) has lost the put for whoever comes to that revision from history.
   */
  #mayBeGone(change: Change, { seq }: Stamp): boolean {
    const { key, modRevision } = change.kv;
    if (change.kind === "delete" || compactRevisionAt(this.#truth, seq) < modRevision) return false;
    const last = this.#truth.changes[modRevision]?.findLast(({ kv }) => kv.key === key);
    return last !== undefined && last !== change;
  }

  #events(response: WatchResponse, stamp: Stamp): void {
    const watch = this.#liveWatch(response, stamp);
    if (watch === undefined) return;
    if (response.fragment) {
      this.#findings.count("fragments");
      if (!watch.request.fragment) this.#report(`watch ${watch.id} gets a fragment, unasked`, stamp);
      watch.fragments.push(...response.events);
      return;
    }
    const events = watch.fragments.length === 0 ? response.events : [...watch.fragments, ...response.events];
    watch.fragments = [];
    this.#compare(watch, events, response, stamp);
  }

  /**
   * The events are all that concern the watch, from `next` on to the end of the last event's revision. Save one: of a
   * key that changed twice in a revision a compaction to exactly that one keeps the second change alone (C-2).
   */
  #compare(watch: Watch, events: readonly WatchEvent[], response: WatchResponse, stamp: Stamp): void {
    const last = (events.at(-1) as WatchEvent).kv.modRevision;
    if (response.revision < last) {
      this.#report(`watch ${watch.id}: header revision ${response.revision} with an event of revision ${last}`, stamp);
    }
    let at = 0;
    let revisions = 0;
    for (let revision = watch.next; revision <= last; revision++) {
      const before = at;
      for (const change of this.#truth.changes[revision] ?? []) {
        if (!concerns(watch.request, change)) continue;
        const event = events[at];
        const problem = event === undefined ? "is missing" : this.#difference(watch, change, event, stamp);
        if (problem !== undefined) {
          if (this.#mayBeGone(change, stamp)) continue;
          this.#report(`watch ${watch.id}: ${show(change)} ${problem}; event ${at} is ${show(event)}`, stamp);
          watch.next = last + 1;
          return;
        }
        at++;
      }
      if (at > before) revisions++;
    }
    this.#findings.count("events", at);
    if (at < events.length) {
      this.#report(`watch ${watch.id}, which waits for revision ${watch.next}, gets ${show(events[at])}`, stamp);
    }
    if (revisions > MAX_REVISIONS_PER_RESPONSE) {
      this.#report(`watch ${watch.id} gets ${revisions} revisions in one response`, stamp);
    }
    watch.next = Math.max(watch.next, last + 1);
  }

  #difference(watch: Watch, change: Change, event: WatchEvent, stamp: Stamp): string | undefined {
    if (change.kind !== event.kind || !isSamePair(change.kv, event.kv)) return "is wrong or missing";
    return this.#prevKvDifference(watch, change, event.prevKv, stamp);
  }

  /** W-8: the pair one revision before; absent when there was none, or when compaction may have taken it. */
  #prevKvDifference(watch: Watch, change: Change, prevKv: KeyValue | undefined, stamp: Stamp): string | undefined {
    if (!watch.request.prevKv) return prevKv === undefined ? undefined : "has a prev_kv that nobody wants";
    this.#findings.count("events with prev_kv");
    const { before } = change;
    if (before !== undefined && prevKv !== undefined) {
      return isSamePair(before, prevKv) ? undefined : "has another prev_kv";
    }
    if (before === undefined) return prevKv === undefined ? undefined : "has a prev_kv, and there was nothing before";
    return compactRevisionAt(this.#truth, stamp.seq) >= change.kv.modRevision ? undefined : "has lost its prev_kv";
  }

  #atEnd(end: End): void {
    const { revision, createdBefore } = end;
    const stamp = this.#stream.records.at(-1) ?? this.#stream.opened;
    for (const watch of this.#watches.values()) {
      if (watch.state !== "live" || watch.cancelAsked || watch.createdAt > createdBefore) continue;
      const missing = this.#firstMissing(watch, revision, stamp);
      if (missing !== undefined) this.#report(`watch ${watch.id} never got ${show(missing)}`, stamp);
      this.#findings.count("complete at the end");
    }
    this.#progressAtEnd(end, stamp);
  }

  /**
   * W-11: asked when all its watches have had the time to get everything, a stream is told so, whatever became of watches
   * that are over.
   */
  #progressAtEnd({ revision, patienceMs }: End, stamp: Stamp): void {
    const asked = this.#lastAsked;
    if (asked === undefined || this.#creates.length > 0) return;
    const watches = [...this.#watches.values()].filter(({ state }) => state === "live");
    const isCurrent = ({ createdAt, cancelAsked, request }: Watch): boolean =>
      createdAt + patienceMs <= asked.at && !cancelAsked && request.startRevision <= revision;
    if (watches.length === 0 || !watches.every(isCurrent)) return;
    this.#findings.count("progress told at the end");
    if (this.#isProgressOwed) this.#report("its last request for progress was never answered", stamp);
  }
}

function concerns({ key, rangeEnd, noPut, noDelete }: WatchRequest, { kind, kv }: Change): boolean {
  if (kind === "put" ? noPut : noDelete) return false;
  // W-2: the empty key is the lowest there is.
  return inRange(kv.key, key === "" ? "\0" : key, rangeEnd);
}
