import type { ServerResponse } from "node:http";
import type { Message, NodeId } from "../../raft/types.ts";
import type { Env, Timer } from "../env.ts";
import type { Logger } from "../log.ts";
import { QuietLog } from "../quiet-log.ts";
import type { FrameDecoder, StreamType } from "./frames.ts";
import { formatId, streamHeaders } from "./headers.ts";
import type { PeerHttpClient } from "./http-client.ts";
import { describe } from "./http-client.ts";
import type { PeerLimits } from "./limits.ts";
import { isForwarded } from "./message-codec.ts";
import { messageDecoder, messageEncoder } from "./message-frames.ts";
import { msgAppDecoder, msgAppEncoder } from "./msgapp-frames.ts";
import type { NameLookup } from "./name-lookup.ts";
import { PeerStatus } from "./peer-status.ts";
import { Pipeline } from "./pipeline.ts";
import { releaseFile, SnapshotUpload } from "./snapshot-upload.ts";
import { StreamDialer } from "./stream-dialer.ts";
import { StreamWriter } from "./stream-writer.ts";
import type { OutgoingSnapshot, PeerIdentity, PeerTraffic } from "./transport.ts";
import { PeerCallError } from "./transport.ts";
import { UrlPicker } from "./url-picker.ts";

/** What all peers of a transport share. */
export interface PeerContext {
  readonly env: Env;
  readonly limits: PeerLimits;
  readonly logger: Logger;
  readonly identity: PeerIdentity;
  readonly pipelineClient: PeerHttpClient;
  readonly callClient: PeerHttpClient;
  readonly probeClient: PeerHttpClient;
  readonly names: NameLookup;
  receive(message: Message): void;
  lost(id: NodeId): void;
  gone(id: NodeId): void;
  removed(): void;
}

const ABORTED = "the call was aborted";

const STREAM_TYPES: readonly StreamType[] = ["message", "msgapp"];

/** One remote member: two streams that we dial and read, two that it dials and we write, the pipeline, and a snapshot. */
export class Peer {
  readonly #context: PeerContext;
  readonly #id: NodeId;
  readonly #urls: UrlPicker;
  readonly #status: PeerStatus;
  readonly #quietLog: QuietLog;
  readonly #dialers: readonly StreamDialer[];
  readonly #writers = new Map<StreamType, StreamWriter>();
  readonly #pipeline: Pipeline;
  #snapshot: SnapshotUpload | undefined;
  #probeTimer: Timer;
  #roundTripMs: number | undefined;
  #sentBytes = 0;
  #receivedBytes = 0;
  #sentFailures = 0;
  #receivedFailures = 0;
  #closed = false;

  constructor(context: PeerContext, id: NodeId, urls: readonly string[]) {
    this.#context = context;
    this.#id = id;
    this.#urls = new UrlPicker(urls);
    this.#status = new PeerStatus(context.env, context.logger, formatId(id));
    this.#quietLog = new QuietLog(context.env, context.logger);
    this.#pipeline = new Pipeline(context.pipelineClient, context.limits, context.identity, this.#urls, {
      onSent: (bytes) => {
        this.#sentBytes += bytes;
        this.#status.succeeded();
      },
      onFailure: (reason) => this.#sendFailed("pipeline", reason),
      onRemoved: () => context.removed(),
    });
    this.#dialers = STREAM_TYPES.map((type) => this.#dialer(type));
    this.#probeTimer = this.#scheduleProbe();
  }

  updateUrls(urls: readonly string[]): void {
    this.#urls.update(urls);
  }

  get urls(): readonly string[] {
    return this.#urls.inOrder();
  }

  get activeSince(): number | undefined {
    return this.#status.activeSince;
  }

  get roundTripMs(): number | undefined {
    return this.#roundTripMs;
  }

  get traffic(): PeerTraffic {
    return {
      sentBytes: this.#sentBytes,
      receivedBytes: this.#receivedBytes,
      sentFailures: this.#sentFailures,
      receivedFailures: this.#receivedFailures,
    };
  }

  /** False: dropped. Appends have a stream of their own, so that nothing waits behind them. */
  send(message: Message): boolean {
    const lane = this.#writers.get(message.type === "MsgApp" ? "msgapp" : "message") ?? this.#pipeline;
    const queued = lane.enqueue(message);
    if (!queued) this.#sentFailures++;
    return queued;
  }

  /** Whether the peer lives is for the streams to tell: a snapshot can fail for many reasons of its own. */
  async sendSnapshot(snapshot: OutgoingSnapshot, signal: AbortSignal): Promise<void> {
    const unwanted = this.#snapshot !== undefined ? "a snapshot is on its way" : signal.aborted ? ABORTED : undefined;
    if (unwanted !== undefined) {
      releaseFile(snapshot.file);
      throw new PeerCallError(unwanted, false);
    }
    const upload = new SnapshotUpload({ ...this.#context, urls: this.#urls, status: this.#status }, snapshot);
    const aborted = (): void => upload.cancel(ABORTED);
    signal.addEventListener("abort", aborted);
    this.#snapshot = upload;
    try {
      const { status, text, sentBytes } = await upload.send();
      this.#sentBytes += sentBytes;
      if (status !== 204) {
        // As on the other lanes; etcd answers 403 also to what is meant for another id than its own.
        if (status === 410 || (status === 403 && !text.includes("mismatch"))) this.#context.removed();
        throw new PeerCallError(`refused with ${status}${text === "" ? "" : `: ${text}`}`, true);
      }
      if (!this.#closed) this.#status.succeeded();
    } catch (error) {
      this.#sentFailures++;
      throw error;
    } finally {
      signal.removeEventListener("abort", aborted);
      this.#snapshot = undefined;
    }
  }

  /** The peer dialled us; what it dialled before is dead or will be. */
  acceptStream(type: StreamType, response: ServerResponse): void {
    const { env, limits, logger } = this.#context;
    const encoder = type === "message" ? messageEncoder() : msgAppEncoder();
    const replaced = this.#writers.get(type);
    const writer = new StreamWriter(env, limits, encoder, response, {
      onWritten: (bytes) => {
        this.#sentBytes += bytes;
      },
      onClose: (reason) => {
        this.#writers.delete(type);
        if (this.#closed) return;
        logger.warn(
          { "stream-writer-type": type, "remote-peer-id": formatId(this.#id), error: reason },
          "lost TCP streaming connection with remote peer",
        );
        this.#sendFailed(type, reason);
      },
    });
    this.#writers.set(type, writer);
    if (replaced !== undefined) {
      replaced.close();
      this.#context.lost(this.#id);
    }
    logger.info(
      { "stream-writer-type": type, "remote-peer-id": formatId(this.#id) },
      "established TCP streaming connection with remote peer",
    );
    this.#status.succeeded();
  }

  /**
   * It is no member any more. What waits for it is still sent: the news that its removal is committed is among that.
   * Nothing is read, and nothing reported.
   */
  retire(): void {
    this.#closed = true;
    this.#probeTimer.cancel();
    for (const dialer of this.#dialers) dialer.close();
    for (const writer of this.#writers.values()) writer.finish();
    this.#snapshot?.cancel("the member is no peer any more");
  }

  close(): void {
    this.#closed = true;
    this.#probeTimer.cancel();
    for (const dialer of this.#dialers) dialer.close();
    for (const writer of this.#writers.values()) writer.close();
    this.#writers.clear();
    this.#pipeline.close();
    this.#snapshot?.cancel("the peer transport is closed");
  }

  #sendFailed(channel: string, reason: string): void {
    if (this.#closed) return;
    this.#sentFailures++;
    this.#status.failed(channel, reason);
    this.#context.lost(this.#id);
  }

  #dialer(type: StreamType): StreamDialer {
    const { env, limits, identity, names, logger } = this.#context;
    const fields = { "stream-reader-type": type, "remote-peer-id": formatId(this.#id) };
    return new StreamDialer({
      env,
      limits,
      identity,
      urls: this.#urls,
      names,
      path: `/raft/stream/${type}/${formatId(identity.memberId)}`,
      headers: streamHeaders(identity, this.#id),
      decoder: () => this.#decoder(type),
      hooks: {
        onMessage: (message) => this.#received(message),
        onBytes: (count) => {
          this.#receivedBytes += count;
        },
        onConnected: () => {
          logger.info(fields, "established TCP streaming connection with remote peer");
          this.#status.succeeded();
        },
        onFailure: (reason, established) => {
          if (established) {
            this.#receivedFailures++;
            logger.warn({ ...fields, error: reason }, "lost TCP streaming connection with remote peer");
          } else {
            this.#quietLog.warn({ ...fields, error: reason }, "failed to dial a stream of remote peer; trying on");
          }
          this.#status.failed(type, reason);
        },
        onNobodyThere: () => {
          if (this.#writers.size === 0) this.#context.gone(this.#id);
        },
        onRemoved: () => this.#context.removed(),
      },
    });
  }

  #decoder(type: StreamType): FrameDecoder {
    const { limits, identity } = this.#context;
    return type === "message"
      ? messageDecoder(limits.messageBytes)
      : msgAppDecoder(limits.messageBytes, this.#id, identity.memberId);
  }

  #received(message: Message): void {
    const { identity } = this.#context;
    const astray = message.to !== identity.memberId || (message.from !== this.#id && !isForwarded(message));
    if (!astray && message.type !== "MsgSnap") {
      this.#context.receive(message);
      return;
    }
    this.#receivedFailures++;
    this.#quietLog.warn(
      {
        "remote-peer-id": formatId(this.#id),
        type: message.type,
        from: formatId(message.from),
        to: formatId(message.to),
      },
      "dropped a message that does not belong on this stream",
    );
  }

  #scheduleProbe(): Timer {
    return this.#context.env.setTimer(() => void this.#probe(), this.#context.limits.probeIntervalMs);
  }

  async #probe(): Promise<void> {
    const { env, limits, probeClient, logger } = this.#context;
    const startedAt = env.now();
    try {
      const url = this.#urls.current() ?? "";
      const timeoutMs = limits.probeIntervalMs;
      const { status } = await probeClient.call(url, { method: "GET", path: "/raft/probing", timeoutMs });
      this.#roundTripMs = status === 200 ? env.now() - startedAt : undefined;
    } catch (error) {
      this.#roundTripMs = undefined;
      logger.debug({ "remote-peer-id": formatId(this.#id), error: describe(error) }, "a probe of a peer failed");
    }
    if (!this.#closed) this.#probeTimer = this.#scheduleProbe();
  }
}
