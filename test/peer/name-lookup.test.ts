import type { LookupAddress } from "node:dns";
import { beforeEach, describe, expect, test } from "vitest";
import { NameLookup } from "../../src/peer/name-lookup.ts";
import { FakeEnv } from "../server/fake-env.ts";

const A: LookupAddress = { address: "192.0.2.1", family: 4 };
const B: LookupAddress = { address: "192.0.2.2", family: 4 };

interface Asked {
  readonly name: string;
  found(...addresses: LookupAddress[]): void;
  failed(code: string): void;
}

let env: FakeEnv;
let asked: Asked[];
let names: NameLookup;

beforeEach(() => {
  env = new FakeEnv();
  asked = [];
  names = new NameLookup(env, (name, callback) => {
    asked.push({
      name,
      found: (...addresses) => callback(null, addresses),
      failed: (code) => callback(Object.assign(new Error(code), { code }), []),
    });
  });
});

/** What the socket hears, in order. */
function dial(name: string, all = false): string[] {
  const heard: string[] = [];
  names.lookup(name, { all }, (error, address) => {
    const text = Array.isArray(address) ? address.map((each) => each.address).join("+") : address;
    heard.push(error === null ? text : `${error.code}`);
  });
  return heard;
}

describe("names of peers", () => {
  test("however many dial, a name is looked up once at a time", () => {
    const first = [dial("m1"), dial("m1"), dial("m1", true)];
    const second = dial("m2");
    expect(asked.map(({ name }) => name)).toEqual(["m1", "m2"]);
    asked[0]?.found(A, B);
    expect(first).toEqual([["192.0.2.1"], ["192.0.2.1"], ["192.0.2.1+192.0.2.2"]]);
    asked[1]?.found(B);
    expect(second).toEqual(["192.0.2.2"]);
    dial("m1");
    expect(asked.map(({ name }) => name)).toEqual(["m1", "m2", "m1"]);
  });

  test("a name that was never found gives the resolver's error, and is asked again", () => {
    const first = dial("m1");
    asked[0]?.failed("EAI_AGAIN");
    const second = dial("m1");
    asked[1]?.found();
    expect([first, second]).toEqual([["EAI_AGAIN"], ["ENOTFOUND"]]);
    const third = dial("m1");
    asked[2]?.found(A);
    expect(third).toEqual(["192.0.2.1"]);
  });

  test("when the resolver is slow or fails, the address that was found last serves; a new one replaces it", async () => {
    dial("m1");
    asked[0]?.found(A);
    const slow = dial("m1");
    await env.advance(499);
    expect(slow).toEqual([]);
    await env.advance(1);
    expect(slow).toEqual(["192.0.2.1"]);
    const failed = dial("m1", true);
    expect(asked).toHaveLength(2);
    asked[1]?.failed("EAI_AGAIN");
    expect([slow, failed]).toEqual([["192.0.2.1"], ["192.0.2.1"]]);
    await env.advance(1_000);
    expect(failed).toEqual(["192.0.2.1"]);
    const moved = dial("m1");
    asked[2]?.found(B);
    expect(moved).toEqual(["192.0.2.2"]);
  });
});
