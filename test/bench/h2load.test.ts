import { describe, expect, test } from "vitest";
import { h2loadWords, isForH2load, latenciesOf, parseH2load, requestOf } from "../../bench/h2load.ts";
import { workloads } from "../../bench/workloads.ts";
import { decode } from "../../proto/codec.ts";
import * as pb from "../../proto/generated/etcdserverpb.ts";

const SAMPLE = `starting benchmark...
spawning thread #0: 50 total client(s). Timing-based test with 0s of warm-up time and 10s of main duration for measurements.
Application protocol: h2c
Main benchmark duration is started for thread #0.
Main benchmark duration is over for thread #0. Stopping all clients.
Stopped all clients for thread #0

finished in 10.01s, 18700.30 req/s, 1.37MB/s
requests: 187003 total, 188003 started, 187003 done, 187001 succeeded, 2 failed, 1 errored, 0 timeout
status codes: 187001 2xx, 0 3xx, 0 4xx, 2 5xx
traffic: 13.73MB (14400231) total, 1.43MB (1496024) headers (space savings 95.12%), 6.60MB (6919111) data
                     min         max         mean         sd        +/- sd
time for request:     1.05ms    312.93ms     53.40ms     21.20ms    72.55%
time for connect:      523us      9.12ms      4.23ms      2.51ms    58.00%
time to 1st byte:    10.40ms     80.12ms     41.35ms     17.02ms    60.00%
req/s           :     371.20      377.41      374.00        1.50    66.00%
`;

function workload(name: string) {
  const found = workloads.find((one) => one.name === name);
  if (found === undefined) throw new Error(`no workload ${name}`);
  return found.shape;
}

describe("h2load", () => {
  test("its output is read", () => {
    expect(parseH2load(SAMPLE)).toEqual({
      seconds: 10.01,
      perSecond: 18_700.3,
      done: 187_003,
      succeeded: 187_001,
      failed: 3,
    });
  });

  test("units are told apart", () => {
    expect(parseH2load(SAMPLE.replace("10.01s", "950.5ms")).seconds).toBe(0.9505);
  });

  test.each(["finished in", "requests:", "status codes:"])("output without '%s' is no output", (line) => {
    expect(() => parseH2load(SAMPLE.replace(line, "something else"))).toThrow("h2load printed no line");
  });

  test("it is told clients, streams, the time and one request", () => {
    const shape = workload("put-1000");
    if (!isForH2load(shape)) throw new Error("h2load can put");
    const words = h2loadWords(shape, 7, "http://127.0.0.1:1/etcdserverpb.KV/Put", "/tmp/body");
    expect(words).toContain("--duration=7");
    expect(words).toContain("--clients=50");
    expect(words).toContain("--max-concurrent-streams=20");
    expect(words).toContain("--data=/tmp/body");
    expect(words.join(" ")).not.toContain("--log-file");
    expect(h2loadWords(shape, 7, "http://127.0.0.1:1/", "/tmp/body", "/tmp/log")).toContain("--log-file=/tmp/log");
    expect(words.at(-1)).toBe("http://127.0.0.1:1/etcdserverpb.KV/Put");
    const { path, body } = requestOf(shape, 256, 100);
    expect(path).toBe("/etcdserverpb.KV/Put");
    expect([body[0], body.readUInt32BE(1)]).toEqual([0, body.length - 5]);
    expect(decode(pb.PutRequest, body.subarray(5)).value.length).toBe(256);
  });

  test("only single calls of one kind are for it", () => {
    const fit = workloads.filter(({ shape }) => isForH2load(shape)).map(({ name }) => name);
    expect(fit).toEqual(["put-1", "put-100", "put-1000", "range-lin", "range-ser", "txn"]);
  });
});

async function* inParts(text: string, length: number): AsyncIterable<string> {
  for (let at = 0; at < text.length; at += length) yield text.slice(at, at + length);
}

describe("the log of h2load", () => {
  const LINES = Array.from({ length: 200 }, (_, i) => `${1_795_721_907_531_760 + i}\t200\t${i + 1}\n`).join("");

  test.each([1, 7, 1_000, 1e6])("gives median, p99 and maximum, in parts of %i characters", async (length) => {
    expect(await latenciesOf(inParts(LINES, length))).toEqual({ count: 200, p50: 100, p99: 198, max: 200 });
  });

  test("counts what h2load counts as succeeded, and passes over columns that it does not know", async () => {
    const log = "1\t200\t10\n2\t-1\t9000\n3\t503\t9000\n4\t302\t20\tmore\t5\n5\t204\t30\n";
    expect(await latenciesOf(inParts(log, 9))).toEqual({ count: 3, p50: 20, p99: 30, max: 30 });
  });

  test("may be empty", async () => {
    expect((await latenciesOf(inParts("", 1))).count).toBe(0);
  });

  test.each([
    ["a line of something else", "1\t200\t10\nwhat is this\n", "logged: what is this"],
    ["an empty line", "1\t200\t10\n\n", "logged: "],
    ["a line without a time", "1\t200\t\n", "logged: 1\t200"],
    ["a line that breaks off", "1\t200\t10\n2\t200\t3", "breaks off: 2\t200\t3"],
    ["no end of a line anywhere", "1".repeat(100_000), "breaks off: 111"],
  ])("is none with %s", async (_, log, why) => {
    await expect(latenciesOf(inParts(log, 500))).rejects.toThrow(why);
  });
});
