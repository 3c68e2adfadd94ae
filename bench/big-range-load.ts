/**
 * One client that reads all keys at once, again and again, and others beside it that read one key each at fixed times,
 * however long the answers take: how long they wait is part of the result.
 */
import { decode, encode } from "../proto/codec.ts";
import * as pb from "../proto/generated/etcdserverpb.ts";
import * as mvccpb from "../proto/generated/mvccpb.ts";
import { rpcs } from "../proto/generated/services.ts";
import { type Connection, OK, type Receiver } from "./connection.ts";
import { AFTER_FAILURE_MS, inTime, type Load, MAX_FAULTS } from "./load.ts";
import { Meter, nowUs } from "./meter.ts";
import { type Asker, questionsOf } from "./questions.ts";
import { KEYS_END, keyOf, problemOf } from "./values.ts";

const OTHERS_EVERY_US = 5_000;
/** More than that wait already: the next ones are not asked, and it is a fault. */
const MAX_OTHERS = 5_000;

export function startBigRange(big: Connection, other: Connection, keys: number, valueBytes: number): Load {
  const meter = new Meter();
  const all = encode(pb.RangeRequest, pb.RangeRequest.create({ key: keyOf(0), rangeEnd: KEYS_END }));
  let isStopped = false;
  let open = 0;
  let othersOpen = 0;
  /** Length of the answer that was looked at in full; nothing is written, so all are as long. */
  let rightLength: number | undefined;
  let sentUs = 0;

  const askAll = (atUs: number): void => {
    if (isStopped || meter.faultCount >= MAX_FAULTS || big.failure !== undefined) return;
    open++;
    sentUs = atUs;
    big.unary(rpcs.KVRange.path, all, receiver);
  };
  const receiver: Receiver = {
    message(bytes, start, end) {
      const length = end - start;
      if (rightLength === undefined) {
        const problem = problemOfAll(bytes.subarray(start, end), keys, valueBytes);
        if (problem === undefined) rightLength = length;
        else meter.problem(problem);
      } else if (length !== rightLength) {
        meter.problem(`all keys came in ${length} bytes, and before in ${rightLength}`);
      }
    },
    ended(status, detail, atUs) {
      open--;
      if (status === OK) {
        meter.latency.record(atUs - sentUs);
        askAll(atUs);
        return;
      }
      meter.failed(status, detail);
      setTimeout(() => askAll(nowUs()), AFTER_FAILURE_MS);
    },
  };

  const ask = questionsOf({ kind: "range", keys, valueBytes }, 0);
  let dueUs = nowUs();
  const askOthers = (): void => {
    for (; dueUs <= nowUs() && other.failure === undefined; dueUs += OTHERS_EVERY_US) {
      if (othersOpen >= MAX_OTHERS) {
        meter.failed("too many wait", "");
        dueUs = nowUs();
        return;
      }
      askOne(dueUs);
    }
  };
  const askOne = (wantedUs: number): void => {
    const asker: Asker = { asked: 0, key: 0, revision: 0 };
    const { path, message, check } = ask(asker);
    othersOpen++;
    other.unary(path, message, {
      message(bytes, start, end) {
        const problem = check(bytes.subarray(start, end), asker);
        if (problem !== undefined) meter.problem(problem);
      },
      ended(status, detail, atUs) {
        othersOpen--;
        if (status === OK) meter.others.record(atUs - wantedUs);
        else meter.failed(status, detail);
      },
    });
  };
  const timer = setInterval(askOthers, OTHERS_EVERY_US / 1_000);
  askAll(nowUs());

  return {
    meter,
    async stop() {
      isStopped = true;
      clearInterval(timer);
      if (!(await inTime(() => open + othersOpen === 0))) meter.failed("no answer in time", "");
    },
  };
}

function problemOfAll(body: Buffer, keys: number, valueBytes: number): string | undefined {
  const { kvs, count, more } = decode(pb.RangeResponse, body);
  if (kvs.length !== keys || count !== keys || more) return `${kvs.length} of ${keys} keys came (count ${count})`;
  for (const [index, bytes] of kvs.entries()) {
    const { key, value } = decode(mvccpb.KeyValue, bytes);
    if (key !== keyOf(index)) return `${key} comes where ${keyOf(index)} should`;
    const problem = problemOf(value, index, valueBytes);
    if (problem !== undefined) return problem;
  }
  return undefined;
}
