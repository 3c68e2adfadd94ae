import { describe, expect, test } from "vitest";
import { AnswerHeadersReader } from "../../bench/answer-headers.ts";
import { HpackDecoder } from "../../bench/hpack.ts";
import { drawer } from "../../bench/values.ts";

function text(word: string): number[] {
  return [word.length, ...Buffer.from(word, "latin1")];
}

/** A literal field that the table takes up, and one that it does not. */
const inserted = (name: string, value: string): number[] => [0x40, ...text(name), ...text(value)];
const plain = (name: string, value: string): number[] => [0, ...text(name), ...text(value)];
const NEWEST = 0x80 | 62;
const STATUS_200 = 0x88;

/** What a socket gives lies in the same memory each time, and is others' there before long. */
const INPUT = Buffer.alloc(1_000);

function read(reader: AnswerHeadersReader, block: readonly number[]) {
  INPUT.fill(0xff);
  INPUT.set(block, 3);
  return reader.read(INPUT, 3, 3 + block.length);
}

describe("headers of answers", () => {
  test("say the statuses and the message, or that they are not there", () => {
    const reader = new AnswerHeadersReader();
    expect(read(reader, [STATUS_200])).toEqual({
      httpStatus: "200",
      grpcStatus: undefined,
      grpcMessage: undefined,
    });
    const trailers = [...plain("grpc-status", "9"), ...plain("grpc-message", "no")];
    expect(read(reader, trailers)).toEqual({ httpStatus: undefined, grpcStatus: "9", grpcMessage: "no" });
  });

  test("are decoded once when the same octets come again", () => {
    const reader = new AnswerHeadersReader();
    const first = read(reader, [STATUS_200]);
    expect(read(reader, [STATUS_200])).toBe(first);
  });

  test("mean something else when the table has changed", () => {
    const reader = new AnswerHeadersReader();
    read(reader, inserted("grpc-status", "0"));
    expect(read(reader, [NEWEST]).grpcStatus).toBe("0");
    expect(read(reader, [NEWEST]).grpcStatus).toBe("0");
    read(reader, inserted("grpc-status", "8"));
    expect(read(reader, [NEWEST]).grpcStatus).toBe("8");
    read(reader, [0x20]);
    expect(() => read(reader, [NEWEST])).toThrow("no field 62");
  });

  test("that change the table change it each time", () => {
    const reader = new AnswerHeadersReader();
    const block = inserted("grpc-status", "0");
    for (let i = 0; i < 3; i++) read(reader, block);
    expect(read(reader, [NEWEST + 2]).grpcStatus).toBe("0");
    expect(() => read(reader, [NEWEST + 3])).toThrow("no field 65");
  });

  test("say what the decoder alone says, whatever comes", () => {
    const draw = drawer(3);
    const reader = new AnswerHeadersReader();
    const decoder = new HpackDecoder();
    const status = (): string => String(draw(3)).repeat(1 + 40 * draw(2));
    for (let i = 0; i < 20_000; i++) {
      const kind = draw(20);
      let block = [NEWEST + draw(2), ...(draw(2) === 0 ? [STATUS_200] : plain("x", "y"))];
      if (i < 2 || kind === 0) block = inserted("grpc-status", status());
      else if (kind < 8) block = plain("grpc-status", status());
      const fields = decoder.decode(Buffer.from(block), 0, block.length);
      const of = (name: string): string | undefined => fields.find((field) => field.name === name)?.value;
      const { httpStatus, grpcStatus } = read(reader, block);
      expect([httpStatus, grpcStatus]).toEqual([of(":status"), of("grpc-status")]);
    }
  });
});
