import { connect } from "node:http2";
import { afterEach, describe, expect, it } from "vitest";
import { RangeResponse } from "../../../proto/generated/etcdserverpb.ts";
import { rpcs } from "../../../proto/generated/services.ts";
import { HpackDecoder } from "../../../src/rpc/http2/hpack-decoder.ts";
import { type Field, HpackEncoder } from "../../../src/rpc/http2/hpack-encoder.ts";
import { HUFFMAN_CODE_BITS, STATIC_TABLE } from "../../../src/rpc/http2/hpack-tables.ts";
import { ConnectionError, ErrorCode } from "../../../src/rpc/http2/protocol.ts";
import { percentEncode } from "../../../src/rpc/http2/response-headers.ts";
import { type CallContext, unary } from "../../../src/rpc/rpc.ts";
import { openPort, type Port, until } from "../harness.ts";
import { createRandom } from "./random.ts";

const ports: Port[] = [];
afterEach(async () => {
  for (const port of ports.splice(0)) await port.close();
});

const hex = (text: string): Buffer => Buffer.from(text.replaceAll(/\s/g, ""), "hex");
const decode = (decoder: HpackDecoder, block: Buffer, maxListBytes = 1 << 20) =>
  decoder.decode(block, 0, block.length, maxListBytes);
const pairs = (text: string): string[] => text.split("\n").flatMap((line) => line.trim().split(/(?<=.): /));

/** The dynamic table, newest first, as its own indices show it. */
function tableOf(decoder: HpackDecoder): { readonly entries: string[]; readonly size: number } {
  const entries: string[] = [];
  let size = 0;
  for (let index = 62; ; index++) {
    let field: readonly string[] | undefined;
    try {
      field = decode(decoder, index < 127 ? Buffer.from([0x80 | index]) : Buffer.from([0xff, index - 127]));
    } catch (thrown) {
      if (!(thrown instanceof ConnectionError)) throw thrown;
      return { entries, size };
    }
    const [name = "", value = ""] = field ?? [];
    entries.push(`${name}: ${value}`);
    size += name.length + value.length + 32;
  }
}

interface Vector {
  readonly block: string;
  readonly fields: string;
  readonly table: readonly string[];
  readonly size: number;
}

const COOKIE = "foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1";

const requests = [
  {
    fields: ":method: GET\n:scheme: http\n:path: /\n:authority: www.example.com",
    table: [":authority: www.example.com"],
    size: 57,
  },
  {
    fields: ":method: GET\n:scheme: http\n:path: /\n:authority: www.example.com\ncache-control: no-cache",
    table: ["cache-control: no-cache", ":authority: www.example.com"],
    size: 110,
  },
  {
    fields: ":method: GET\n:scheme: https\n:path: /index.html\n:authority: www.example.com\ncustom-key: custom-value",
    table: ["custom-key: custom-value", "cache-control: no-cache", ":authority: www.example.com"],
    size: 164,
  },
] as const;

const date = (second: number) => `Mon, 21 Oct 2013 20:13:${second} GMT`;
const responses = [
  {
    fields: `:status: 302\ncache-control: private\ndate: ${date(21)}\nlocation: https://www.example.com`,
    table: ["location: https://www.example.com", `date: ${date(21)}`, "cache-control: private", ":status: 302"],
    size: 222,
  },
  {
    fields: `:status: 307\ncache-control: private\ndate: ${date(21)}\nlocation: https://www.example.com`,
    table: [":status: 307", "location: https://www.example.com", `date: ${date(21)}`, "cache-control: private"],
    size: 222,
  },
  {
    fields:
      `:status: 200\ncache-control: private\ndate: ${date(22)}\nlocation: https://www.example.com\n` +
      `content-encoding: gzip\nset-cookie: ${COOKIE}`,
    table: [`set-cookie: ${COOKIE}`, "content-encoding: gzip", `date: ${date(22)}`],
    size: 215,
  },
] as const;

const withBlocks = (vectors: readonly Omit<Vector, "block">[], blocks: readonly string[]): Vector[] =>
  vectors.map((vector, i) => ({ ...vector, block: blocks[i] as string }));

const sequences: Readonly<Record<string, { readonly tableBytes: number; readonly vectors: readonly Vector[] }>> = {
  "C.3: requests without Huffman": {
    tableBytes: 4_096,
    vectors: withBlocks(requests, [
      "8286 8441 0f77 7777 2e65 7861 6d70 6c65 2e63 6f6d",
      "8286 84be 5808 6e6f 2d63 6163 6865",
      "8287 85bf 400a 6375 7374 6f6d 2d6b 6579 0c63 7573 746f 6d2d 7661 6c75 65",
    ]),
  },
  "C.4: requests with Huffman": {
    tableBytes: 4_096,
    vectors: withBlocks(requests, [
      "8286 8441 8cf1 e3c2 e5f2 3a6b a0ab 90f4 ff",
      "8286 84be 5886 a8eb 1064 9cbf",
      "8287 85bf 4088 25a8 49e9 5ba9 7d7f 8925 a849 e95b b8e8 b4bf",
    ]),
  },
  "C.5: responses without Huffman, with evictions": {
    tableBytes: 256,
    vectors: withBlocks(responses, [
      `4803 3330 3258 0770 7269 7661 7465 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133 2032 303a 3133 3a32
       3120 474d 546e 1768 7474 7073 3a2f 2f77 7777 2e65 7861 6d70 6c65 2e63 6f6d`,
      "4803 3330 37c1 c0bf",
      `88c1 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133 2032 303a 3133 3a32 3220 474d 54c0 5a04 677a 6970
       7738 666f 6f3d 4153 444a 4b48 514b 425a 584f 5157 454f 5049 5541 5851 5745 4f49 553b 206d 6178 2d61
       6765 3d33 3630 303b 2076 6572 7369 6f6e 3d31`,
    ]),
  },
  "C.6: responses with Huffman, with evictions": {
    tableBytes: 256,
    vectors: withBlocks(responses, [
      `4882 6402 5885 aec3 771a 4b61 96d0 7abe 9410 54d4 44a8 2005 9504 0b81 66e0 82a6 2d1b ff6e 919d 29ad
       1718 63c7 8f0b 97c8 e9ae 82ae 43d3`,
      "4883 640e ffc1 c0bf",
      `88c1 6196 d07a be94 1054 d444 a820 0595 040b 8166 e084 a62d 1bff c05a 839b d9ab 77ad 94e7 821d d7f2
       e6c7 b335 dfdf cd5b 3960 d5af 2708 7f36 72c1 ab27 0fb5 291f 9587 3160 65c0 03ed 4ee5 b106 3d50 07`,
    ]),
  },
};

describe("RFC 7541, Appendix C", () => {
  const single: Readonly<Record<string, readonly [block: string, field: string, table: readonly string[]]>> = {
    "C.2.1: literal with indexing": [
      "400a 6375 7374 6f6d 2d6b 6579 0d63 7573 746f 6d2d 6865 6164 6572",
      "custom-key: custom-header",
      ["custom-key: custom-header"],
    ],
    "C.2.2: literal without indexing": ["040c 2f73 616d 706c 652f 7061 7468", ":path: /sample/path", []],
    "C.2.3: literal never indexed": ["1008 7061 7373 776f 7264 0673 6563 7265 74", "password: secret", []],
    "C.2.4: indexed": ["82", ":method: GET", []],
  };
  for (const [name, [block, field, table]] of Object.entries(single)) {
    it(name, () => {
      const decoder = new HpackDecoder(4_096);
      expect(decode(decoder, hex(block))).toEqual(pairs(field));
      expect(tableOf(decoder).entries).toEqual(table);
    });
  }
  for (const [name, { tableBytes, vectors }] of Object.entries(sequences)) {
    it(name, () => {
      const decoder = new HpackDecoder(tableBytes);
      for (const { block, fields, table, size } of vectors) {
        expect(decode(decoder, hex(block))).toEqual(pairs(fields));
        expect(tableOf(decoder)).toEqual({ entries: table, size });
      }
    });
  }

  it("Appendices A and B are complete", () => {
    expect(STATIC_TABLE.length).toBe(61);
    expect(HUFFMAN_CODE_BITS.length).toBe(257);
    // Kraft: a code that leaves nothing over.
    expect(HUFFMAN_CODE_BITS.reduce((sum, bits) => sum + 2 ** (30 - bits), 0)).toBe(2 ** 30);
  });
});

describe("malformed header blocks", () => {
  const blocks: Readonly<Record<string, string>> = {
    "index 0": "80",
    "an index behind the static table": "be",
    "a name index behind it": "7e00",
    "an index cut off": "ff",
    "an endless index": "ff 80 80 80 80 80 80 80 80 80 80 00",
    "an index of 2^32": "ff ff ff ff ff 0f",
    "a literal without its value": "40 01 61",
    "a name cut off": "40 05 61",
    "a value cut off": "40 01 61 05 62",
    "a length of 2^31": "40 7f ff ff ff ff 07",
    "a Huffman string that ends in EOS": "40 01 61 84 ff ff ff ff",
    "padding of eight bits": "40 01 61 82 1f ff",
    "padding of zeros": "40 01 61 81 18",
    "a size update above what was announced": "3f e2 1f",
    "a size update behind a field": "82 20",
  };
  for (const [name, block] of Object.entries(blocks)) {
    it(`${name} is a COMPRESSION_ERROR`, () => {
      expect(() => decode(new HpackDecoder(4_096), hex(block))).toThrow(
        expect.objectContaining({ name: "ConnectionError", code: ErrorCode.compressionError }),
      );
    });
  }

  it("size updates in front of the fields evict, and room comes back", () => {
    const decoder = new HpackDecoder(4_096);
    decode(decoder, hex("4001 6101 62"));
    const version = decoder.version;
    expect(decode(decoder, hex("20 3f e1 1f 82"))).toEqual([":method", "GET"]);
    expect(decoder.version).not.toBe(version);
    expect(tableOf(decoder).entries).toEqual([]);
    decode(decoder, hex("4001 6101 62"));
    expect(tableOf(decoder).entries).toEqual(["a: b"]);
  });

  it("an entry larger than the table empties it", () => {
    const decoder = new HpackDecoder(64);
    decode(decoder, hex("4001 6101 62"));
    const value = Buffer.alloc(100, "x");
    const block = Buffer.concat([hex("4001 61"), Buffer.from([value.length]), value]);
    expect(decode(decoder, block)).toEqual(["a", "x".repeat(100)]);
    expect(tableOf(decoder).entries).toEqual([]);
  });

  it("a list that is too long is not given, but its entries are in the table", () => {
    const decoder = new HpackDecoder(4_096);
    const block = hex("4001 6101 62 4001 6301 64");
    expect(decode(decoder, block, 2 * 34)).toEqual(["a", "b", "c", "d"]);
    expect(decode(decoder, block, 2 * 34 - 1)).toBeUndefined();
    expect(tableOf(decoder).entries).toEqual(["c: d", "a: b", "c: d", "a: b"]);
  });
});

describe("the encoder", () => {
  const indexed = (name: string, value: string): Field => ({ name, value, indexed: true });

  it("takes one byte for what it has indexed, and says when a block is final", () => {
    const encoder = new HpackEncoder();
    const fields = [indexed(":status", "200"), indexed("content-type", "application/grpc")];
    expect(encoder.encode(fields).isStable).toBe(false);
    expect(encoder.encode(fields)).toEqual({ bytes: hex("88 be"), isStable: true });
  });

  it("remembers nothing for which there is no room", () => {
    const encoder = new HpackEncoder();
    encoder.setMaxSize(0);
    expect(encoder.encode([indexed("a", "b")]).bytes).toEqual(hex("20 0001 6101 62"));
    expect(encoder.encode([indexed("a", "b")])).toEqual({ bytes: hex("0001 6101 62"), isStable: true });
  });

  it("tells the smallest size of several changes, then the present one (§4.2)", () => {
    const encoder = new HpackEncoder();
    encoder.encode([indexed("a", "b")]);
    encoder.setMaxSize(10);
    encoder.setMaxSize(100);
    const decoder = new HpackDecoder(4_096);
    decode(decoder, hex("4001 6101 62"));
    const { bytes } = encoder.encode([indexed("a", "b")]);
    expect(bytes).toEqual(hex("2a 3f45 4001 6101 62"));
    expect(decode(decoder, bytes)).toEqual(["a", "b"]);
    expect(encoder.encode([indexed("a", "b")]).bytes).toEqual(hex("be"));
  });

  it("never uses more than the 4096 bytes that a decoder has from the start", () => {
    const encoder = new HpackEncoder();
    encoder.setMaxSize(1 << 20);
    expect(encoder.encode([indexed("a", "b")]).bytes).toEqual(hex("4001 6101 62"));
  });

  it("round trips of random fields and sizes", () => {
    const seed = 7_541;
    const random = createRandom(seed);
    const encoder = new HpackEncoder();
    const decoder = new HpackDecoder(4_096);
    const names = ["a", "content-type", "grpc-status", "x-long-name-of-a-field", ":status"];
    for (let round = 0; round < 2_000; round++) {
      if (random(5) === 0) encoder.setMaxSize(random(3) === 0 ? random(200) : 4_096);
      const fields = Array.from({ length: random(6) }, () => ({
        name: names[random(names.length)] as string,
        value: String.fromCharCode(...Array.from({ length: random(40) }, () => random(256))),
        indexed: random(2) === 0,
      }));
      const { bytes } = encoder.encode(fields);
      const expected = fields.flatMap(({ name, value }) => [name, value]);
      expect(decode(decoder, bytes), `seed ${seed}, round ${round}`).toEqual(expected);
    }
  });
});

describe("against node:http2", () => {
  it("decodes what its encoder makes of random headers, over one connection", async () => {
    const seed = 9_113;
    const random = createRandom(seed);
    const seen: CallContext[] = [];
    const port = await openPort(
      [
        unary(rpcs.KVRange, async (_request, context) => {
          seen.push(context);
          return RangeResponse.create({});
        }),
      ],
      { transport: "http2" },
    );
    ports.push(port);
    const session = connect(`http://127.0.0.1:${port.port}`);
    const names = Array.from({ length: 30 }, (_, i) => `x-${"abcdefghijklmnopqrstuvwxyz0123456789_-".slice(i)}`);
    // Every byte that a value may have, so every code of Appendix B that can be met.
    const chars = Array.from({ length: 256 }, (_, code) => String.fromCharCode(code)).filter((char) =>
      /[\t\x20-\x7e\x80-\xff]/.test(char),
    );
    const value = (): string => {
      const text = Array.from({ length: 1 + random(60) }, () => chars[random(chars.length)]).join("");
      return `<${text}>`;
    };
    const usual = Array.from({ length: 10 }, value);
    for (let round = 0; round < 400; round++) {
      const headers: Record<string, string> = {};
      for (let i = random(12); i > 0; i--) {
        headers[names[random(names.length)] as string] =
          random(2) === 0 ? value() : (usual[random(usual.length)] as string);
      }
      const request = session.request({
        ":method": "POST",
        ":path": rpcs.KVRange.path,
        "content-type": "application/grpc",
        ...headers,
      });
      request.end(Buffer.alloc(5));
      const status = new Promise((resolve) => request.on("trailers", resolve));
      request.resume();
      expect(await status, `seed ${seed}, round ${round}`).toMatchObject({ "grpc-status": "0" });
      const got = Object.fromEntries(names.map((name) => [name, seen.at(-1)?.metadata(name)]));
      const expected = Object.fromEntries(names.map((name) => [name, headers[name]]));
      expect(got, `seed ${seed}, round ${round}`).toEqual(expected);
    }
    session.destroy();
  });

  it("its decoder follows ours through changes of the table's size", async () => {
    const seed = 4_096;
    const random = createRandom(seed);
    const port = await openPort([unary(rpcs.KVRange, async () => RangeResponse.create({}))], { transport: "http2" });
    ports.push(port);
    const session = connect(`http://127.0.0.1:${port.port}`);
    const failed: unknown[] = [];
    session.on("error", (error) => failed.push(error));
    for (let round = 0; round < 100; round++) {
      if (random(2) === 0) {
        const headerTableSize = [0, 50, 60, 104, 150, 4_096, 65_536][random(7)] as number;
        await new Promise<void>((resolve) => session.settings({ headerTableSize }, () => resolve()));
      }
      const path = random(3) === 0 ? "/a.b.C/D" : rpcs.KVRange.path;
      const request = session.request({ ":method": "POST", ":path": path, "content-type": "application/grpc" });
      request.end(Buffer.alloc(5));
      const status = new Promise((resolve) => {
        request.on("trailers", (trailers) => resolve(trailers["grpc-status"]));
        request.on("response", (headers) => headers["grpc-status"] !== undefined && resolve(headers["grpc-status"]));
      });
      request.resume();
      expect(await status, `seed ${seed}, round ${round}`).toBe(path === rpcs.KVRange.path ? "0" : "12");
    }
    expect(failed).toEqual([]);
    session.destroy();
    await until(() => port.listener.connectionCount === 0);
  });
});

describe("grpc-message", () => {
  it("is percent-encoded where it is not printable ASCII", () => {
    expect(percentEncode("plain ~ text")).toBe("plain ~ text");
    expect(percentEncode("100% größer\n")).toBe("100%25 gr%C3%B6%C3%9Fer%0A");
  });
});
