import type { ServerResponse } from "node:http";
import type { Socket } from "node:net";
import { assert } from "../../raft/assert.ts";
import type { Message } from "../../raft/types.ts";
import type { Env, Timer } from "../env.ts";
import { asChunk, CHUNK_HEAD_BYTES, CHUNK_TAIL_BYTES } from "./chunk-writing.ts";
import type { FrameEncoder } from "./frames.ts";
import type { PeerLimits } from "./limits.ts";

export interface WriterHooks {
  onWritten(bytes: number): void;
  /** Once, unless it is close() that ends the stream. */
  onClose(reason: string): void;
}

/**
 * A stream that a peer dialled and we write into.
 *
 * Messages wait here unencoded. Those of one turn, or of the time that the write before them took, leave in one write;
 * one write at most is with the kernel, so what waits is all there is to bound.
 *
 * The chunks of the response's body go to its socket as one buffer each, past the response, which would make three of
 * them. The response had the head before them and has the end after them.
 */
export class StreamWriter {
  readonly #env: Env;
  readonly #limits: PeerLimits;
  readonly #encoder: FrameEncoder;
  readonly #response: ServerResponse;
  readonly #socket: Socket;
  readonly #linkHeartbeat: Buffer;
  readonly #hooks: WriterHooks;
  #queue: Message[] = [];
  #queuedBytes = 0;
  #flushScheduled = false;
  #writingSince: number | undefined;
  #writingBytes = 0;
  #tick: Timer;
  #finishing = false;
  #closed = false;

  /** The response's head was given to its socket, and says that the body is chunked. */
  constructor(env: Env, limits: PeerLimits, encoder: FrameEncoder, response: ServerResponse, hooks: WriterHooks) {
    this.#env = env;
    this.#limits = limits;
    this.#encoder = encoder;
    const { socket, headersSent } = response;
    assert(socket !== null && headersSent, "a stream's head has left before its messages");
    this.#response = response;
    this.#socket = socket;
    this.#linkHeartbeat = asChunk(
      Buffer.concat([Buffer.alloc(CHUNK_HEAD_BYTES), encoder.linkHeartbeat, Buffer.alloc(CHUNK_TAIL_BYTES)]),
    );
    this.#hooks = hooks;
    response.on("error", (error) => this.#fail(error.message));
    response.on("close", () => this.#fail("closed by the peer"));
    this.#tick = this.#setTick();
  }

  /** False: the queue is full and the message is dropped. */
  enqueue(message: Message): boolean {
    const bytes = roughBytes(message);
    const full =
      this.#queue.length >= this.#limits.streamQueueMessages ||
      (this.#queue.length > 0 && this.#queuedBytes + bytes > this.#limits.streamQueueBytes);
    if (this.#closed || this.#finishing || full) return false;
    this.#queue.push(message);
    this.#queuedBytes += bytes;
    if (!this.#flushScheduled && this.#writingSince === undefined) {
      this.#flushScheduled = true;
      queueMicrotask(() => {
        this.#flushScheduled = false;
        this.#flush();
      });
    }
    return true;
  }

  /** What waits is still written, for as long as a write may take; then the stream ends. */
  finish(): void {
    this.#finishing = true;
    this.#flush();
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#tick.cancel();
    this.#queue = [];
    this.#response.destroy();
  }

  #flush(): void {
    if (this.#closed || this.#writingSince !== undefined) return;
    if (this.#queue.length === 0) {
      if (this.#finishing) this.#end();
      return;
    }
    const encoded = this.#encoder.encode(this.#takeChunk(), CHUNK_HEAD_BYTES, CHUNK_TAIL_BYTES);
    this.#write(asChunk(encoded), encoded.length - CHUNK_HEAD_BYTES - CHUNK_TAIL_BYTES);
  }

  #end(): void {
    this.#closed = true;
    this.#tick.cancel();
    this.#response.end();
  }

  /** At least one message, and as many more as one write may carry. */
  #takeChunk(): readonly Message[] {
    if (this.#queuedBytes <= this.#limits.writeChunkBytes) {
      const all = this.#queue;
      this.#queue = [];
      this.#queuedBytes = 0;
      return all;
    }
    let count = 0;
    let bytes = 0;
    for (const message of this.#queue) {
      const more = roughBytes(message);
      if (count > 0 && bytes + more > this.#limits.writeChunkBytes) break;
      bytes += more;
      count++;
    }
    this.#queuedBytes -= bytes;
    return this.#queue.splice(0, count);
  }

  #write(chunk: Buffer, bytes: number): void {
    this.#writingSince = this.#env.now();
    this.#writingBytes = bytes;
    this.#socket.write(chunk, (error) => {
      if (error !== undefined && error !== null) {
        this.#fail(error.message);
        return;
      }
      this.#hooks.onWritten(bytes);
      this.#writingSince = undefined;
      this.#flush();
    });
  }

  /** Ticks three times per read time-out, and just when a write's time is over. */
  #setTick(): Timer {
    const interval = this.#limits.readTimeoutMs / 3;
    const untilDeadline =
      this.#writingSince === undefined ? interval : this.#deadline(this.#writingSince) - this.#env.now();
    // A turn for I/O first: when it was us who stood still, the write may be done.
    return this.#env.setTimer(
      () => this.#env.nextTurn(() => this.#ticked()),
      Math.max(1, Math.min(interval, untilDeadline)),
    );
  }

  #ticked(): void {
    if (this.#closed) return;
    if (this.#writingSince === undefined) {
      if (this.#queue.length === 0) this.#write(this.#linkHeartbeat, this.#encoder.linkHeartbeat.length);
    } else if (this.#env.now() >= this.#deadline(this.#writingSince)) {
      this.#fail("the peer does not read");
      return;
    }
    this.#tick = this.#setTick();
  }

  /** A single message over the usual chunk gets the time that a slow line of 1 MB/s needs for the rest. */
  #deadline(since: number): number {
    const extraBytes = Math.max(0, this.#writingBytes - this.#limits.writeChunkBytes);
    return since + this.#limits.writeTimeoutMs + extraBytes / 1000;
  }

  #fail(reason: string): void {
    if (this.#closed) return;
    this.close();
    this.#hooks.onClose(reason);
  }
}

const MESSAGE_BYTES = 64;
const ENTRY_BYTES = 32;

/** For limits only: not less than the encoded size of a usual message. */
export function roughBytes(message: Message): number {
  switch (message.type) {
    case "MsgApp":
    case "MsgProp": {
      let bytes = MESSAGE_BYTES;
      for (const entry of message.entries) bytes += ENTRY_BYTES + entry.data.length;
      return bytes;
    }
    case "MsgHeartbeat":
    case "MsgHeartbeatResp":
      return MESSAGE_BYTES + message.context.length;
    case "MsgReadIndex":
    case "MsgReadIndexResp":
      return MESSAGE_BYTES + message.id.length;
    default:
      return MESSAGE_BYTES;
  }
}
