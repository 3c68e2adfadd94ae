import { createHash } from "node:crypto";
import type { Backend } from "../../storage/backend.ts";
import { errors } from "../api/errors.ts";
import { limits } from "../config.ts";
import { OutgoingStore } from "./store-file.ts";

/** N-7. */
const PIECE_BYTES = 32_768;

/** A part of the file, or, as the last, the SHA-256 of all parts. */
export interface DatabasePiece {
  readonly bytes: Uint8Array;
  /** Of the file, behind this piece. */
  readonly remainingBytes: number;
}

/** The store of one moment as a database file, made while it is read, in bounded memory. */
export interface DatabaseFile {
  /** Undefined behind the last. Rejects with errors.stopped when the member stops, or with the signal's reason. */
  next(): Promise<DatabasePiece | undefined>;
  /** Gives the store back; idempotent. */
  close(): Promise<void>;
}

/** Database files that are being read (N-7): a bounded number, and none any more when the member has stopped. */
export class Databases {
  readonly #backend: Backend;
  readonly #stopping = new AbortController();
  readonly #open = new Set<OpenDatabase>();

  constructor(backend: Backend) {
    this.#backend = backend;
  }

  /** Rejects with ApiError (too many requests, stopped), with the signal's reason, or with what the store rejects with. */
  async open(signal: AbortSignal): Promise<DatabaseFile> {
    this.#stopping.signal.throwIfAborted();
    if (this.#open.size >= limits.openDatabases) throw errors.tooManyRequests;
    const either = AbortSignal.any([signal, this.#stopping.signal]);
    const file = new OpenDatabase(new OutgoingStore(this.#backend), either, () => this.#open.delete(file));
    this.#open.add(file);
    try {
      await file.prepare();
      return file;
    } catch (error) {
      await file.close();
      throw error;
    }
  }

  /** Resolves when nothing reads the store any more. */
  async stop(): Promise<void> {
    this.#stopping.abort(errors.stopped);
    await Promise.all([...this.#open].map((file) => file.close()));
  }
}

class OpenDatabase implements DatabaseFile {
  readonly #store: OutgoingStore;
  readonly #signal: AbortSignal;
  readonly #onClosed: () => void;
  #pieces: AsyncGenerator<DatabasePiece, void, undefined> | undefined;
  #closing: Promise<void> | undefined;

  constructor(store: OutgoingStore, signal: AbortSignal, onClosed: () => void) {
    this.#store = store;
    this.#signal = signal;
    this.#onClosed = onClosed;
  }

  async prepare(): Promise<void> {
    const { bytes, chunks } = await this.#store.prepare(this.#signal);
    this.#pieces = pieces(bytes, chunks, this.#signal);
  }

  async next(): Promise<DatabasePiece | undefined> {
    this.#signal.throwIfAborted();
    const piece = await this.#pieces?.next();
    this.#signal.throwIfAborted();
    return piece?.value ?? undefined;
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    try {
      // It may still be reading.
      await this.#pieces?.return();
      await this.#store.close();
    } finally {
      this.#onClosed();
    }
  }
}

async function* pieces(
  fileBytes: number,
  chunks: AsyncIterable<Buffer>,
  signal: AbortSignal,
): AsyncGenerator<DatabasePiece, void, undefined> {
  const hash = createHash("sha256");
  let remainingBytes = fileBytes;
  let piece = Buffer.allocUnsafeSlow(PIECE_BYTES);
  let filled = 0;
  for await (const chunk of chunks) {
    signal.throwIfAborted();
    for (let at = 0; at < chunk.length; ) {
      const copied = chunk.copy(piece, filled, at);
      at += copied;
      filled += copied;
      if (filled < PIECE_BYTES && filled < remainingBytes) continue;
      const bytes = piece.subarray(0, filled);
      hash.update(bytes);
      remainingBytes -= filled;
      yield { bytes, remainingBytes };
      // The one before is somebody else's now.
      piece = Buffer.allocUnsafeSlow(PIECE_BYTES);
      filled = 0;
    }
  }
  yield { bytes: hash.digest(), remainingBytes };
}
