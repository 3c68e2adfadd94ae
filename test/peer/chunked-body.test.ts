import { describe, expect, it } from "vitest";
import { DecodeError } from "../../proto/codec.ts";
import { ChunkedBody } from "../../src/peer/chunked-body.ts";

interface Read {
  readonly text: string;
  readonly ended: boolean;
  readonly error: string | undefined;
}

/** Each piece is overwritten once its data was looked at, as a socket's only buffer is. */
function read(pieces: readonly string[]): Read {
  const body = new ChunkedBody();
  let text = "";
  for (const piece of pieces) {
    const bytes = Buffer.from(piece, "latin1");
    const data: Buffer[] = [];
    let error: string | undefined;
    try {
      body.push(bytes, data);
    } catch (thrown) {
      if (!(thrown instanceof DecodeError)) throw thrown;
      error = thrown.message;
    }
    text += Buffer.concat(data).toString("latin1");
    bytes.fill(0xff);
    if (error !== undefined) return { text, ended: body.ended, error };
  }
  return { text, ended: body.ended, error: undefined };
}

function everyWay(bytes: string): readonly (readonly string[])[] {
  const ways: string[][] = [[bytes], [...bytes]];
  for (let cut = 0; cut <= bytes.length; cut++) {
    ways.push([bytes.slice(0, cut), bytes.slice(cut)]);
    for (let second = cut; second <= Math.min(bytes.length, cut + 3); second++) {
      ways.push([bytes.slice(0, cut), bytes.slice(cut, second), bytes.slice(second)]);
    }
  }
  return ways;
}

describe("a chunked body", () => {
  it.each<[string, string, string, boolean]>([
    ["one chunk", "5\r\nhello\r\n", "hello", false],
    [
      "chunks and the end",
      "5\r\nhello\r\n1\r\n \r\n10\r\n0123456789abcdef\r\n0\r\n\r\n",
      "hello 0123456789abcdef",
      true,
    ],
    ["line ends and sizes as data", "6\r\n\r\n0\r\n\r\r\n0\r\n\r\n", "\r\n0\r\n\r", true],
    ["digits of both cases", `A\r\n${"x".repeat(10)}\r\na\r\n${"y".repeat(10)}\r\n`, "xxxxxxxxxxyyyyyyyyyy", false],
    ["leading zeros", "00000000000000005\r\nhello\r\n000\r\n\r\n", "hello", true],
    ["extensions and space", '5;a=b;c="d e"\r\nhello\r\n1 \r\nx\r\n1 \t;y\r\nz\r\n0;last\r\n\r\n', "helloxz", true],
    ["trailers", "1\r\nx\r\n0\r\nA: b\r\nLong-Name: and value\r\n\r\n", "x", true],
    ["nothing at all", "0\r\n\r\n", "", true],
    ["bytes behind the end", "1\r\nx\r\n0\r\n\r\n5\r\nhello\r\n", "x", true],
    ["no end in a size", "1\r\nx\r\n5", "x", false],
    ["no end in a chunk", "5\r\nhel", "hel", false],
    ["no end in the trailers", "0\r\nA: b\r\n", "", false],
  ])("in any pieces: %s", (_, bytes, text, ended) => {
    for (const pieces of everyWay(bytes)) expect(read(pieces)).toEqual({ text, ended, error: undefined });
  });

  it.each<[string, string, string, string]>([
    ["no size", "\r\nhello", "", "has no size"],
    ["a size that is none", "xyz\r\n", "", "has no size"],
    ["a negative size", "-1\r\n", "", "has no size"],
    ["digits and more", "5x\r\nhello", "", "is no number"],
    ["two sizes", "5 5\r\nhello", "", "is no number"],
    ["a line feed alone behind the size", "5\nhello", "", "is no number"],
    ["a line feed alone behind an extension", "5;a\nhello", "", "control character"],
    ["a carriage return alone behind the size", "5\rhello", "", "carriage return alone"],
    ["a chunk that is longer", "1\r\nx\r\n5\r\nhello!\r\n", "xhello", "longer than its size"],
    ["a chunk that ends in a line feed alone", "5\r\nhello\n", "hello", "longer than its size"],
    ["a chunk that ends in a carriage return alone", "5\r\nhello\r5", "hello", "longer than its size"],
    ["a size that is too much", "40000001\r\nx", "", "is over 1073741824"],
    ["a size that no number holds", "fffffffffffffffffffffffff\r\nx", "", "is over 1073741824"],
    ["a size that never ends", "0".repeat(300), "", "is over 256"],
    ["an extension that never ends", `5;${"x".repeat(300)}`, "", "is over 256"],
    ["space that never ends", `5${" ".repeat(300)}`, "", "is over 256"],
    ["trailers that never end", `0\r\n${"A: b\r\n".repeat(800)}`, "", "is over 4096"],
    ["a trailer with a control character", "0\r\nA: \0\r\n\r\n", "", "control character"],
    ["a trailer that ends in a line feed alone", "0\r\nA: b\n\n", "", "control character"],
    ["an end of a carriage return alone", "0\r\n\rx", "", "carriage return alone"],
  ])("is refused, behind the data before it: %s", (_, bytes, text, error) => {
    const ways = bytes.length < 100 ? everyWay(bytes) : [[bytes], [...bytes]];
    for (const pieces of ways) {
      const got = read(pieces);
      expect(got.text).toBe(text);
      expect(got.error).toContain(error);
      expect(got.ended).toBe(false);
    }
  });

  it("counts each size's line for itself", () => {
    const { text, error } = read([`1;${"x".repeat(200)}\r\nx\r\n`.repeat(100)]);
    expect(error).toBeUndefined();
    expect(text).toBe("x".repeat(100));
  });
});
