import { describe, expect, it } from "vitest";
import { DecodeError } from "../../proto/codec.ts";
import type { ResponseHead } from "../../src/peer/response-head.ts";
import { HeadReader } from "../../src/peer/response-head.ts";

function read(pieces: readonly string[]): { readonly head: ResponseHead; readonly rest: string } | undefined {
  const reader = new HeadReader();
  for (const [i, piece] of pieces.entries()) {
    const bytes = Buffer.from(piece, "latin1");
    const found = reader.push(bytes);
    if (found !== undefined) {
      return { head: found.head, rest: found.rest.toString("latin1") + pieces.slice(i + 1).join("") };
    }
    bytes.fill(0xff);
  }
  return undefined;
}

const GO = [
  "HTTP/1.1 200 OK",
  "X-Etcd-Cluster-Id: cdf818194e3a8c32",
  "X-Server-Version: 3.6.14",
  "Date: Thu, 26 Nov 2026 16:00:00 GMT",
  "Transfer-Encoding: chunked",
  "",
  "",
].join("\r\n");

describe("the head of an answer", () => {
  it("as Go writes it, in any pieces, with what is behind it", () => {
    const bytes = `${GO}5\r\nhello\r\n\r\n\r\n`;
    const ways = [[bytes], [...bytes]];
    for (let cut = 0; cut <= bytes.length; cut++) ways.push([bytes.slice(0, cut), bytes.slice(cut)]);
    for (const pieces of ways) {
      expect(read(pieces)).toEqual({
        head: {
          status: 200,
          headers: {
            "x-etcd-cluster-id": "cdf818194e3a8c32",
            "x-server-version": "3.6.14",
            date: "Thu, 26 Nov 2026 16:00:00 GMT",
            "transfer-encoding": "chunked",
          },
          body: { kind: "chunked" },
        },
        rest: "5\r\nhello\r\n\r\n\r\n",
      });
    }
  });

  it.each<[string, string, ResponseHead["body"], number]>([
    [
      "a length",
      "HTTP/1.1 412 Precondition Failed\r\nContent-Length:  24 \r\n\r\n",
      { kind: "length", bytes: 24 },
      412,
    ],
    ["no length", "HTTP/1.1 500 Internal Server Error\r\nConnection: close\r\n\r\n", { kind: "toTheEnd" }, 500],
    ["HTTP/1.0 and no reason", "HTTP/1.0 410 \r\n\r\n", { kind: "toTheEnd" }, 410],
    ["no reason at all", "HTTP/1.1 410\r\ntransfer-encoding:CHUNKED\r\n\r\n", { kind: "chunked" }, 410],
    ["no body", "HTTP/1.1 204 No Content\r\n\r\n", { kind: "length", bytes: 0 }, 204],
    [
      "another head before it",
      "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
      { kind: "length", bytes: 0 },
      200,
    ],
  ])("delimits the body by %s", (_, bytes, body, status) => {
    for (const pieces of [[bytes], [...bytes]]) expect(read(pieces)?.head).toMatchObject({ status, body });
  });

  it("joins fields of one name, and takes any name for a name", () => {
    const bytes = "HTTP/1.1 200 OK\r\nX: a\r\nx: b\r\n__proto__: c\r\nEmpty:\r\n\r\n";
    const headers = read([bytes])?.head.headers ?? {};
    expect(Object.entries(headers)).toEqual([
      ["x", "a, b"],
      ["__proto__", "c"],
      ["empty", ""],
    ]);
  });

  it.each<[string, string, string]>([
    ["another protocol", "SSH-2.0-OpenSSH\r\n\r\n", "first line"],
    ["another version", "HTTP/2.0 200 OK\r\n\r\n", "first line"],
    ["a status that is none", "HTTP/1.1 2000 OK\r\n\r\n", "first line"],
    ["a field without a name", "HTTP/1.1 200 OK\r\n: x\r\n\r\n", "malformed field"],
    ["a field without a colon", "HTTP/1.1 200 OK\r\nX\r\n\r\n", "malformed field"],
    ["a field over two lines", "HTTP/1.1 200 OK\r\nX: a\r\n b\r\n\r\n", "malformed field"],
    ["space before a colon", "HTTP/1.1 200 OK\r\nX : a\r\n\r\n", "malformed field"],
    ["a line feed alone", "HTTP/1.1 200 OK\r\nX: a\nY: b\r\n\r\n", "malformed field"],
    ["another coding", "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", "unknown coding"],
    ["chunks in HTTP/1.0", "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "unknown coding"],
    ["chunks and a length", `${GO.slice(0, -2)}Content-Length: 5\r\n\r\n`, "both chunked"],
    ["two lengths", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n", "no number"],
    ["a negative length", "HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n", "no number"],
    ["no end", `HTTP/1.1 200 OK\r\nX: ${"x".repeat(17_000)}`, "over 16384"],
    ["space and no end to it", `HTTP/1.1 200 OK\r\nX:${" ".repeat(16_000)}\0\r\n\r\n`, "malformed field"],
    ["no end of heads", "HTTP/1.1 100 Continue\r\n\r\n".repeat(1_000), "over 16384"],
  ])("is refused with %s", (_, bytes, error) => {
    for (const pieces of [[bytes], [...bytes]]) {
      expect(() => read(pieces)).toThrow(DecodeError);
      expect(() => read(pieces)).toThrow(error);
    }
  });
});
