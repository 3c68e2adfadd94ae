import * as http from "node:http";
import type { Env, Timer } from "../env.ts";
import type { NameLookup } from "./name-lookup.ts";
import type { PeerRequest, PeerResponse } from "./transport.ts";
import { PeerCallError } from "./transport.ts";

/** Where a request to a peer URL goes. Throws PeerCallError for a URL that cannot be dialled. */
export function target(url: string): { readonly host: string; readonly port: number } {
  if (!URL.canParse(url)) throw new PeerCallError(`peer URL ${url} is malformed`, false);
  const { protocol, hostname, port } = new URL(url);
  if (protocol !== "http:") throw new PeerCallError(`peer URL ${url} has an unsupported scheme`, false);
  return { host: hostname.replace(/^\[(.*)\]$/, "$1"), port: port === "" ? 80 : Number(port) };
}

export interface CallOptions extends PeerRequest {
  /** The receiver may see the request twice: a kept connection that turns out dead is then replaced silently. */
  readonly repeatable?: boolean;
}

/** How many connections a client of ours may have; further calls wait for one, and their time runs meanwhile. */
export interface SocketLimits {
  readonly perHost: number;
  readonly total: number;
  /** Whether an idle one is kept for the next call: only towards those who stay. */
  readonly kept: boolean;
}

/** Calls over kept connections. Redirects are not followed. */
export class PeerHttpClient {
  readonly #env: Env;
  readonly #maxResponseBytes: number;
  readonly #agent: http.Agent;
  readonly #cancels = new Set<(error: PeerCallError) => void>();
  #closed = false;

  constructor(env: Env, maxResponseBytes: number, names: NameLookup, sockets: SocketLimits) {
    this.#agent = new http.Agent({
      keepAlive: sockets.kept,
      maxFreeSockets: 8,
      maxSockets: sockets.perHost,
      maxTotalSockets: sockets.total,
      lookup: names.lookup,
    });
    this.#env = env;
    this.#maxResponseBytes = maxResponseBytes;
  }

  /** Any HTTP status is an answer; rejects with PeerCallError on everything else. */
  async call(url: string, options: CallOptions): Promise<PeerResponse> {
    const deadline = this.#env.now() + options.timeoutMs;
    try {
      return await this.#once(url, options, options.timeoutMs);
    } catch (error) {
      const stale = error instanceof StaleConnectionError && (options.repeatable === true || options.method === "GET");
      if (!stale) throw error;
      return this.#once(url, options, Math.max(1, deadline - this.#env.now()));
    }
  }

  /** Rejects what is under way and every later call. */
  close(): void {
    this.#closed = true;
    for (const cancel of [...this.#cancels]) cancel(new PeerCallError("the peer transport is closed", true));
    this.#agent.destroy();
  }

  #once(url: string, options: CallOptions, timeoutMs: number): Promise<PeerResponse> {
    return new Promise((resolve, reject) => {
      if (this.#closed) throw new PeerCallError("the peer transport is closed", false);
      if (options.signal?.aborted === true) throw new PeerCallError("the call was aborted", false);
      let connected = false;
      let timer: Timer | undefined;
      const request = http.request({
        ...target(url),
        agent: this.#agent,
        method: options.method,
        path: options.path,
        headers:
          options.body === undefined
            ? options.headers
            : { ...options.headers, "Content-Length": String(options.body.length) },
      });

      const settled = (): void => {
        timer?.cancel();
        this.#cancels.delete(fail);
        options.signal?.removeEventListener("abort", aborted);
      };
      const fail = (error: PeerCallError): void => {
        settled();
        request.destroy();
        reject(error);
      };
      const aborted = (): void => fail(new PeerCallError("the call was aborted", connected));

      timer = this.#env.setTimer(
        () => fail(new PeerCallError(`${url}${options.path}: no answer in ${timeoutMs} ms`, connected)),
        timeoutMs,
      );
      this.#cancels.add(fail);
      options.signal?.addEventListener("abort", aborted);
      request.on("socket", (socket) => {
        if (socket.connecting) socket.once("connect", () => (connected = true));
        else connected = true;
      });
      request.on("error", (error) => {
        const text = `${url}${options.path}: ${describe(error)}`;
        const stale = request.reusedSocket && (error as NodeJS.ErrnoException).code === "ECONNRESET";
        fail(stale ? new StaleConnectionError(text, true, error) : new PeerCallError(text, connected, error));
      });
      request.on("response", (response) => {
        collect(response, this.#maxResponseBytes, (body) => {
          if (body === undefined) {
            fail(new PeerCallError(`${url}${options.path}: the answer broke off or is too long`, true));
            return;
          }
          settled();
          resolve({ status: response.statusCode ?? 0, headers: response.headers, body });
        });
      });
      request.end(options.body);
    });
  }
}

/** For members whose ids are not known yet too: a joining member asks the cluster's URLs with it. */
export async function callUrls(
  env: Env,
  client: PeerHttpClient,
  urls: readonly string[],
  request: PeerRequest,
): Promise<PeerResponse> {
  const deadline = env.now() + request.timeoutMs;
  let failure = new PeerCallError("the member has no peer URLs", false);
  for (const url of urls) {
    const timeoutMs = Math.max(1, deadline - env.now());
    try {
      return await client.call(url, { ...request, timeoutMs });
    } catch (error) {
      if (!(error instanceof PeerCallError)) throw error;
      failure = error;
      const mayHaveActed = error.connected && request.method !== "GET";
      if (mayHaveActed || env.now() >= deadline || request.signal?.aborted === true) break;
    }
  }
  throw failure;
}

class StaleConnectionError extends PeerCallError {}

/** The whole body, or undefined when it broke off or is longer than that; called once. */
export function collect(
  message: http.IncomingMessage,
  maxBytes: number,
  done: (body: Buffer | undefined) => void,
): void {
  const chunks: Buffer[] = [];
  let size = 0;
  let finished = false;
  const finish = (body: Buffer | undefined): void => {
    if (finished) return;
    finished = true;
    done(body);
  };
  message.on("data", (chunk: Buffer) => {
    size += chunk.length;
    if (size <= maxBytes) {
      chunks.push(chunk);
      return;
    }
    chunks.length = 0;
    finish(undefined);
    message.destroy();
  });
  message.on("end", () => finish(Buffer.concat(chunks)));
  message.on("error", () => finish(undefined));
  message.on("close", () => finish(undefined));
}

/** An AggregateError (all addresses of a name failed) has no message of its own. */
export function describe(error: unknown): string {
  if (error instanceof AggregateError) return error.errors.map(describe).join("; ");
  return error instanceof Error ? error.message : String(error);
}
