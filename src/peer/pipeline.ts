import { encode } from "../../proto/codec.ts";
import * as raftpb from "../../proto/generated/raftpb.ts";
import type { Message } from "../../raft/types.ts";
import { requestHeaders } from "./headers.ts";
import type { PeerHttpClient } from "./http-client.ts";
import { describe } from "./http-client.ts";
import type { PeerLimits } from "./limits.ts";
import { toWire } from "./message-codec.ts";
import type { PeerIdentity } from "./transport.ts";
import type { UrlPicker } from "./url-picker.ts";

export interface PipelineHooks {
  onSent(bytes: number): void;
  /** One message is lost. */
  onFailure(reason: string): void;
  onRemoved(): void;
}

/** The lane for when no stream is there: each message a POST, a few at a time, in no order. */
export class Pipeline {
  readonly #client: PeerHttpClient;
  readonly #limits: PeerLimits;
  readonly #headers: Readonly<Record<string, string>>;
  readonly #urls: UrlPicker;
  readonly #hooks: PipelineHooks;
  readonly #queue: Message[] = [];
  #inFlight = 0;
  #closed = false;

  constructor(
    client: PeerHttpClient,
    limits: PeerLimits,
    identity: PeerIdentity,
    urls: UrlPicker,
    hooks: PipelineHooks,
  ) {
    this.#client = client;
    this.#limits = limits;
    this.#headers = { ...requestHeaders(identity), "Content-Type": "application/protobuf" };
    this.#urls = urls;
    this.#hooks = hooks;
  }

  /** False: the queue is full and the message is dropped. */
  enqueue(message: Message): boolean {
    if (this.#closed) return false;
    if (this.#inFlight < this.#limits.pipelineInFlight) {
      this.#inFlight++;
      void this.#sendFrom(message);
      return true;
    }
    if (this.#queue.length >= this.#limits.pipelineQueueMessages) return false;
    this.#queue.push(message);
    return true;
  }

  /** What is in flight ends with the client. */
  close(): void {
    this.#closed = true;
    this.#queue.length = 0;
  }

  async #sendFrom(first: Message): Promise<void> {
    for (let message: Message | undefined = first; message !== undefined; message = this.#queue.shift()) {
      const url = this.#urls.current() ?? "";
      const failure = await this.#post(url, encode(raftpb.Message, toWire(message)));
      if (this.#closed) return;
      if (failure === undefined) continue;
      this.#urls.failed(url);
      this.#hooks.onFailure(failure);
    }
    this.#inFlight--;
  }

  async #post(url: string, body: Buffer): Promise<string | undefined> {
    // A long message gets the time that a slow line of 1 MB/s needs.
    const timeoutMs = this.#limits.writeTimeoutMs + body.length / 1000;
    try {
      const { status, body: text } = await this.#client.call(url, {
        method: "POST",
        path: "/raft",
        headers: this.#headers,
        body,
        timeoutMs,
        repeatable: true,
      });
      if (this.#closed) return undefined;
      if (status === 204) {
        this.#hooks.onSent(body.length);
        return undefined;
      }
      const reason = text.toString("utf8", 0, 256).trim();
      // etcd answers 403 also to a message for another id than its own; that says nothing about us.
      if (status === 403 && !reason.includes("mismatch")) this.#hooks.onRemoved();
      return `refused with ${status}: ${reason}`;
    } catch (error) {
      return describe(error);
    }
  }
}
