import * as http from "node:http";
import type { Env, Timer } from "../env.ts";
import { requestHeaders } from "./headers.ts";
import { collect, describe, target } from "./http-client.ts";
import type { PeerLimits } from "./limits.ts";
import { messageEncoder } from "./message-frames.ts";
import type { NameLookup } from "./name-lookup.ts";
import type { PeerStatus } from "./peer-status.ts";
import type { OutgoingSnapshot, PeerIdentity } from "./transport.ts";
import { PeerCallError } from "./transport.ts";
import type { UrlPicker } from "./url-picker.ts";

export interface SnapshotUploadOptions {
  readonly env: Env;
  readonly limits: PeerLimits;
  readonly identity: PeerIdentity;
  readonly names: NameLookup;
  readonly urls: UrlPicker;
  readonly status: PeerStatus;
}

/** What the receiver said. */
export interface SnapshotAnswer {
  readonly status: number;
  readonly text: string;
  readonly sentBytes: number;
}

const PATH = "/raft/snapshot";
const REFUSAL_BYTES = 4 * 1024;
/** Handed to the socket at a time, and then waited for. */
const PIECE_BYTES = 256 * 1024;

/** One snapshot on its way to a peer, over a connection of its own. */
export class SnapshotUpload {
  readonly #options: SnapshotUploadOptions;
  readonly #snapshot: OutgoingSnapshot;
  #attempt: Attempt | undefined;
  #cancelled: string | undefined;

  constructor(options: SnapshotUploadOptions, snapshot: OutgoingSnapshot) {
    this.#options = options;
    this.#snapshot = snapshot;
  }

  /** Any HTTP status is an answer; rejects with PeerCallError on everything else. */
  async send(): Promise<SnapshotAnswer> {
    const { urls } = this.#options;
    const file = new Source(this.#snapshot.file);
    try {
      const message = messageEncoder().encode([this.#snapshot.message]);
      let failure = new PeerCallError("the member has no peer URLs", false);
      for (const url of urls.inOrder()) {
        if (this.#cancelled !== undefined) throw new PeerCallError(this.#cancelled, false);
        try {
          this.#attempt = new Attempt(this.#options, url, message, file);
          return await this.#attempt.answer;
        } catch (error) {
          if (!(error instanceof PeerCallError)) throw error;
          if (file.hasFailed || this.#cancelled !== undefined) throw error;
          urls.failed(url);
          if (file.wasAsked) throw error;
          failure = error;
        }
      }
      throw failure;
    } finally {
      file.release();
    }
  }

  cancel(reason: string): void {
    this.#cancelled ??= reason;
    this.#attempt?.fail(reason);
  }
}

/** Lets go of a snapshot's file that nobody will read. */
export function releaseFile(file: AsyncIterable<Uint8Array>): void {
  new Source(file).release();
}

class Source {
  readonly #file: AsyncIterator<Uint8Array>;
  wasAsked = false;
  hasFailed = false;

  constructor(file: AsyncIterable<Uint8Array>) {
    this.#file = file[Symbol.asyncIterator]();
  }

  async next(): Promise<IteratorResult<Uint8Array>> {
    this.wasAsked = true;
    try {
      return await this.#file.next();
    } catch (error) {
      this.hasFailed = true;
      throw error;
    }
  }

  /** Not waited for: a piece may still be on its way, and an outcome should not wait for what nobody wants any more. */
  release(): void {
    // The outcome stands; what goes wrong in letting go is the file's own matter.
    this.#file.return?.().catch(() => undefined);
  }
}

type Phase = "dialling" | "uploading" | "waiting" | "answered";

/** One request to one URL. The body is ended only when all of the file is in it: else its receiver sees it break off. */
class Attempt {
  readonly answer: Promise<SnapshotAnswer>;
  readonly #options: SnapshotUploadOptions;
  readonly #what: string;
  readonly #request: http.ClientRequest;
  #phase: Phase = "dialling";
  /** When the phase began, or something moved in it. */
  #movedAt: number;
  #sentBytes = 0;
  #timer: Timer | undefined;
  #over = false;
  #drained: () => void = () => undefined;
  #settle: { resolve(answer: SnapshotAnswer): void; reject(error: PeerCallError): void };

  /** Throws PeerCallError for a URL that cannot be dialled. */
  constructor(options: SnapshotUploadOptions, url: string, message: Buffer, file: Source) {
    const { env, identity, names } = options;
    this.#options = options;
    this.#what = `${url}${PATH}`;
    this.#movedAt = env.now();
    this.#settle = { resolve: () => undefined, reject: () => undefined };
    this.answer = new Promise((resolve, reject) => {
      this.#settle = { resolve, reject };
    });
    const headers = { ...requestHeaders(identity), "Content-Type": "application/octet-stream" };
    const request = http.request({
      ...target(url),
      method: "POST",
      path: PATH,
      headers,
      agent: false,
      lookup: names.lookup,
    });
    this.#request = request;
    request.on("error", (error) => this.#broke(describe(error), error));
    request.on("close", () => this.#broke("the connection broke off"));
    request.on("drain", () => this.#drained());
    request.on("response", (response) => this.#answered(response));
    request.on("socket", (socket) => {
      socket.once("connect", () => {
        this.#enter("uploading");
        void this.#upload(message, file);
      });
    });
    request.on("finish", () => {
      if (this.#phase === "uploading") this.#enter("waiting");
    });
    request.flushHeaders();
    this.#watch();
  }

  fail(reason: string, cause?: unknown): void {
    if (this.#over) return;
    this.#end();
    this.#settle.reject(new PeerCallError(`${this.#what}: ${reason}`, this.#phase !== "dialling", cause));
  }

  /** Nothing that happens to the connection undoes an answer that has come: its own end follows. */
  #broke(reason: string, cause?: unknown): void {
    if (this.#phase !== "answered") this.fail(reason, cause);
  }

  #end(): void {
    this.#over = true;
    this.#timer?.cancel();
    this.#request.destroy();
    this.#drained();
  }

  get #isWanted(): boolean {
    return !this.#over && this.#phase === "uploading";
  }

  async #upload(message: Buffer, file: Source): Promise<void> {
    await this.#write(message);
    while (this.#isWanted) {
      let next: IteratorResult<Uint8Array>;
      try {
        next = await file.next();
      } catch (error) {
        if (this.#isWanted) this.fail(`the file could not be read: ${describe(error)}`, error);
        return;
      }
      if (!this.#isWanted) return;
      this.#movedAt = this.#options.env.now();
      if (next.done === true) {
        this.#request.end();
        return;
      }
      await this.#write(next.value);
    }
  }

  async #write(bytes: Uint8Array): Promise<void> {
    for (let at = 0; at < bytes.length && this.#isWanted; at += PIECE_BYTES) {
      const piece = bytes.subarray(at, at + PIECE_BYTES);
      this.#sentBytes += piece.length;
      if (this.#request.write(piece)) continue;
      await new Promise<void>((resolve) => {
        this.#drained = resolve;
      });
      this.#movedAt = this.#options.env.now();
    }
  }

  /** It may come before the file's end: what is left of that is then nobody's. */
  #answered(response: http.IncomingMessage): void {
    this.#enter("answered");
    this.#drained();
    collect(response, REFUSAL_BYTES, (body) => {
      if (this.#over) return;
      this.#end();
      const text = body?.toString("utf8").trim() ?? "";
      this.#settle.resolve({ status: response.statusCode ?? 0, text, sentBytes: this.#sentBytes });
    });
  }

  #enter(phase: Phase): void {
    if (this.#over) return;
    this.#phase = phase;
    this.#movedAt = this.#options.env.now();
    this.#watch();
  }

  #watch(): void {
    const { env } = this.#options;
    this.#timer?.cancel();
    // A turn for I/O first: when it was us who stood still, there may be news.
    this.#timer = env.setTimer(() => env.nextTurn(() => this.#judge()), Math.max(1, this.#deadline() - env.now()));
  }

  #judge(): void {
    if (this.#over) return;
    if (this.#options.env.now() < this.#deadline()) this.#watch();
    else if (this.#phase === "dialling") this.fail("dial timed out");
    else if (this.#phase === "uploading") this.fail("nothing moved any more");
    else if (this.#phase === "answered") this.fail("the answer does not end");
    else this.fail("no answer, and no other word of the peer");
  }

  #deadline(): number {
    const { env, limits, status } = this.#options;
    switch (this.#phase) {
      case "dialling":
        return this.#movedAt + limits.dialTimeoutMs;
      case "uploading":
      case "answered":
        return this.#movedAt + limits.snapshotIdleMs;
      case "waiting":
        return Math.max(this.#movedAt, status.inactiveSince ?? env.now()) + limits.snapshotIdleMs;
    }
  }
}
