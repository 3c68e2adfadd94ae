import { beforeEach, describe, expect, test } from "vitest";
import type { SnapshotRequest, SnapshotResponse } from "../../proto/generated/etcdserverpb.ts";
import { rpcs } from "../../proto/generated/services.ts";
import { errors } from "../../src/api/errors.ts";
import { stream } from "../../src/rpc/rpc.ts";
import { sendDatabase } from "../../src/services/snapshot.ts";
import { createStreamCalls } from "../../src/services/stream-call.ts";
import { FakeEnv } from "../server/fake-env.ts";
import { FakeCall } from "./stream-harness.ts";

const PACE = { bytes: 5, waitMs: 1_000 };

let env: FakeEnv;
let stopping: AbortController;
let openError: Error | undefined;
let pieces: number;
let given: number;
let open: number;

beforeEach(() => {
  env = new FakeEnv();
  stopping = new AbortController();
  openError = undefined;
  pieces = 3;
  given = 0;
  open = 0;
});

function call(): FakeCall<SnapshotRequest, SnapshotResponse> {
  const calls = createStreamCalls({ refusal: () => undefined, follow: () => () => undefined }, stopping.signal);
  const server = {
    openDatabase: async () => {
      if (openError !== undefined) throw openError;
      open++;
      return {
        next: async () => {
          if (given === pieces) return undefined;
          given++;
          return { bytes: Buffer.of(given), remainingBytes: pieces - given };
        },
        close: async () => {
          open--;
        },
      };
    },
  };
  const handler = stream(rpcs.MaintenanceSnapshot, (responses, context) =>
    calls.open(responses, context, (end) =>
      sendDatabase(server, responses, { env, version: () => "3.6.0", databasePace: PACE, end }),
    ),
  );
  return new FakeCall([handler], rpcs.MaintenanceSnapshot.path);
}

describe("N-7: Snapshot", () => {
  test("H-4: pieces without a header, what is left, and the storage version; then the end", async () => {
    const one = call();
    one.send({});
    one.halfClose();
    await env.settle();
    expect(one.received.map((message) => ({ ...message, blob: [...message.blob] }))).toEqual([
      { header: undefined, remainingBytes: 2, blob: [1], version: "3.6.0" },
      { header: undefined, remainingBytes: 1, blob: [2], version: "3.6.0" },
      { header: undefined, remainingBytes: 0, blob: [3], version: "3.6.0" },
    ]);
    expect([one.ended, open]).toEqual(["ok", 0]);
  });

  /** A piece at a time, each after such a wait; whatever the client has in the end. */
  const takeSlowly = async (pauseMs: number): Promise<unknown> => {
    const one = call();
    one.room = 0;
    const takeOne = async (): Promise<void> => {
      one.writable = false;
      one.room = 1;
      one.writable = true;
      await env.settle();
    };
    one.send({});
    for (let turn = 0; turn < pieces && one.ended === undefined; turn++) {
      await env.advance(pauseMs);
      expect(given).toBeLessThanOrEqual(turn + 1);
      await takeOne();
    }
    await takeOne();
    expect(open).toBe(0);
    return one.ended;
  };

  test("goes no faster than the client takes it, and waits for it as long as it takes enough", async () => {
    pieces = 20;
    expect(await takeSlowly(PACE.waitMs / PACE.bytes - 1)).toBe("ok");
    expect(given).toBe(20);
  });

  test("a client that takes nothing, or always a little, loses it", async () => {
    const one = call();
    one.writable = false;
    one.send({});
    await env.advance(PACE.waitMs + 1);
    expect([one.ended, given, open]).toEqual([errors.deadlineExceeded, 0, 0]);
    pieces = 20;
    expect(await takeSlowly(PACE.waitMs / PACE.bytes + 2)).toBe(errors.deadlineExceeded);
    expect(given).toBeLessThan(PACE.bytes + 1);
  });

  test("a client that goes, before and while it waits, leaves nothing open", async () => {
    const one = call();
    one.writable = false;
    one.send({});
    one.cancel();
    await env.settle();
    const other = call();
    other.writable = false;
    other.send({});
    await env.settle();
    expect(open).toBe(1);
    other.cancel();
    await env.settle();
    expect(open).toBe(0);
  });

  test("G-14: a member that stops, one that has no room, and a second request", async () => {
    const one = call();
    one.writable = false;
    one.send({});
    one.send({});
    await env.settle();
    expect(open).toBe(1);
    stopping.abort();
    await env.settle();
    expect([one.ended, open]).toEqual([errors.stopped, 0]);
    stopping = new AbortController();
    openError = errors.tooManyRequests;
    const other = call();
    other.send({});
    await env.settle();
    expect(other.ended).toBe(errors.tooManyRequests);
  });
});
