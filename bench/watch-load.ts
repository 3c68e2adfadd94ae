/**
 * Watchers of one key, and puts of it, some at a time. A put is over when it was answered and every watcher has its event:
 * so the load is what the fan-out can bear, and nothing piles up without bound. Each event is an operation; its delay
 * counts from when its put was sent.
 */
import { decode, encode } from "../proto/codec.ts";
import * as pb from "../proto/generated/etcdserverpb.ts";
import * as mvccpb from "../proto/generated/mvccpb.ts";
import { rpcs } from "../proto/generated/services.ts";
import { type Connection, OK, type Receiver } from "./connection.ts";
import { AFTER_FAILURE_MS, ANSWER_TIMEOUT_MS, inTime, type Load, MAX_FAULTS } from "./load.ts";
import { Meter, nowUs } from "./meter.ts";
import { KEY_BYTES, keyOf, numberIn, problemOf, valueFor, writeValue } from "./values.ts";

/** Of so many responses one is decoded in full. */
const DECODE_EVERY = 64;
const KEY = 0;
/** With 0 the server would choose. */
const FIRST_WATCH_ID = 1;

export interface WatchShape {
  /** The watchers are spread evenly over one stream on each of these. */
  readonly connections: readonly Connection[];
  readonly putter: Connection;
  readonly watchers: number;
  readonly putsAtATime: number;
  readonly valueBytes: number;
}

interface Put {
  readonly sentUs: number;
  isAnswered: boolean;
  eventsLeft: number;
}

export async function startWatch(shape: WatchShape): Promise<Load> {
  const { connections, putter, watchers, putsAtATime, valueBytes } = shape;
  const meter = new Meter();
  const puts = new Map<number, Put>();
  const resting = new Set<NodeJS.Timeout>();
  /** Events of each watcher. */
  const received = new Float64Array(watchers);
  let isStopped = false;
  let created = 0;
  let responses = 0;
  let ended = 0;
  let number = 0;
  let acknowledged = 0;

  const settle = (of: number, put: Put, atUs: number): void => {
    if (!put.isAnswered || put.eventsLeft > 0) return;
    puts.delete(of);
    sendPut(atUs);
  };

  const message = encode(pb.PutRequest, pb.PutRequest.create({ key: keyOf(KEY), value: valueFor(KEY, 0, valueBytes) }));
  /** `atUs`: when the one before was over. */
  const sendPut = (atUs: number): void => {
    if (isStopped || meter.faultCount >= MAX_FAULTS || putter.failure !== undefined) return;
    const mine = ++number;
    const put: Put = { sentUs: atUs, isAnswered: false, eventsLeft: watchers };
    puts.set(mine, put);
    writeValue(message, message.length - valueBytes, valueBytes, KEY, mine);
    putter.unary(rpcs.KVPut.path, message, {
      message: () => undefined,
      ended(status, detail, endedUs) {
        put.isAnswered = true;
        if (status === OK) {
          acknowledged++;
          settle(mine, put, endedUs);
          return;
        }
        meter.failed(status, detail);
        puts.delete(mine);
        const timer = setTimeout(() => {
          resting.delete(timer);
          sendPut(nowUs());
        }, AFTER_FAILURE_MS);
        resting.add(timer);
      },
    });
  };

  const takeEvent = (watcher: number, of: number, atUs: number): void => {
    const put = puts.get(of);
    if (!(watcher >= 0 && watcher < watchers) || put === undefined) {
      meter.problem(`watcher ${watcher} gets an event of put ${of}, which it cannot get now`);
      return;
    }
    received[watcher] = (received[watcher] as number) + 1;
    put.eventsLeft--;
    if (put.eventsLeft < 0) meter.problem(`put ${of} has more events than there are watchers`);
    meter.latency.record(atUs - put.sentUs);
    settle(of, put, atUs);
  };

  /** Every event, by its codec. */
  const takeDecoded = (body: Buffer, lastRevisions: Map<number, number>, atUs: number): void => {
    const response = decode(pb.WatchResponse, body);
    const watcher = Number(response.watchId) - FIRST_WATCH_ID;
    if (response.created) {
      created++;
      return;
    }
    if (response.canceled || response.events.length === 0) {
      meter.problem(`watch ${watcher} is told: ${response.cancelReason || "no event"}`);
      return;
    }
    for (const bytes of response.events) {
      const event = decode(mvccpb.Event, bytes);
      const { key, value, modRevision } = decode(mvccpb.KeyValue, event.kv);
      const last = lastRevisions.get(watcher) ?? 0;
      if (event.type !== 0 || key !== keyOf(KEY)) meter.problem(`an event of type ${event.type} of ${key}`);
      if (modRevision <= last) meter.problem(`watch ${watcher} gets revision ${modRevision} after ${last}`);
      lastRevisions.set(watcher, modRevision);
      const problem = problemOf(value, KEY, valueBytes);
      if (problem !== undefined) meter.problem(problem);
      takeEvent(watcher, numberIn(Buffer.from(value), 0), atUs);
    }
  };

  const receiverOf = (): Receiver => {
    const lastRevisions = new Map<number, number>();
    const eventEnds: number[] = [];
    return {
      message(bytes, start, end, atUs) {
        const watcher = plainEvents(bytes, start, end, valueBytes, eventEnds);
        if (watcher === undefined || responses++ % DECODE_EVERY === 0) {
          try {
            takeDecoded(bytes.subarray(start, end), lastRevisions, atUs);
          } catch (error) {
            meter.problem(`an event cannot be decoded: ${error}`);
          }
          return;
        }
        for (const eventEnd of eventEnds) takeEvent(watcher, numberIn(bytes, eventEnd - valueBytes), atUs);
      },
      ended(status, detail) {
        ended++;
        if (!isStopped) meter.failed(status, detail === "" ? "of a watch" : detail);
      },
    };
  };

  const streams: { readonly connection: Connection; readonly id: number }[] = [];
  for (const connection of connections) {
    const id = connection.stream(rpcs.WatchWatch.path, receiverOf());
    if (id !== undefined) streams.push({ connection, id });
  }
  for (let watcher = 0; watcher < watchers; watcher++) {
    const stream = streams[watcher % streams.length];
    stream?.connection.send(stream.id, createRequest(watcher));
  }
  const isThere = await inTime(() => created === watchers || ended > 0 || meter.faultCount > 0);
  if (!isThere || created < watchers) throw new Error(`${created} of ${watchers} watches began`);
  for (let i = 0; i < putsAtATime; i++) sendPut(nowUs());

  return {
    meter,
    async stop() {
      isStopped = true;
      for (const timer of resting) clearTimeout(timer);
      if (!(await inTime(() => puts.size === 0 || ended > 0 || meter.faultCount > 0, ANSWER_TIMEOUT_MS))) {
        const missing = [...puts.values()].reduce((sum, { eventsLeft }) => sum + eventsLeft, 0);
        meter.failed("no answer in time", `${puts.size} puts, ${missing} events`);
      } else if (meter.faultCount === 0) {
        const odd = received.findIndex((count) => count !== acknowledged);
        if (odd >= 0) meter.problem(`watch ${odd} got ${received[odd]} events of ${acknowledged} puts`);
      }
      for (const { connection, id } of streams) connection.cancel(id);
    },
  };
}

function createRequest(watcher: number): Buffer {
  const value = pb.WatchCreateRequest.create({ key: keyOf(KEY), watchId: BigInt(watcher + FIRST_WATCH_ID) });
  return encode(pb.WatchRequest, { requestUnion: { kind: "createRequest", value } });
}

const HEADER_TAG = 0x0a;
const WATCH_ID_TAG = 0x10;
const EVENTS_TAG = 0x5a;
/** More than what stands around the key and the value of one event. */
const AROUND = 64;

/**
 * The watcher, when the answer is plainly one of events whose values stand at their ends, which go into `ends`; else
 * undefined, and the codec has to look. It is what keeps this process quicker than the server.
 */
function plainEvents(
  bytes: Buffer,
  start: number,
  end: number,
  valueBytes: number,
  ends: number[],
): number | undefined {
  ends.length = 0;
  const headerLength = bytes[start + 1] as number;
  if (end - start < KEY_BYTES + valueBytes || bytes[start] !== HEADER_TAG || headerLength > 0x7f) return undefined;
  let at = start + 2 + headerLength;
  let watcher = 0;
  if (bytes[at] === WATCH_ID_TAG) {
    at++;
    for (let shift = 0; shift <= 21; shift += 7) {
      const octet = bytes[at++] ?? 0;
      watcher |= (octet & 0x7f) << shift;
      if ((octet & 0x80) === 0) break;
    }
  }
  while (at < end) {
    if (bytes[at++] !== EVENTS_TAG) return undefined;
    let length = 0;
    for (let shift = 0; shift <= 21; shift += 7) {
      const octet = bytes[at++] ?? 0;
      length |= (octet & 0x7f) << shift;
      if ((octet & 0x80) === 0) break;
    }
    at += length;
    const isPlain = length > KEY_BYTES + valueBytes && length < AROUND + KEY_BYTES + valueBytes && at <= end;
    if (!isPlain) return undefined;
    ends.push(at);
  }
  return ends.length > 0 ? watcher - FIRST_WATCH_ID : undefined;
}
