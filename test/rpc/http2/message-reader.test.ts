import { describe, expect, it } from "vitest";
import { isOneMessage, MessageReader } from "../../../src/rpc/http2/message-reader.ts";
import { message } from "./frame-client.ts";
import { createRandom } from "./random.ts";

const MAX_BYTES = 5_000;

function recorder(mayHoldBytes = Number.POSITIVE_INFINITY) {
  const seen: (readonly [flag: number, bytes: string])[] = [];
  const tooLarge: number[] = [];
  const held = { bytes: 0, most: 0 };
  return {
    seen,
    tooLarge,
    held,
    taker: {
      message(flag: number, buffer: Buffer, start: number, end: number): boolean {
        seen.push([flag, buffer.toString("latin1", start, end)]);
        return true;
      },
      tooLarge: (bytes: number) => void tooLarge.push(bytes),
      hold(bytes: number): boolean {
        if (held.bytes + bytes > mayHoldBytes) return false;
        held.bytes += bytes;
        held.most = Math.max(held.most, held.bytes);
        return true;
      },
      release(bytes: number): void {
        held.bytes -= bytes;
      },
    },
  };
}

describe("MessageReader", () => {
  it("finds the same messages however the body is cut, and holds nothing at its end", () => {
    const seed = 11;
    const random = createRandom(seed);
    for (let round = 0; round < 500; round++) {
      const messages = Array.from({ length: random(8) }, () => {
        const length = random(3) === 0 ? random(MAX_BYTES + 1) : random(20);
        return [random(2), String.fromCharCode(...Array.from({ length }, () => random(256)))] as const;
      });
      const body = Buffer.concat(messages.map(([flag, bytes]) => message(Buffer.from(bytes, "latin1"), flag)));
      const { seen, tooLarge, held, taker } = recorder();
      const reader = new MessageReader(MAX_BYTES);
      for (let at = 0; at < body.length; ) {
        const bytes = 1 + random(random(2) === 0 ? 8 : 3_000);
        const piece = Buffer.concat([Buffer.alloc(3, 0xff), body.subarray(at, at + bytes), Buffer.alloc(3, 0xff)]);
        reader.push(piece, 3, piece.length - 3, taker);
        at += bytes;
      }
      expect({ seen, tooLarge }, `seed ${seed}, round ${round}`).toEqual({ seen: messages, tooLarge: [] });
      expect([reader.isWithinMessage, held.bytes]).toEqual([false, 0]);
    }
  });

  it("refuses what is too large when its length is known, wherever the prefix is cut", () => {
    const body = message(Buffer.alloc(MAX_BYTES + 1));
    for (let cut = 0; cut <= 5; cut++) {
      const { seen, tooLarge, taker } = recorder();
      const reader = new MessageReader(MAX_BYTES);
      reader.push(body, 0, cut, taker);
      if (tooLarge.length === 0) reader.push(body, cut, 10, taker);
      expect({ seen, tooLarge }).toEqual({ seen: [], tooLarge: [MAX_BYTES + 1] });
    }
  });

  it("takes memory as bytes come, not as they are announced", () => {
    const body = message(Buffer.alloc(1 << 20));
    const { held, taker } = recorder();
    const reader = new MessageReader(1 << 20);
    for (let at = 0; at < 100_000; at += 1_000) {
      reader.push(body, at, at + 1_000, taker);
      expect(held.bytes).toBeLessThanOrEqual(Math.max(1_024, 2 * (at + 1_000)));
    }
    reader.drop(taker);
    expect(held.bytes).toBe(0);
  });

  it("stops when it may hold no more", () => {
    const { held, seen, taker } = recorder(2_000);
    const reader = new MessageReader(MAX_BYTES);
    const body = message(Buffer.alloc(MAX_BYTES));
    for (let at = 0; at < body.length; at += 500) reader.push(body, at, Math.min(body.length, at + 500), taker);
    expect(held.most).toBeLessThanOrEqual(2_000);
    expect(seen).toEqual([]);
  });

  it("knows one whole message when it sees it", () => {
    const one = message(Buffer.alloc(10));
    expect(isOneMessage(one, 0, one.length, 10)).toBe(true);
    expect(isOneMessage(one, 0, one.length, 9)).toBe(false);
    expect(isOneMessage(one, 0, one.length - 1, 10)).toBe(false);
    expect(isOneMessage(Buffer.concat([one, one]), 0, 2 * one.length, 100)).toBe(false);
    expect(isOneMessage(one, 0, 4, 10)).toBe(false);
  });
});
