import { DecodeError } from "../../proto/codec.ts";
import type { Message } from "../../raft/types.ts";
import type { Env, Timer } from "../env.ts";
import type { FrameDecoder } from "./frames.ts";
import { answerMismatch } from "./headers.ts";
import { describe, target } from "./http-client.ts";
import type { PeerLimits } from "./limits.ts";
import type { NameLookup } from "./name-lookup.ts";
import type { ResponseHead } from "./response-head.ts";
import type { BodyTaker } from "./stream-get.ts";
import { StreamGet } from "./stream-get.ts";
import type { PeerIdentity } from "./transport.ts";
import type { UrlPicker } from "./url-picker.ts";

export interface DialerHooks {
  onMessage(message: Message): void;
  onBytes(count: number): void;
  onConnected(): void;
  /** Could not connect, was refused, or (`established`) the stream ended. It is dialled again. */
  onFailure(reason: string, established: boolean): void;
  /** At every address of the peer nobody listens. */
  onNobodyThere(): void;
  /** The peer says that we were removed. It is dialled again nonetheless: what to do about it is the server's matter. */
  onRemoved(): void;
}

export interface DialerOptions {
  readonly env: Env;
  readonly limits: PeerLimits;
  readonly identity: PeerIdentity;
  readonly urls: UrlPicker;
  readonly names: NameLookup;
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly decoder: () => FrameDecoder;
  readonly hooks: DialerHooks;
}

const REFUSAL_BYTES = 4 * 1024;

/** Takes the body of what was ended at its head. */
const NOBODY: BodyTaker = { onData: () => undefined, onEnd: () => undefined };

/** Keeps one stream open that a peer writes and we read; dials again, at a bounded rate, whenever it ends. */
export class StreamDialer {
  readonly #options: DialerOptions;
  #request: StreamGet | undefined;
  #url = "";
  #established = false;
  #dialledAt = 0;
  /** Dials in a row that met a closed port. */
  #closedPorts = 0;
  #heardAt = 0;
  /** One at a time: the dial time-out, then the silence time-out, then the wait before the next dial. */
  #timer: Timer | undefined;
  #closed = false;

  constructor(options: DialerOptions) {
    this.#options = options;
    this.#again(0);
  }

  close(): void {
    this.#closed = true;
    this.#timer?.cancel();
    this.#request?.destroy();
    this.#request = undefined;
  }

  #again(delayMs: number): void {
    this.#timer?.cancel();
    this.#timer = this.#options.env.setTimer(() => this.#dial(), delayMs);
  }

  #dial(): void {
    const { env, limits, urls, names, path, headers } = this.#options;
    this.#dialledAt = env.now();
    this.#url = urls.current() ?? "";
    let address: ReturnType<typeof target>;
    try {
      address = target(this.#url);
    } catch (error) {
      this.#ended(undefined, describe(error));
      return;
    }

    // Not from a pool: a stream's connection serves nothing else and dies with it.
    const request = new StreamGet({
      ...address,
      path,
      headers,
      lookup: names.lookup,
      hooks: {
        onConnect: () => {
          this.#closedPorts = 0;
        },
        onHead: (head) => this.#answered(request, head),
        onFailure: (error: NodeJS.ErrnoException) => {
          if (error.code === "ECONNREFUSED") this.#metClosedPort(request);
          this.#ended(request, describe(error));
        },
      },
    });
    this.#request = request;
    this.#timer = env.setTimer(() => this.#ended(request, "dial timed out"), limits.dialTimeoutMs);
  }

  #answered(request: StreamGet, { status, headers, body }: ResponseHead): BodyTaker {
    const { env, identity, hooks, decoder } = this.#options;
    if (status !== 200) return this.#refusal(request, status);
    const misfit =
      answerMismatch(identity, headers) ?? (body.kind === "chunked" ? undefined : "the stream is not chunked");
    if (misfit !== undefined) this.#ended(request, misfit);
    if (request !== this.#request) return NOBODY;

    this.#heardAt = env.now();
    this.#watchSilence(request);
    this.#established = true;
    hooks.onConnected();
    const frames = decoder();
    return {
      onData: (data) => this.#received(request, frames, data),
      onEnd: (error) => this.#ended(request, error === undefined ? "the peer ended the stream" : describe(error)),
    };
  }

  /** What the refusal says is told when it is all there and short. */
  #refusal(request: StreamGet, status: number): BodyTaker {
    const pieces: Buffer[] = [];
    let size = 0;
    return {
      onData: (data) => {
        size += data.length;
        if (size > REFUSAL_BYTES) this.#refused(request, status, "");
        else pieces.push(Buffer.from(data));
      },
      onEnd: (error) => {
        this.#refused(request, status, error === undefined ? Buffer.concat(pieces).toString("utf8").trim() : "");
      },
    };
  }

  #refused(request: StreamGet, status: number, text: string): void {
    if (request !== this.#request) return;
    if (status === 410) this.#options.hooks.onRemoved();
    this.#ended(request, `refused with ${status}${text === "" ? "" : `: ${text}`}`);
  }

  #received(request: StreamGet, frames: FrameDecoder, chunk: Buffer): void {
    if (request !== this.#request) return;
    const { env, hooks } = this.#options;
    this.#heardAt = env.now();
    hooks.onBytes(chunk.length);
    const messages: Message[] = [];
    let failure: string | undefined;
    try {
      frames.push(chunk, messages);
    } catch (error) {
      if (!(error instanceof DecodeError)) throw error;
      failure = error.message;
    }
    for (const message of messages) {
      if (request !== this.#request) return;
      hooks.onMessage(message);
    }
    if (failure !== undefined) this.#ended(request, failure);
  }

  #watchSilence(request: StreamGet): void {
    const { env, limits } = this.#options;
    this.#timer?.cancel();
    const left = this.#heardAt + limits.readTimeoutMs - env.now();
    // A turn for I/O first: when it was us who stood still, what the peer said meanwhile waits to be read.
    this.#timer = env.setTimer(() => env.nextTurn(() => this.#judgeSilence(request)), Math.max(1, left));
  }

  #judgeSilence(request: StreamGet): void {
    if (this.#closed || request !== this.#request) return;
    const { env, limits } = this.#options;
    if (env.now() - this.#heardAt < limits.readTimeoutMs) this.#watchSilence(request);
    else this.#ended(request, "the peer fell silent");
  }

  #metClosedPort(request: StreamGet): void {
    if (this.#closed || request !== this.#request) return;
    const { urls, hooks } = this.#options;
    if (++this.#closedPorts >= urls.inOrder().length) hooks.onNobodyThere();
  }

  /** Of several ends that one connection reports, the first counts. */
  #ended(request: StreamGet | undefined, reason: string): void {
    if (this.#closed || request !== this.#request) return;
    const { env, limits, urls, hooks } = this.#options;
    const established = this.#established;
    this.#established = false;
    this.#request = undefined;
    request?.destroy();
    urls.failed(this.#url);
    this.#again(Math.max(0, this.#dialledAt + limits.dialIntervalMs - env.now()));
    hooks.onFailure(reason, established);
  }
}
