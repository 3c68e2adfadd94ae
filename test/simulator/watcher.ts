import { WatchCreateRequest, type WatchRequest, type WatchResponse } from "../../proto/generated/etcdserverpb.ts";
import { rpcs } from "../../proto/generated/services.ts";
import type { WatchStream } from "./history.ts";
import type { Knowledge } from "./requests.ts";
import type { ClientStream } from "./sim-rpc.ts";
import { watchRequestOf, watchResponseOf } from "./wire.ts";
import type { Client, WorkloadDeps } from "./workload.ts";

/** One watch as its client sees it, over all the streams that it goes on in. */
interface Watch {
  readonly request: WatchCreateRequest;
  /** Where to go on: behind everything that was received, or told by a progress notification. */
  next: number;
  watchId: bigint | undefined;
}

const RETRY_MS = 200;

/**
 * A client that watches: several watches on one stream, on one member at a time; when the stream breaks, or at its whim,
 * it goes on elsewhere from the last revision that it saw.
 */
export class Watcher {
  readonly #client: Client;
  readonly #knowledge: Knowledge;
  readonly #deps: WorkloadDeps;
  readonly #streamMs: number;
  #watches: Watch[] = [];
  #isSettling = false;
  #stream: ClientStream<WatchRequest> | undefined;
  #record: WatchStream | undefined;
  /** Answered in the order in which they were asked for (W-2). */
  #unanswered: Watch[] = [];

  constructor(client: Client, knowledge: Knowledge, deps: WorkloadDeps, streamMs: number) {
    this.#client = client;
    this.#knowledge = knowledge;
    this.#deps = deps;
    this.#streamMs = streamMs;
  }

  start(): void {
    this.#deps.world.schedule(this.#client.owner, 0, "watcher", () => void this.#run());
  }

  /** From now on it reads all the time, and changes nothing any more. */
  settle(): void {
    this.#isSettling = true;
    this.#stream?.setReading(true);
    this.#lookBack();
  }

  /** Nobody writes any more, and so no event helps a watch of the past along. */
  #lookBack(): void {
    const stream = this.#stream;
    const record = this.#record;
    if (stream === undefined || record === undefined) return;
    const startRevision = Math.max(1, this.#knowledge.revision - this.#client.random.below(40));
    const request = WatchCreateRequest.create({ key: "\0", rangeEnd: "\0", startRevision });
    const watch: Watch = { request, next: startRevision, watchId: undefined };
    this.#watches.push(watch);
    this.#unanswered.push(watch);
    this.#deps.history.watchCreate(record, watchRequestOf(request));
    stream.send({ requestUnion: { kind: "createRequest", value: request } });
  }

  askProgress(): void {
    if (this.#stream === undefined || this.#record === undefined) return;
    this.#deps.history.watchProgress(this.#record);
    this.#stream.send({ requestUnion: { kind: "progressRequest", value: {} } });
  }

  async #run(): Promise<void> {
    const { world, members } = this.#deps;
    const { random, owner } = this.#client;
    for (;;) {
      if (this.#watches.length === 0 || (!this.#isSettling && random.chance(0.2))) {
        this.#watches = Array.from({ length: random.between(1, 4) }, () => this.#draw());
      }
      await this.#watch(random.pick(members()));
      await world.delay(owner, RETRY_MS, "watch again");
    }
  }

  #draw(): Watch {
    const { random, requests } = this.#client;
    const { revision } = this.#knowledge;
    const startRevision = random.pick([0, 0, 1, revision, Math.max(1, revision - random.below(40)), revision + 3]);
    const filters = random.pick([[], [], [], [0], [1]]);
    const request = WatchCreateRequest.create({
      ...requests.range(),
      startRevision,
      filters,
      prevKv: random.chance(0.5),
      fragment: random.chance(0.3),
      progressNotify: random.chance(0.3),
    });
    return { request, next: startRevision, watchId: undefined };
  }

  /** One stream, until it ends. */
  async #watch(member: number): Promise<void> {
    const { world, port, history } = this.#deps;
    const { random, owner, number } = this.#client;
    const record = history.openStream(number, member);
    const unanswered: Watch[] = [];
    this.#unanswered = unanswered;
    let isOver = false;
    const stream = port.stream(
      owner,
      member,
      rpcs.WatchWatch,
      (response: WatchResponse) => {
        history.watchResponse(record, watchResponseOf(response));
        this.#received(response, unanswered);
      },
      (code, message) => {
        isOver = true;
        history.watchEnd(record, `${code} ${message}`);
      },
      random.chance(0.2) ? { hasleader: "true" } : {},
    );
    this.#stream = stream;
    this.#record = record;
    const takesOwnIds = random.chance(0.3);
    for (const [i, watch] of this.#watches.entries()) {
      watch.watchId = undefined;
      const watchId = takesOwnIds ? BigInt(i + 10) : 0n;
      const request = WatchCreateRequest.create({ ...watch.request, startRevision: watch.next, watchId });
      unanswered.push(watch);
      history.watchCreate(record, watchRequestOf(request));
      stream.send({ requestUnion: { kind: "createRequest", value: request } });
    }
    // At once, while those that begin in the past have not caught up.
    if (random.chance(0.4)) this.askProgress();
    const until = world.now + random.real(0, this.#streamMs);
    const choices = Math.ceil((12 * this.#streamMs) / 8_000);
    while (!isOver && (this.#isSettling || world.now < until) && this.#watches.length > 0) {
      await world.delay(owner, random.real(50, 600), "watching");
      if (isOver || this.#isSettling) continue;
      switch (random.below(choices)) {
        case 0:
          stream.setReading(false);
          break;
        case 1:
        case 2:
          stream.setReading(true);
          break;
        case 3:
        case 4:
          this.askProgress();
          break;
        case 5:
          this.#cancelOne(stream, record);
          break;
        default:
          break;
      }
    }
    this.#stream = undefined;
    this.#record = undefined;
    stream.close();
  }

  #cancelOne(stream: ClientStream<WatchRequest>, record: WatchStream): void {
    const { random } = this.#client;
    const watch = random.pick(this.#watches);
    if (watch.watchId === undefined || !random.chance(0.3)) return;
    this.#watches = this.#watches.filter((other) => other !== watch);
    this.#deps.history.watchCancel(record, watch.watchId);
    stream.send({ requestUnion: { kind: "cancelRequest", value: { watchId: watch.watchId } } });
  }

  #received(response: WatchResponse, unanswered: Watch[]): void {
    const { created, canceled, compactRevision, fragment, watchId } = response;
    const revision = response.header?.revision ?? 0;
    if (created) {
      const watch = unanswered.shift();
      if (watch !== undefined) watch.watchId = watchId;
      // From "now on": the first revision after the one at which the watch was made.
      if (watch?.next === 0) watch.next = revision + 1;
    }
    const watch = this.#watches.find((other) => other.watchId === watchId && watchId !== -1n);
    if (canceled) {
      if (compactRevision > 0 && watch !== undefined) watch.next = Math.max(watch.next, compactRevision);
      else this.#watches = this.#watches.filter((other) => other !== watch);
      return;
    }
    if (created || fragment) return;
    const told = watch === undefined ? (watchId === -1n ? this.#watches : []) : [watch];
    // All events of a revision come together, so what came last is all of its revision.
    for (const one of told) {
      if (one.watchId !== undefined) one.next = Math.max(one.next, lastRevision(response) + 1);
    }
  }
}

/** The revision up to which the response tells everything. */
function lastRevision(response: WatchResponse): number {
  const parsed = watchResponseOf(response);
  return parsed.events.at(-1)?.kv.modRevision ?? parsed.revision;
}
