import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { expect, it } from "vitest";
import { SendWindow } from "../../../src/rpc/http2/flow-control.ts";
import type { FrameWriter } from "../../../src/rpc/http2/frame-writer.ts";
import { ResponseHeaders } from "../../../src/rpc/http2/response-headers.ts";
import { Http2Stream, type StreamHost } from "../../../src/rpc/http2/stream.ts";
import { until } from "../harness.ts";

setFlagsFromString("--expose-gc");
const collectGarbage = runInNewContext("gc") as () => void;

function hostOf(sent: number[]): StreamHost {
  const writer = { data: (_source: Buffer, start: number, end: number) => void sent.push(end - start) };
  return {
    writer: writer as unknown as FrameWriter,
    headers: new ResponseHeaders(),
    streamWindowBytes: 1 << 20,
    sendWindow: new SendWindow(1 << 20),
    isClear: true,
    wrote: () => undefined,
    waits: () => undefined,
    countQueued: () => undefined,
    answered: () => undefined,
  };
}

it("a queued message is let go when it has left, while others wait behind it", async () => {
  const sent: number[] = [];
  const stream = new Http2Stream(1, hostOf(sent), 1 << 20, undefined, 0);
  const queued = Array.from({ length: 10 }, () => {
    const bytes = Buffer.alloc(1_000);
    stream.queue(bytes);
    return new WeakRef(bytes);
  });
  for (let i = 0; i < 9; i++) expect(stream.emit()).toBe(true);
  await until(() => {
    collectGarbage();
    return queued.slice(0, 9).every((one) => one.deref() === undefined);
  });
  expect(stream.emit()).toBe(false);
  expect(sent).toEqual(Array.from({ length: 10 }, () => 1_000));
});
