import type { Socket } from "node:net";
import { TLSSocket } from "node:tls";
import type { Env, Timer } from "../../env.ts";
import type { Logger } from "../../log.ts";
import type { KeepaliveOptions } from "../call-rules.ts";
import { PingPolicy } from "../ping-policy.ts";
import { Budget, RecentIds } from "./abuse.ts";
import { ReceiveWindow, SendWindow } from "./flow-control.ts";
import { FrameReader } from "./frame-reader.ts";
import { type BufferPool, FrameWriter } from "./frame-writer.ts";
import { type HeaderList, HpackDecoder } from "./hpack-decoder.ts";
import type { Http2Limits } from "./limits.ts";
import {
  ConnectionError,
  ErrorCode,
  Flag,
  FrameType,
  INITIAL,
  MAX_FRAME_BYTES,
  MAX_STREAM_ID,
  MAX_WINDOW,
  Setting,
} from "./protocol.ts";
import { faultOfTrailers, HEADERS_TOO_LARGE, type RequestHead } from "./request-head.ts";
import { ResponseHeaders } from "./response-headers.ts";
import { Http2Stream, type StreamHost, type StreamReceiver } from "./stream.ts";
import type { Totals } from "./totals.ts";

/** What the connections of one server share. */
export interface ConnectionHost {
  readonly env: Env;
  readonly logger: Logger;
  readonly limits: Http2Limits;
  readonly options: KeepaliveOptions & { readonly maxConcurrentStreams: number };
  readonly pool: BufferPool;
  /** Over all connections. */
  readonly everywhere: Totals;
  resolve(fields: HeaderList): RequestHead;
  /** Who serves the stream; `opened` is called when it is in place. */
  open(stream: Http2Stream, head: Exclude<RequestHead, { kind: "malformed" }>, connection: Connection): StreamReceiver;
  /** `flush` is to be called in the next turn. */
  flushSoon(connection: Connection): void;
  closed(connection: Connection): void;
}

/** A header block that has not come whole (RFC 9113 §6.10). */
interface OpenBlock {
  readonly streamId: number;
  readonly endsStream: boolean;
  readonly pieces: Buffer[];
  bytes: number;
}

const NO_BYTES: Buffer = Buffer.alloc(0);
const SETTING_BYTES = 6;
const PING_BYTES = 8;
/** A client that was sent this much since its last ping is measuring its bandwidth. */
const BULK_BYTES = 16 << 10;

/**
 * One HTTP/2 connection of a client (RFC 9113), from the first byte of its preface. What the client does wrong ends a
 * stream or this connection, and what goes wrong in here ends this connection; neither gets any further.
 */
export class Connection implements StreamHost {
  readonly peer: string;
  readonly isEncrypted: boolean;
  readonly writer: FrameWriter;
  readonly headers = new ResponseHeaders();
  readonly sendWindow = new SendWindow(INITIAL.windowBytes);
  readonly held: Totals = { unsentBytes: 0, receivingBytes: 0, streams: 0 };
  readonly #host: ConnectionHost;
  readonly #socket: Socket;
  readonly #reader: FrameReader;
  readonly #decoder: HpackDecoder;
  readonly #streams = new Map<number, Http2Stream>();
  readonly #maxStreams: number;
  readonly #receiveWindow: ReceiveWindow;
  readonly #pingPolicy: PingPolicy;
  readonly #resets: Budget;
  readonly #settings: Budget;
  readonly #idleFrames: Budget;
  readonly #inflatedBytes: Budget;
  readonly #recentResets: RecentIds;
  /** Heads by their block, all of the decoder's `#cachedVersion`. */
  readonly #cachedHeads = new Map<string, RequestHead>();
  #cachedVersion = 0;
  #block: OpenBlock | undefined;
  #lastStreamId = 0;
  #peerWindowBytes: number = INITIAL.windowBytes;
  #settingsSeen = false;
  #settingsAcknowledged = false;
  /** Could send, but for the connection's window or its socket. In turns. */
  readonly #waiting = new Set<Http2Stream>();
  /** Answered before their client had sent all of its request. */
  #answeredEarly: Http2Stream[] = [];
  #longCalls = 0;
  #flushDue = false;
  /** Of `held.unsentBytes`, what is in the socket. */
  #inSocketBytes = 0;
  #sentSincePing = false;
  #bytesSincePing = 0;
  /** Payloads of pings that are not acknowledged yet. */
  #pings: Buffer[] = [];
  #pingTimer: Timer | undefined;
  #handshakeTimer: Timer | undefined;
  #keepaliveTimer: Timer | undefined;
  #lingerTimer: Timer | undefined;
  #readSinceLook = false;
  /** When the bytes came that are being read. */
  #readAtMs = 0;
  /** RST_STREAMs that may come yet of streams that were answered, and forgotten. */
  #lateResets = 0;
  /** The client was asked for a sign of life and has given none. */
  #isAsked = false;
  #pingAcksDue = 0;
  #draining = false;
  /** Our last GOAWAY is written: nothing is read or answered any more. */
  #ended = false;
  #closed = false;

  constructor(socket: Socket, host: ConnectionHost) {
    const { limits, options } = host;
    this.#host = host;
    this.#socket = socket;
    this.peer = `${socket.remoteAddress}:${socket.remotePort}`;
    this.isEncrypted = socket instanceof TLSSocket;
    this.writer = new FrameWriter(socket, host.pool);
    this.#reader = new FrameReader(limits.frameBytes, (type, flags, streamId, buffer, start, end) =>
      this.#onFrame(type, flags, streamId, buffer, start, end),
    );
    this.#decoder = new HpackDecoder(limits.headerTableBytes);
    this.#maxStreams = Math.min(options.maxConcurrentStreams, limits.openStreams);
    this.#receiveWindow = new ReceiveWindow(limits.connectionWindowBytes);
    this.#pingPolicy = new PingPolicy(options.keepaliveMinTimeMs);
    this.#resets = new Budget(limits.resets);
    this.#settings = new Budget(limits.settings);
    this.#idleFrames = new Budget(limits.idleFrames);
    this.#inflatedBytes = new Budget(limits.inflatedBytes);
    this.#recentResets = new RecentIds(limits.rememberedResets);
  }

  /** Takes the socket over. */
  start(): void {
    const { env, limits, options } = this.#host;
    const socket = this.#socket;
    socket.on("data", (chunk: Buffer) => this.#onData(chunk));
    socket.on("end", () => socket.destroy());
    socket.on("drain", () => this.#guarded(() => this.#onDrain()));
    socket.once("close", () => this.#onClose());
    this.#writeSettings();
    this.flush();
    this.#handshakeTimer = env.setTimer(() => this.#guarded(() => this.#onHandshakeTimeout()), limits.handshakeMs);
    this.#lookAgain(options.keepaliveIntervalMs);
    socket.resume();
  }

  /** Tells the client to open no further streams, and closes when those that are open have ended. */
  drain(): void {
    if (this.#draining || this.#ended) return;
    this.#draining = true;
    this.#writeGoaway(MAX_STREAM_ID, ErrorCode.noError, "");
    this.wrote();
    this.#endIfDone();
  }

  /** Has every call that runs told to end. */
  forEachReceiver(act: (receiver: StreamReceiver) => void): void {
    for (const { receiver } of [...this.#streams.values()]) {
      if (receiver !== undefined) act(receiver);
    }
  }

  destroy(): void {
    this.#socket.destroy();
  }

  /** Hands to the socket what is due: once a turn. */
  flush(): void {
    this.#guarded(() => this.#flush());
  }

  // What streams ask for.

  get streamWindowBytes(): number {
    return this.#host.limits.streamWindowBytes;
  }

  get isClear(): boolean {
    return this.#waiting.size === 0 && this.writer.unsentBytes < this.#host.limits.outputBytes;
  }

  wrote(): void {
    this.#sentSincePing = true;
    this.#flushSoon();
  }

  waits(stream: Http2Stream): void {
    this.#waiting.add(stream);
    this.#flushSoon();
  }

  countQueued(bytes: number): void {
    this.#countUnsent(bytes);
  }

  answered(stream: Http2Stream): void {
    if (stream.remoteEnded) this.#forgetAnswered(stream);
    else this.#answeredEarly.push(stream);
  }

  /** False when this connection, or all of them, would hold too much of unfinished messages. */
  hold(bytes: number): boolean {
    const { limits, everywhere } = this.#host;
    if (this.held.receivingBytes + bytes > limits.connectionReceivingBytes) return false;
    if (everywhere.receivingBytes + bytes > limits.memberReceivingBytes) return false;
    this.release(-bytes);
    return true;
  }

  release(bytes: number): void {
    this.held.receivingBytes -= bytes;
    this.#host.everywhere.receivingBytes -= bytes;
  }

  get mayInflate(): boolean {
    return this.#inflatedBytes.hasAny(this.#host.env.now());
  }

  inflated(bytes: number): void {
    this.#inflatedBytes.charge(bytes);
  }

  /** A fault of ours, after which nobody knows what this connection has said: it ends, and nothing else does. */
  broken(thrown: unknown): void {
    const stacktrace = thrown instanceof Error ? thrown.stack : undefined;
    this.#host.logger.error(
      { peer: this.peer, error: String(thrown), stacktrace },
      "failed to serve a client connection",
    );
    this.#socket.destroy();
  }

  // What the socket brings.

  #onData(chunk: Buffer): void {
    if (this.#ended) return;
    this.#readSinceLook = true;
    if (this.#isAsked) this.#lookAgain(this.#host.options.keepaliveIntervalMs);
    this.#guarded(() => {
      this.#readAtMs = this.#host.env.now();
      this.#reader.push(chunk);
      this.#pauseWhileUnread();
    });
  }

  /** The one place where errors end up: the client's end its connection, and ours do too. */
  #guarded(act: () => void): void {
    try {
      act();
    } catch (thrown) {
      if (thrown instanceof ConnectionError) this.#end(thrown.code, thrown.message);
      else this.broken(thrown);
    }
  }

  #onFrame(type: number, flags: number, streamId: number, buffer: Buffer, start: number, end: number): void {
    if (!this.#settingsSeen && (type !== FrameType.settings || (flags & Flag.ack) !== 0)) {
      throw protocolError("the first frame is not SETTINGS");
    }
    if (this.#block !== undefined && (type !== FrameType.continuation || streamId !== this.#block.streamId)) {
      throw protocolError("a header block is interrupted");
    }
    switch (type) {
      case FrameType.data:
        this.#onDataFrame(flags, streamId, buffer, start, end);
        return;
      case FrameType.headers:
        this.#onHeaders(flags, streamId, buffer, start, end);
        return;
      case FrameType.priority:
        this.#onPriority(streamId, end - start);
        return;
      case FrameType.rstStream:
        this.#onReset(streamId, end - start);
        return;
      case FrameType.settings:
        this.#onSettings(flags, streamId, buffer, start, end);
        return;
      case FrameType.pushPromise:
        throw protocolError("a client cannot push");
      case FrameType.ping:
        this.#onPing(flags, streamId, buffer, start, end);
        return;
      case FrameType.goaway:
        this.#onGoaway(streamId, end - start);
        return;
      case FrameType.windowUpdate:
        this.#onWindowUpdate(streamId, buffer, start, end);
        return;
      case FrameType.continuation:
        this.#onContinuation(flags, buffer, start, end);
        return;
      default:
        // §4.1
        this.#spend(this.#idleFrames, "frames that mean nothing");
    }
  }

  /** §6.1 */
  #onDataFrame(flags: number, streamId: number, buffer: Buffer, start: number, end: number): void {
    this.#checkNotIdle(streamId, "DATA");
    const bytes = end - start;
    if (!this.#receiveWindow.use(bytes)) {
      throw new ConnectionError(ErrorCode.flowControlError, "DATA beyond the connection's window");
    }
    const padding = paddingOf(flags, buffer, start, end);
    const from = start + padding.head;
    const to = end - padding.tail;
    const refund = this.#receiveWindow.refund();
    if (refund > 0) this.#writeWindowUpdate(0, refund);

    const stream = this.#streams.get(streamId);
    if (stream === undefined) {
      this.#onClosedStream(streamId);
      return;
    }
    if (stream.remoteEnded) {
      this.#streamError(stream, ErrorCode.streamClosed);
      return;
    }
    if (!stream.received(bytes)) {
      this.#streamError(stream, ErrorCode.flowControlError);
      return;
    }
    const endsStream = (flags & Flag.endStream) !== 0;
    if (from === to && !endsStream) this.#spend(this.#idleFrames, "empty DATA frames");
    stream.bodyBytes += to - from;
    if (stream.contentLength !== undefined && stream.bodyBytes > stream.contentLength) {
      this.#streamError(stream, ErrorCode.protocolError);
      return;
    }
    if (to > from && !stream.isOver) stream.receiver?.data(buffer, from, to);
    if (endsStream) this.#onRemoteEnd(stream);
    else if (!stream.isOver) {
      const given = stream.refund();
      if (given > 0) this.#writeWindowUpdate(streamId, given);
    }
  }

  /** §6.2 */
  #onHeaders(flags: number, streamId: number, buffer: Buffer, start: number, end: number): void {
    if (streamId % 2 === 0) throw protocolError("HEADERS on a stream that no client can open");
    const padding = paddingOf(flags, buffer, start, end);
    const from = start + padding.head + ((flags & Flag.priority) !== 0 ? 5 : 0);
    const to = end - padding.tail;
    if (from > to) throw protocolError("HEADERS too short for its flags");
    const endsStream = (flags & Flag.endStream) !== 0;
    if ((flags & Flag.endHeaders) !== 0) {
      this.#onBlock(streamId, endsStream, buffer, from, to);
      return;
    }
    this.#block = { streamId, endsStream, pieces: [Buffer.from(buffer.subarray(from, to))], bytes: to - from };
  }

  /** §6.10 */
  #onContinuation(flags: number, buffer: Buffer, start: number, end: number): void {
    const block = this.#block;
    if (block === undefined) throw protocolError("CONTINUATION without HEADERS");
    block.pieces.push(Buffer.from(buffer.subarray(start, end)));
    block.bytes += end - start;
    const { headerBlockBytes, continuationFrames } = this.#host.limits;
    if (block.bytes > headerBlockBytes || block.pieces.length > continuationFrames) {
      throw new ConnectionError(ErrorCode.enhanceYourCalm, "a header block is too long");
    }
    if ((flags & Flag.endHeaders) === 0) return;
    this.#block = undefined;
    const whole = Buffer.concat(block.pieces);
    this.#onBlock(block.streamId, block.endsStream, whole, 0, whole.length);
  }

  #onBlock(streamId: number, endsStream: boolean, buffer: Buffer, start: number, end: number): void {
    const stream = this.#streams.get(streamId);
    if (stream !== undefined) {
      this.#onTrailers(stream, endsStream, buffer, start, end);
      return;
    }
    // The block is decoded whatever becomes of it: the table must not lose it.
    const head = this.#headOf(buffer, start, end);
    if (streamId <= this.#lastStreamId) {
      if (this.#recentResets.has(streamId)) return;
      throw new ConnectionError(ErrorCode.streamClosed, "HEADERS on a closed stream");
    }
    this.#lastStreamId = streamId;
    if (head.kind === "malformed") {
      this.#refuse(streamId, ErrorCode.protocolError);
      return;
    }
    const { limits, everywhere } = this.#host;
    if (this.#streams.size >= this.#maxStreams || everywhere.streams >= limits.memberStreams) {
      this.#refuse(streamId, ErrorCode.refusedStream);
      return;
    }
    const opened = new Http2Stream(streamId, this, this.#peerWindowBytes, head.contentLength, this.#readAtMs);
    this.#streams.set(streamId, opened);
    this.#countStreams(1);
    if (isLong(head)) this.#longCalls++;
    opened.isLong = isLong(head);
    const receiver = this.#host.open(opened, head, this);
    opened.receiver = receiver;
    receiver.opened();
    if (endsStream) this.#onRemoteEnd(opened);
  }

  #headOf(buffer: Buffer, start: number, end: number): RequestHead {
    const { headerListBytes, cachedHeads, cachedHeadBytes } = this.#host.limits;
    const decoder = this.#decoder;
    const key = end - start <= cachedHeadBytes ? buffer.toString("latin1", start, end) : undefined;
    if (this.#cachedVersion !== decoder.version) {
      this.#cachedHeads.clear();
      this.#cachedVersion = decoder.version;
    }
    const cached = key === undefined ? undefined : this.#cachedHeads.get(key);
    if (cached !== undefined) return cached;
    const fields = decoder.decode(buffer, start, end, headerListBytes);
    const head = fields === undefined ? HEADERS_TOO_LARGE : this.#host.resolve(fields);
    // A block that changes the table means something else the next time.
    if (key !== undefined && decoder.version === this.#cachedVersion) {
      if (this.#cachedHeads.size >= cachedHeads) this.#cachedHeads.clear();
      this.#cachedHeads.set(key, head);
    }
    return head;
  }

  /** §8.1: fields behind the body. gRPC's clients send none, and nobody here would look at them. */
  #onTrailers(stream: Http2Stream, endsStream: boolean, buffer: Buffer, start: number, end: number): void {
    const fields = this.#decoder.decode(buffer, start, end, this.#host.limits.headerListBytes);
    if (stream.remoteEnded) {
      this.#streamError(stream, ErrorCode.streamClosed);
      return;
    }
    if (!endsStream || fields === undefined || faultOfTrailers(fields) !== undefined) {
      this.#streamError(stream, ErrorCode.protocolError);
      return;
    }
    this.#onRemoteEnd(stream);
  }

  #onRemoteEnd(stream: Http2Stream): void {
    stream.remoteEnded = true;
    if (stream.contentLength !== undefined && stream.contentLength !== stream.bodyBytes) {
      this.#streamError(stream, ErrorCode.protocolError);
      return;
    }
    if (stream.isOver) this.#forgetAnswered(stream);
    else stream.receiver?.ended();
  }

  /** §6.3; its meaning is deprecated (§5.3.2). */
  #onPriority(streamId: number, bytes: number): void {
    if (streamId === 0) throw protocolError("PRIORITY on stream 0");
    if (bytes === 5) {
      this.#spend(this.#idleFrames, "PRIORITY frames");
      return;
    }
    const stream = this.#streams.get(streamId);
    if (stream !== undefined) this.#streamError(stream, ErrorCode.frameSizeError);
    else throw new ConnectionError(ErrorCode.frameSizeError, "PRIORITY of a wrong length");
  }

  /** §6.4 */
  #onReset(streamId: number, bytes: number): void {
    if (bytes !== 4) throw new ConnectionError(ErrorCode.frameSizeError, "RST_STREAM of a wrong length");
    this.#checkNotIdle(streamId, "RST_STREAM");
    const stream = this.#streams.get(streamId);
    if (stream === undefined) {
      if (this.#lateResets > 0) this.#lateResets--;
      else this.#spend(this.#idleFrames, "RST_STREAM of closed streams");
      return;
    }
    const { isOver } = stream;
    this.#drop(stream);
    // Rapid reset is about young calls that are still being served. Thousands whose deadline passes are none of that.
    if (isOver || this.#readAtMs - stream.openedAtMs >= this.#host.limits.youngStreamMs) return;
    this.#spend(this.#resets, "streams that are reset");
  }

  /** §6.5 */
  #onSettings(flags: number, streamId: number, buffer: Buffer, start: number, end: number): void {
    if (streamId !== 0) throw protocolError("SETTINGS on a stream");
    const bytes = end - start;
    if ((flags & Flag.ack) !== 0) {
      if (bytes !== 0) throw new ConnectionError(ErrorCode.frameSizeError, "SETTINGS acknowledged with a payload");
      if (this.#settingsAcknowledged) this.#spend(this.#idleFrames, "acknowledgements of nothing");
      this.#settingsAcknowledged = true;
      this.#onHandshake();
      return;
    }
    if (bytes % SETTING_BYTES !== 0) throw new ConnectionError(ErrorCode.frameSizeError, "SETTINGS of a wrong length");
    this.#spend(this.#settings, "SETTINGS frames");
    this.#settingsSeen = true;
    let windowBytes = this.#peerWindowBytes;
    for (let at = start; at < end; at += SETTING_BYTES) {
      const id = buffer.readUInt16BE(at);
      const value = buffer.readUInt32BE(at + 2);
      this.#set(id, value);
      if (id === Setting.initialWindowSize) windowBytes = value;
    }
    this.#setPeerWindow(windowBytes);
    this.writer.frame(FrameType.settings, Flag.ack, 0, NO_BYTES);
    this.#flushSoon();
    this.#onHandshake();
  }

  /** §6.5.2; what is not here has no meaning for us. */
  #set(id: number, value: number): void {
    switch (id) {
      case Setting.headerTableSize:
        this.headers.setTableSize(value);
        return;
      case Setting.enablePush:
        if (value > 1) throw protocolError("SETTINGS_ENABLE_PUSH is neither 0 nor 1");
        return;
      case Setting.maxFrameSize:
        // Ours are never longer than what everybody takes.
        if (value < INITIAL.frameBytes || value > MAX_FRAME_BYTES) {
          throw protocolError("SETTINGS_MAX_FRAME_SIZE is out of range");
        }
        return;
      case Setting.initialWindowSize:
        if (value > MAX_WINDOW) {
          throw new ConnectionError(ErrorCode.flowControlError, "SETTINGS_INITIAL_WINDOW_SIZE is out of range");
        }
        return;
      default:
        return;
    }
  }

  /** §6.9.2; once a frame, not once an entry: a frame holds thousands, and a connection tens of thousands of streams. */
  #setPeerWindow(bytes: number): void {
    const difference = bytes - this.#peerWindowBytes;
    if (difference === 0) return;
    this.#peerWindowBytes = bytes;
    for (const stream of this.#streams.values()) {
      if (!stream.changeSendWindow(difference)) {
        throw new ConnectionError(ErrorCode.flowControlError, "a stream's window is too large by SETTINGS");
      }
      this.#windowChanged(stream);
    }
  }

  /** §6.7 */
  #onPing(flags: number, streamId: number, buffer: Buffer, start: number, end: number): void {
    if (streamId !== 0) throw protocolError("PING on a stream");
    if (end - start !== PING_BYTES) throw new ConnectionError(ErrorCode.frameSizeError, "PING of a wrong length");
    if ((flags & Flag.ack) !== 0) {
      if (this.#pingAcksDue > 0) this.#pingAcksDue--;
      else this.#spend(this.#idleFrames, "acknowledgements of nothing");
      return;
    }
    const { env, limits, logger } = this.#host;
    const answering = this.#sentSincePing || this.held.unsentBytes > 0;
    if (!this.#pingPolicy.allows(env.now(), answering, this.#streams.size)) {
      logger.warn({ peer: this.peer }, "closed a client connection: too many pings");
      throw new ConnectionError(ErrorCode.enhanceYourCalm, "too_many_pings");
    }
    const isMeasuring = this.#longCalls > 0 || this.#bytesSincePing > BULK_BYTES || this.held.unsentBytes > 0;
    this.#sentSincePing = false;
    this.#bytesSincePing = 0;
    this.#pings.push(Buffer.from(buffer.subarray(start, end)));
    if (isMeasuring || !answering) {
      this.#writePingAcks();
      this.#flushSoon();
    } else this.#pingTimer ??= env.setTimer(() => this.#guarded(() => this.#onPingTimer()), limits.pingAckDelayMs);
  }

  /** §6.8: the client opens no further streams; it closes the connection itself. */
  #onGoaway(streamId: number, bytes: number): void {
    if (streamId !== 0) throw protocolError("GOAWAY on a stream");
    if (bytes < 8) throw new ConnectionError(ErrorCode.frameSizeError, "GOAWAY of a wrong length");
    this.#spend(this.#idleFrames, "GOAWAY frames");
  }

  /** §6.9 */
  #onWindowUpdate(streamId: number, buffer: Buffer, start: number, end: number): void {
    if (end - start !== 4) throw new ConnectionError(ErrorCode.frameSizeError, "WINDOW_UPDATE of a wrong length");
    const bytes = buffer.readUInt32BE(start) & 0x7fffffff;
    if (streamId === 0) {
      if (bytes === 0) throw protocolError("WINDOW_UPDATE by nothing");
      if (!this.sendWindow.change(bytes)) {
        throw new ConnectionError(ErrorCode.flowControlError, "the connection's window is too large");
      }
      if (this.#waiting.size > 0) this.#flushSoon();
      return;
    }
    this.#checkNotIdle(streamId, "WINDOW_UPDATE");
    const stream = this.#streams.get(streamId);
    if (stream === undefined) {
      this.#spend(this.#idleFrames, "WINDOW_UPDATE of closed streams");
      return;
    }
    if (bytes === 0) {
      this.#streamError(stream, ErrorCode.protocolError);
      return;
    }
    if (!stream.changeSendWindow(bytes)) {
      this.#streamError(stream, ErrorCode.flowControlError);
      return;
    }
    this.#windowChanged(stream);
  }

  #windowChanged(stream: Http2Stream): void {
    if (stream.hasQueued && stream.maySend) this.waits(stream);
  }

  /** §5.1: on a stream that nobody has opened only HEADERS and PRIORITY may come. */
  #checkNotIdle(streamId: number, frame: string): void {
    if (streamId === 0) throw protocolError(`${frame} on stream 0`);
    if (streamId > this.#lastStreamId || streamId % 2 === 0) throw protocolError(`${frame} on an idle stream`);
  }

  /** §5.1: what was under way when we reset the stream is no fault. */
  #onClosedStream(streamId: number): void {
    this.#spend(this.#idleFrames, "frames of closed streams");
    if (!this.#recentResets.has(streamId)) this.#writeReset(streamId, ErrorCode.streamClosed);
  }

  /** §5.4.2 */
  #streamError(stream: Http2Stream, code: ErrorCode): void {
    this.#writeReset(stream.id, code);
    this.#drop(stream);
    this.#spend(this.#resets, "streams with errors");
  }

  /** Of a stream that is never opened. */
  #refuse(streamId: number, code: ErrorCode): void {
    this.#writeReset(streamId, code);
    this.#spend(this.#resets, "refused streams");
  }

  #spend(budget: Budget, what: string): void {
    if (budget.spend(this.#host.env.now())) return;
    this.#host.logger.warn({ peer: this.peer, what }, "closed a client connection: too much of what costs it nothing");
    throw new ConnectionError(ErrorCode.enhanceYourCalm, `too many ${what}`);
  }

  #drop(stream: Http2Stream): void {
    stream.abandon();
    this.#forget(stream);
    stream.receiver?.gone();
  }

  /** Its client may reset it before it hears of the answer. */
  #forgetAnswered(stream: Http2Stream): void {
    this.#lateResets = Math.min(this.#lateResets + 1, this.#maxStreams);
    this.#forget(stream);
  }

  #forget(stream: Http2Stream): void {
    if (!this.#streams.delete(stream.id)) return;
    this.#countStreams(-1);
    this.#waiting.delete(stream);
    if (stream.isLong) this.#longCalls--;
    if (this.#draining) this.#endIfDone();
  }

  // What goes out.

  #flushSoon(): void {
    if (this.#flushDue || this.#ended) return;
    this.#flushDue = true;
    this.#host.flushSoon(this);
  }

  #flush(): void {
    this.#flushDue = false;
    if (this.#closed) return;
    this.#resetAnsweredEarly();
    if (!this.#ended) this.#emitWaiting();
    if (this.#pings.length > 0 && this.writer.hasOutput) this.#writePingAcks();
    this.#bytesSincePing += this.writer.unsentBytes;
    this.writer.flush();
    this.#countSocket();
    this.#pauseWhileUnread();
    if (this.#waiting.size > 0 && this.sendWindow.bytes > 0 && !this.#socket.writableNeedDrain) this.#flushSoon();
  }

  /** In turns, a frame each, as far as the connection's window and the socket go. */
  #emitWaiting(): void {
    const { outputBytes } = this.#host.limits;
    for (const stream of this.#waiting) {
      if (this.sendWindow.bytes <= 0 || this.writer.unsentBytes >= outputBytes) return;
      this.#waiting.delete(stream);
      // A set gives again what was added again while it is walked through.
      if (stream.emit()) this.#waiting.add(stream);
    }
  }

  /** §8.1: the response is complete, and what the client still sends is of no use. It had until now to end by itself. */
  #resetAnsweredEarly(): void {
    if (this.#answeredEarly.length === 0) return;
    const early = this.#answeredEarly;
    this.#answeredEarly = [];
    for (const stream of early) {
      if (stream.remoteEnded || this.#streams.get(stream.id) !== stream) continue;
      this.#writeReset(stream.id, ErrorCode.noError);
      this.#forgetAnswered(stream);
    }
  }

  #onDrain(): void {
    this.#countSocket();
    this.#flushSoon();
    if (this.#socket.isPaused()) this.#socket.resume();
  }

  /** Who does not read its answers gets no further questions in. */
  #pauseWhileUnread(): void {
    if (this.writer.unsentBytes <= this.#host.limits.unreadOutputBytes || this.#closed) return;
    this.writer.flush();
    this.#countSocket();
    if (this.#socket.writableNeedDrain) this.#socket.pause();
  }

  #countSocket(): void {
    const bytes = this.#socket.writableNeedDrain ? this.#socket.writableLength : 0;
    if (bytes === this.#inSocketBytes) return;
    this.#countUnsent(bytes - this.#inSocketBytes);
    this.#inSocketBytes = bytes;
  }

  #countStreams(count: number): void {
    this.held.streams += count;
    this.#host.everywhere.streams += count;
  }

  #countUnsent(bytes: number): void {
    this.held.unsentBytes += bytes;
    this.#host.everywhere.unsentBytes += bytes;
  }

  #writeSettings(): void {
    const { limits } = this.#host;
    const settings: readonly (readonly [number, number])[] = [
      [Setting.maxConcurrentStreams, this.#maxStreams],
      [Setting.initialWindowSize, limits.streamWindowBytes],
      [Setting.maxHeaderListSize, limits.headerListBytes],
      [Setting.headerTableSize, limits.headerTableBytes],
      [Setting.maxFrameSize, limits.frameBytes],
    ];
    const payload = Buffer.alloc(settings.length * SETTING_BYTES);
    for (const [i, [id, value]] of settings.entries()) {
      payload.writeUInt16BE(id, i * SETTING_BYTES);
      payload.writeUInt32BE(value, i * SETTING_BYTES + 2);
    }
    this.writer.frame(FrameType.settings, Flag.none, 0, payload);
    const more = limits.connectionWindowBytes - INITIAL.windowBytes;
    if (more > 0) this.writer.numberFrame(FrameType.windowUpdate, 0, more);
  }

  #writeWindowUpdate(streamId: number, bytes: number): void {
    this.writer.numberFrame(FrameType.windowUpdate, streamId, bytes);
    this.#flushSoon();
  }

  #writeReset(streamId: number, code: ErrorCode): void {
    this.#recentResets.add(streamId);
    this.writer.numberFrame(FrameType.rstStream, streamId, code);
    this.#flushSoon();
  }

  #writePingAcks(): void {
    for (const payload of this.#pings) this.writer.frame(FrameType.ping, Flag.ack, 0, payload);
    this.#pings = [];
  }

  #writeGoaway(lastStreamId: number, code: ErrorCode, text: string): void {
    const payload = Buffer.alloc(8 + Buffer.byteLength(text));
    payload.writeUInt32BE(lastStreamId, 0);
    payload.writeUInt32BE(code, 4);
    payload.write(text, 8);
    this.writer.frame(FrameType.goaway, Flag.none, 0, payload);
  }

  // What time brings.

  #onPingTimer(): void {
    this.#pingTimer = undefined;
    if (this.#pings.length === 0) return;
    this.#writePingAcks();
    this.#flushSoon();
  }

  #onHandshake(): void {
    if (this.#settingsSeen && this.#settingsAcknowledged) this.#handshakeTimer?.cancel();
  }

  #onHandshakeTimeout(): void {
    throw new ConnectionError(ErrorCode.settingsTimeout, "the client's settings did not come");
  }

  /** G-10: a silent client is asked for a sign of life. */
  #onKeepalive(): void {
    const { options, logger } = this.#host;
    if (this.#readSinceLook) this.#lookAgain(options.keepaliveIntervalMs);
    else if (this.#isAsked) {
      logger.debug({ peer: this.peer }, "closed a client connection: it did not answer a ping");
      this.#socket.destroy();
    } else {
      this.#lookAgain(options.keepaliveTimeoutMs);
      this.#isAsked = true;
      this.#pingAcksDue++;
      this.writer.frame(FrameType.ping, Flag.none, 0, Buffer.alloc(PING_BYTES));
      this.#flushSoon();
    }
  }

  #lookAgain(afterMs: number): void {
    this.#isAsked = false;
    this.#readSinceLook = false;
    this.#keepaliveTimer?.cancel();
    this.#keepaliveTimer = this.#host.env.setTimer(() => this.#guarded(() => this.#onKeepalive()), afterMs);
  }

  // The end.

  #endIfDone(): void {
    if (this.#streams.size === 0) this.#end(ErrorCode.noError, "");
  }

  /** Says why, closes our side, and gives the client a moment to read it. */
  #end(code: ErrorCode, text: string): void {
    if (this.#ended || this.#closed) return;
    // First: what follows forgets streams, and the last one of a connection that drains ends it.
    this.#ended = true;
    this.#host.logger.debug({ peer: this.peer, code, text }, "closing a client connection");
    this.#resetAnsweredEarly();
    this.#reader.stop();
    this.#writeGoaway(this.#lastStreamId, code, text);
    this.writer.flush();
    this.#dropAll();
    this.#socket.end();
    if (this.#socket.isPaused()) this.#socket.resume();
    // Answers may still be leaving; who stops the server bounds their time.
    const isLeaving = code === ErrorCode.noError && this.#socket.writableLength > 0;
    if (isLeaving) this.#socket.once("finish", () => this.#linger());
    else this.#linger();
  }

  #linger(): void {
    if (this.#closed) return;
    this.#lingerTimer = this.#host.env.setTimer(() => this.#socket.destroy(), this.#host.limits.lingerMs);
  }

  #dropAll(): void {
    const streams = [...this.#streams.values()];
    this.#countStreams(-streams.length);
    this.#streams.clear();
    this.#waiting.clear();
    this.#answeredEarly = [];
    this.#longCalls = 0;
    for (const stream of streams) {
      stream.abandon();
      stream.receiver?.gone();
    }
  }

  #onClose(): void {
    this.#closed = true;
    this.#ended = true;
    this.#reader.stop();
    for (const timer of [this.#handshakeTimer, this.#keepaliveTimer, this.#pingTimer, this.#lingerTimer]) {
      timer?.cancel();
    }
    this.#dropAll();
    this.writer.close();
    this.#countUnsent(-this.#inSocketBytes);
    this.#inSocketBytes = 0;
    this.#host.closed(this);
  }
}

function protocolError(message: string): ConnectionError {
  return new ConnectionError(ErrorCode.protocolError, message);
}

function isLong(head: RequestHead): boolean {
  return head.kind === "call" && head.handler.kind === "stream";
}

const NO_PADDING = { head: 0, tail: 0 } as const;

/** §6.1: the byte in front of padded content, and the padding behind it. */
function paddingOf(
  flags: number,
  buffer: Buffer,
  start: number,
  end: number,
): { readonly head: number; readonly tail: number } {
  if ((flags & Flag.padded) === 0) return NO_PADDING;
  if (start === end) throw new ConnectionError(ErrorCode.frameSizeError, "a padded frame without its padding's length");
  const tail = buffer[start] as number;
  if (tail >= end - start) throw protocolError("padding longer than its frame");
  return { head: 1, tail };
}
