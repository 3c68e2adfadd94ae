import { connect, type Socket } from "node:net";
import { type ConnectionOptions, connect as connectTls } from "node:tls";
import { type HeaderList, HpackDecoder } from "../../../src/rpc/http2/hpack-decoder.ts";
import { Flag, FrameType, PREFACE } from "../../../src/rpc/http2/protocol.ts";
import { sleep } from "../harness.ts";

export interface Frame {
  readonly type: number;
  readonly flags: number;
  readonly streamId: number;
  readonly payload: Buffer;
  /** Of HEADERS. */
  readonly fields?: HeaderList | undefined;
}

export function frame(type: number, flags: number, streamId: number, payload: Uint8Array = Buffer.alloc(0)): Buffer {
  const head = Buffer.alloc(9);
  head.writeUIntBE(payload.length, 0, 3);
  head[3] = type;
  head[4] = flags;
  head.writeUInt32BE(streamId, 5);
  return Buffer.concat([head, payload]);
}

export function uint32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
}

export function settings(...pairs: readonly (readonly [id: number, value: number])[]): Buffer {
  const payload = Buffer.concat(pairs.map(([id, value]) => Buffer.concat([uint32(id).subarray(2), uint32(value)])));
  return frame(FrameType.settings, 0, 0, payload);
}

export const settingsAck = frame(FrameType.settings, Flag.ack, 0);

/** Literals without indexing, lengths in one byte each as far as they go. */
export function block(fields: readonly (readonly [name: string, value: string])[]): Buffer {
  const text = (value: string): Buffer => {
    const { length } = value;
    if (length < 127) return Buffer.concat([Buffer.from([length]), Buffer.from(value, "latin1")]);
    const rest = length - 127;
    const more: number[] = [];
    let left = rest;
    for (; left >= 128; left >>>= 7) more.push((left & 127) | 128);
    return Buffer.concat([Buffer.from([127, ...more, left]), Buffer.from(value, "latin1")]);
  };
  return Buffer.concat(fields.map(([name, value]) => Buffer.concat([Buffer.from([0]), text(name), text(value)])));
}

export function requestBlock(path: string, extra: readonly (readonly [string, string])[] = []): Buffer {
  return block([
    [":method", "POST"],
    [":scheme", "http"],
    [":path", path],
    [":authority", "here"],
    ["content-type", "application/grpc"],
    ["te", "trailers"],
    ...extra,
  ]);
}

export function headers(streamId: number, fields: Buffer, flags: number = Flag.endHeaders): Buffer {
  return frame(FrameType.headers, flags, streamId, fields);
}

export function data(streamId: number, bytes: Uint8Array, flags: number = Flag.none): Buffer {
  return frame(FrameType.data, flags, streamId, bytes);
}

/** A message with its prefix. */
export function message(bytes: Uint8Array, flag = 0): Buffer {
  return Buffer.concat([Buffer.from([flag]), uint32(bytes.length), bytes]);
}

/** A client that says what it is told to, and remembers what it hears. */
export class FrameClient {
  readonly socket: Socket;
  readonly frames: Frame[] = [];
  /** Socket reads that brought something. */
  reads = 0;
  isClosed = false;
  readonly #decoder = new HpackDecoder(4_096);
  #rest: Buffer = Buffer.alloc(0);

  constructor(port: number, tls?: ConnectionOptions) {
    const to = { host: "127.0.0.1", port };
    this.socket = tls === undefined ? connect({ ...to, noDelay: true }) : connectTls({ ...to, ...tls });
    this.socket.on("data", (chunk: Buffer) => this.#onData(chunk));
    this.socket.on("error", () => this.socket.destroy());
    this.socket.on("close", () => {
      this.isClosed = true;
    });
  }

  send(...frames: readonly Uint8Array[]): void {
    if (!this.isClosed) this.socket.write(Buffer.concat(frames));
  }

  /** Preface and settings, and both acknowledged. */
  async shakeHands(...pairs: readonly (readonly [id: number, value: number])[]): Promise<void> {
    this.send(PREFACE, settings(...pairs));
    await this.until(() => this.frames.some(({ type, flags }) => type === FrameType.settings && flags === Flag.ack));
    this.send(settingsAck);
  }

  async until(condition: () => boolean, withinMs = 5_000): Promise<void> {
    const endAt = Date.now() + withinMs;
    while (!condition()) {
      if (Date.now() > endAt) throw new Error(`not received in time; have ${JSON.stringify(this.frames.map(brief))}`);
      await sleep(2);
    }
  }

  of(type: number, streamId?: number): Frame[] {
    return this.frames.filter((one) => one.type === type && (streamId === undefined || one.streamId === streamId));
  }

  /** The header fields of a stream, trailers included. */
  fieldsOf(streamId: number): Record<string, string> {
    const all: Record<string, string> = {};
    for (const { fields } of this.of(FrameType.headers, streamId)) {
      for (let at = 0; at < (fields?.length ?? 0); at += 2) all[fields?.[at] as string] = fields?.[at + 1] as string;
    }
    return all;
  }

  bodyOf(streamId: number): Buffer {
    return Buffer.concat(this.of(FrameType.data, streamId).map(({ payload }) => payload));
  }

  isEnded(streamId: number): boolean {
    return this.frames.some(
      ({ type, flags, streamId: id }) =>
        id === streamId &&
        (type === FrameType.rstStream || (type <= FrameType.headers && (flags & Flag.endStream) !== 0)),
    );
  }

  resetOf(streamId: number): number | undefined {
    return this.of(FrameType.rstStream, streamId)[0]?.payload.readUInt32BE(0);
  }

  /** Code and text of the last GOAWAY. */
  get goaway(): { readonly code: number; readonly text: string; readonly lastStreamId: number } | undefined {
    const payload = this.of(FrameType.goaway).at(-1)?.payload;
    if (payload === undefined) return undefined;
    return {
      lastStreamId: payload.readUInt32BE(0),
      code: payload.readUInt32BE(4),
      text: payload.toString("latin1", 8),
    };
  }

  close(): void {
    this.socket.destroy();
  }

  #onData(chunk: Buffer): void {
    this.reads++;
    this.#rest = Buffer.concat([this.#rest, chunk]);
    let at = 0;
    while (this.#rest.length - at >= 9) {
      const length = this.#rest.readUIntBE(at, 3);
      if (this.#rest.length - at < 9 + length) break;
      const payload = Buffer.from(this.#rest.subarray(at + 9, at + 9 + length));
      const type = this.#rest[at + 3] as number;
      const fields = type === FrameType.headers ? this.#decoder.decode(payload, 0, length, 1 << 20) : undefined;
      const streamId = this.#rest.readUInt32BE(at + 5);
      this.frames.push({ type, flags: this.#rest[at + 4] as number, streamId, payload, fields });
      at += 9 + length;
    }
    this.#rest = this.#rest.subarray(at);
  }
}

function brief({ type, flags, streamId, payload }: Frame): string {
  return `${type}/${flags}/${streamId}/${payload.subarray(0, 40).toString("latin1")}`;
}
