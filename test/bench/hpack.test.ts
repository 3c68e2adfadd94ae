import { describe, expect, test } from "vitest";
import { DEFAULT_TABLE_SIZE, decodeHuffman, HpackDecoder, RequestHeaders } from "../../bench/hpack.ts";

const bytes = (hex: string): Buffer => Buffer.from(hex.replaceAll(" ", ""), "hex");

function decodeAll(decoder: HpackDecoder, hex: string): string[] {
  const block = bytes(hex);
  return decoder.decode(block, 0, block.length).map(({ name, value }) => `${name}: ${value}`);
}

const FIRST_DATE = "Mon, 21 Oct 2013 20:13:21 GMT";
const COOKIE = "foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1";

describe("decoding", () => {
  test("RFC 7541, C.6: answers with Huffman codes, by a table of 256 octets that lets entries go", () => {
    const decoder = new HpackDecoder(256);
    const location = "location: https://www.example.com";
    expect(
      decodeAll(
        decoder,
        "4882 6402 5885 aec3 771a 4b61 96d0 7abe 9410 54d4 44a8 2005 9504 0b81 66e0 82a6" +
          "2d1b ff6e 919d 29ad 1718 63c7 8f0b 97c8 e9ae 82ae 43d3",
      ),
    ).toEqual([":status: 302", "cache-control: private", `date: ${FIRST_DATE}`, location]);
    expect(decodeAll(decoder, "4883 640e ffc1 c0bf")).toEqual([
      ":status: 307",
      "cache-control: private",
      `date: ${FIRST_DATE}`,
      location,
    ]);
    expect(
      decodeAll(
        decoder,
        "88c1 6196 d07a be94 1054 d444 a820 0595 040b 8166 e084 a62d 1bff c05a 839b d9ab 77ad 94e7 821d" +
          "d7f2 e6c7 b335 dfdf cd5b 3960 d5af 2708 7f36 72c1 ab27 0fb5 291f 9587 3160 65c0 03ed 4ee5 b106 3d50 07",
      ),
    ).toEqual([
      ":status: 200",
      "cache-control: private",
      `date: ${FIRST_DATE.replace(":21 ", ":22 ")}`,
      location,
      "content-encoding: gzip",
      `set-cookie: ${COOKIE}`,
    ]);
  });

  test("a table that is made smaller forgets, and one of nothing holds nothing", () => {
    const decoder = new HpackDecoder();
    expect(decodeAll(decoder, "40 01 61 01 62 be")).toEqual(["a: b", "a: b"]);
    expect(() => decodeAll(decoder, "20 be")).toThrow("no field 62");
    expect(decodeAll(decoder, "40 01 61 01 62")).toEqual(["a: b"]);
    expect(() => decodeAll(decoder, "be")).toThrow("no field 62");
  });

  test.each([
    ["an index of 0", "80", "no field 0"],
    ["an index that nothing has", "fe", "no field 126"],
    ["an integer without end", "ff ffffffff ffffffff", "too large"],
    ["a string behind its block", "00 05 61", "ends behind its block"],
    ["a block that breaks off", "00", "too early"],
    ["a table that is larger than allowed", "3f e2 1f", "was not allowed"],
    ["a new table size behind a field", "82 20", "in the middle"],
    ["padding of a whole octet", "00 82 ff ff 00", "padded wrongly"],
    ["padding of zeros", "00 81 18 00", "padded wrongly"],
    ["the end as a symbol", "00 84 ffffffff 00", "its own end"],
  ])("%s is refused", (_, hex, why) => {
    expect(() => decodeAll(new HpackDecoder(), hex)).toThrow(why);
  });

  test("www.example.com, as C.4.1 has it", () => {
    const code = bytes("f1e3 c2e5 f23a 6ba0 ab90 f4ff");
    expect(decodeHuffman(code, 0, code.length)).toBe("www.example.com");
  });
});

describe("headers of requests", () => {
  const expected = (path: string): string[] => [
    ":method: POST",
    ":scheme: http",
    `:path: ${path}`,
    ":authority: 127.0.0.1:2379",
    "content-type: application/grpc",
    "te: trailers",
  ];

  test.each([DEFAULT_TABLE_SIZE, 1 << 20, 100, 0])(
    "mean the same each time, whatever paths come between (a table of %i)",
    (size) => {
      const headers = new RequestHeaders("127.0.0.1:2379", size);
      const decoder = new HpackDecoder(size);
      for (const path of ["/a", "/a", "/b", "/a", "/b", "/c", "/c", "/a", "/b", "/a"]) {
        expect(decodeAll(decoder, headers.block(path).toString("hex"))).toEqual(expected(path));
      }
    },
  );

  test("are six octets, and the same ones, from the second request on", () => {
    const headers = new RequestHeaders("127.0.0.1:2379", DEFAULT_TABLE_SIZE);
    headers.block("/etcdserverpb.KV/Put");
    const second = headers.block("/etcdserverpb.KV/Put");
    expect(second.length).toBe(6);
    expect(headers.block("/etcdserverpb.KV/Put")).toBe(second);
  });
});
