import {
  Client,
  type ClientDuplexStream,
  type ClientReadableStream,
  credentials,
  Metadata,
  type ServiceError,
} from "@grpc/grpc-js";
import { type Codec, decode, encode } from "../../proto/codec.ts";
import type * as pb from "../../proto/generated/etcdserverpb.ts";
import * as mvccpb from "../../proto/generated/mvccpb.ts";
import { rpcs } from "../../proto/generated/services.ts";

interface Rpc<Request, Response> {
  readonly path: string;
  readonly request: Codec<Request>;
  readonly response: Codec<Response>;
}

export type { ServiceError };

/** A plain gRPC client of one member: what a Go client sends, without its retries. */
export class ApiClient {
  readonly #client: Client;
  #closed = false;

  /** `keepaliveMs`: pings an idle connection, so that one that leads nowhere any more is noticed. */
  constructor(endpoint: string, keepaliveMs?: number) {
    this.#client = new Client(endpoint, credentials.createInsecure(), {
      "grpc.max_receive_message_length": -1,
      "grpc.initial_reconnect_backoff_ms": 50,
      "grpc.max_reconnect_backoff_ms": 200,
      // Each client its own connection, as processes of their own would have.
      "grpc.use_local_subchannel_pool": 1,
      ...(keepaliveMs === undefined
        ? {}
        : {
            "grpc.keepalive_time_ms": keepaliveMs,
            "grpc.keepalive_timeout_ms": keepaliveMs,
            "grpc.keepalive_permit_without_calls": 1,
          }),
    });
  }

  unary<Request, Response>(
    rpc: Rpc<Request, Response>,
    request: Partial<Request>,
    options: { timeoutMs?: number; metadata?: Record<string, string> } = {},
  ): Promise<Response> {
    const metadata = new Metadata();
    for (const [name, value] of Object.entries(options.metadata ?? {})) metadata.set(name, value);
    return new Promise((resolve, reject) => {
      this.#client.makeUnaryRequest(
        rpc.path,
        (message: Request) => encode(rpc.request, message),
        (bytes: Buffer) => decode(rpc.response, bytes),
        rpc.request.create(request),
        metadata,
        { deadline: Date.now() + (options.timeoutMs ?? 10_000) },
        (error, response) => {
          if (error !== null) reject(error);
          else if (response === undefined) reject(new Error(`${rpc.path} answered nothing`));
          else resolve(response);
        },
      );
    });
  }

  /** Bytes as they are, for requests that no codec would write. */
  raw(path: string, body: Buffer): Promise<Buffer> {
    return new Promise((resolve, reject) => {
      this.#client.makeUnaryRequest(
        path,
        (bytes: Buffer) => bytes,
        (bytes: Buffer) => bytes,
        body,
        new Metadata(),
        { deadline: Date.now() + 10_000 },
        (error, response) => (error === null && response !== undefined ? resolve(response) : reject(error)),
      );
    });
  }

  put(key: string, value: string, init: Partial<pb.PutRequest> = {}, timeoutMs?: number): Promise<pb.PutResponse> {
    const request = { key: latin1(key), value: Buffer.from(value), ...init };
    return this.unary(rpcs.KVPut, request, timeoutMs === undefined ? {} : { timeoutMs });
  }

  range(init: Partial<pb.RangeRequest>, timeoutMs?: number): Promise<pb.RangeResponse> {
    return this.unary(rpcs.KVRange, init, timeoutMs === undefined ? {} : { timeoutMs });
  }

  async get(key: string, init: Partial<pb.RangeRequest> = {}): Promise<mvccpb.KeyValue | undefined> {
    const response = await this.range({ key: latin1(key), ...init });
    const [first] = response.kvs;
    return first === undefined ? undefined : decode(mvccpb.KeyValue, first);
  }

  status(timeoutMs = 5_000): Promise<pb.StatusResponse> {
    return this.unary(rpcs.MaintenanceStatus, {}, { timeoutMs });
  }

  hashKv(revision = 0): Promise<pb.HashKVResponse> {
    return this.unary(rpcs.MaintenanceHashKV, { revision }, { timeoutMs: 60_000 });
  }

  /** A call whose answers come as they are read: `serverStream` methods. */
  stream<Request, Response>(rpc: Rpc<Request, Response>, request: Partial<Request>): ClientReadableStream<Response> {
    return this.#client.makeServerStreamRequest(
      rpc.path,
      (message: Request) => encode(rpc.request, message),
      (bytes: Buffer) => decode(rpc.response, bytes),
      rpc.request.create(request),
    );
  }

  watch(): ClientDuplexStream<pb.WatchRequest, pb.WatchResponse> {
    return this.bidi(rpcs.WatchWatch);
  }

  bidi<Request, Response>(rpc: Rpc<Request, Response>): ClientDuplexStream<Request, Response> {
    return this.#client.makeBidiStreamRequest(
      rpc.path,
      (message: Request) => encode(rpc.request, message),
      (bytes: Buffer) => decode(rpc.response, bytes),
    );
  }

  /**
   * Resolves when calls reach the member. A connection that was refused before the member listened is tried again only
   * after a pause, and every call until then fails at once, ready as the member may be.
   */
  connected(timeoutMs = 10_000): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#client.waitForReady(Date.now() + timeoutMs, (error) => (error === undefined ? resolve() : reject(error)));
    });
  }

  get closed(): boolean {
    return this.#closed;
  }

  close(): void {
    this.#closed = true;
    this.#client.close();
  }
}

/** Keys are latin1 strings in our codecs: the UTF-8 bytes of the text, one char each. */
export function latin1(text: string): string {
  return Buffer.from(text, "utf8").toString("latin1");
}
