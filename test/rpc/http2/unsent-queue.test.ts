import { expect, test } from "vitest";
import { MESSAGE_OVERHEAD_BYTES } from "../../../src/rpc/call-rules.ts";
import { UnsentQueue } from "../../../src/rpc/http2/unsent-queue.ts";
import { createRandom } from "./random.ts";

/** Everything that is first, as a stream would send it, up to `most` bytes at a time. */
function sendSome(queue: UnsentQueue, most: number): Buffer {
  const { firstBuffer, firstOffset, firstEnd } = queue;
  const bytes = Math.min(most, firstEnd - firstOffset);
  const sent = Buffer.from(firstBuffer.subarray(firstOffset, firstOffset + bytes));
  queue.sent(bytes);
  return sent;
}

test("what comes out is what went in, in order, however it was cut; and what it takes is counted", () => {
  for (let seed = 1; seed <= 30; seed++) {
    const next = createRandom(seed);
    let counted = 0;
    const queue = new UnsentQueue((bytes) => {
      counted += bytes;
    });
    const written: Buffer[] = [];
    const sent: Buffer[] = [];
    let waiting = 0;
    for (let step = 0; step < 600; step++) {
      if (next(3) > 0) {
        const bytes = Buffer.alloc(1 + next(next(10) === 0 ? 20_000 : 400), next(256));
        const at = next(8) === 0 ? -1 : queue.room(bytes.length);
        if (at < 0) queue.push(bytes);
        else if (next(20) === 0) continue;
        else {
          bytes.copy(queue.openBuffer, at);
          queue.commit(bytes.length);
        }
        written.push(bytes);
        waiting += bytes.length;
      } else if (queue.hasSome) {
        const piece = sendSome(queue, 1 + next(20_000));
        expect(piece.length).toBeGreaterThan(0);
        sent.push(piece);
        waiting -= piece.length;
      }
      expect(queue.hasSome).toBe(waiting > 0);
      expect(queue.bytes).toBe(counted);
      expect(counted).toBeGreaterThanOrEqual(waiting);
      if (waiting === 0) expect(counted).toBe(0);
    }
    while (queue.hasSome) sent.push(sendSome(queue, 16_384));
    expect(Buffer.concat(sent).equals(Buffer.concat(written))).toBe(true);
    expect(counted).toBe(0);
  }
});

test("short messages between long ones take little", () => {
  const queue = new UnsentQueue(() => undefined);
  let waiting = 0;
  for (let i = 0; i < 200; i++) {
    queue.push(Buffer.alloc(8_192));
    queue.room(60);
    queue.commit(60);
    waiting += 8_192 + 60 + 2 * MESSAGE_OVERHEAD_BYTES;
    expect(queue.bytes).toBeLessThan(waiting + 200 * (i + 1));
  }
});

test("short messages behind others share pieces, of which no more is empty than waits", () => {
  const queue = new UnsentQueue(() => undefined);
  expect(queue.room(100)).toBe(-1);
  queue.push(Buffer.alloc(100));
  for (let i = 1; i < 10_000; i++) {
    expect(queue.room(100)).toBeGreaterThanOrEqual(0);
    queue.commit(100);
    expect(queue.bytes).toBeLessThanOrEqual(2 * (i + 1) * 100 + 64 * MESSAGE_OVERHEAD_BYTES);
  }
  let pieces = 0;
  for (; queue.hasSome; pieces++) sendSome(queue, 1 << 20);
  expect(pieces).toBeLessThan(40);
  queue.push(Buffer.alloc(10));
  queue.clear();
  expect([queue.hasSome, queue.bytes, queue.room(10)]).toEqual([false, 0, -1]);
});
