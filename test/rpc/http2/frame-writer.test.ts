import type { Socket } from "node:net";
import { Writable } from "node:stream";
import { expect, it } from "vitest";
import { BufferPool, FrameWriter } from "../../../src/rpc/http2/frame-writer.ts";
import { sleep } from "../harness.ts";

it("gives its buffer back when the socket has taken all of it later", async () => {
  const taken: (() => void)[] = [];
  const socket = new Writable({ write: (_chunk, _encoding, done) => void taken.push(done) });
  const pool = new BufferPool();
  const given: Buffer[] = [];
  pool.give = (buffer) => void given.push(buffer);
  const writer = new FrameWriter(socket as unknown as Socket, pool);
  writer.frame(6, 0, 0, Buffer.alloc(8));
  writer.flush();
  writer.frame(6, 0, 0, Buffer.alloc(8));
  taken.shift()?.();
  await sleep(5);
  // There is output that has not been flushed.
  expect(given.length).toBe(0);
  writer.flush();
  await sleep(5);
  expect(given.length).toBe(0);
  taken.shift()?.();
  await sleep(5);
  expect(given.length).toBe(1);
  expect(writer.buffer.length).toBe(0);
  // And it goes on with another.
  writer.frame(6, 0, 0, Buffer.alloc(8));
  writer.flush();
  taken.shift()?.();
  await sleep(5);
  expect(given.length).toBe(2);
});
