import { describe, expect, test } from "vitest";
import { h2loadWords, isForH2load, parseH2load, requestOf } from "../../bench/h2load.ts";
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
      maxUs: 312_930,
      meanUs: 53_400,
    });
  });

  test("units are told apart", () => {
    const other = SAMPLE.replace(
      /^time for request:.*$/m,
      "time for request:      89us      1.25s      402us      1.1ms  9%",
    );
    expect(parseH2load(other.replace("10.01s", "950.5ms"))).toMatchObject({
      seconds: 0.9505,
      maxUs: 1.25e6,
      meanUs: 402,
    });
  });

  test.each(["finished in", "requests:", "status codes:", "time for request:"])(
    "output without '%s' is no output",
    (line) => {
      expect(() => parseH2load(SAMPLE.replace(line, "something else"))).toThrow("h2load printed no line");
    },
  );

  test("it is told clients, streams, the time and one request", () => {
    const shape = workload("put-1000");
    if (!isForH2load(shape)) throw new Error("h2load can put");
    const words = h2loadWords(shape, 7, "http://127.0.0.1:1/etcdserverpb.KV/Put", "/tmp/body");
    expect(words).toContain("--duration=7");
    expect(words).toContain("--clients=50");
    expect(words).toContain("--max-concurrent-streams=20");
    expect(words).toContain("--data=/tmp/body");
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
