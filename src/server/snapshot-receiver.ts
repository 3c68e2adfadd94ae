import type { Backend } from "../../storage/backend.ts";
import type { Disk, DiskFile } from "../../storage/disk.ts";
import type { Logger } from "../log.ts";
import { type SnapshotMessage, SnapshotRefusedError } from "../peer/transport.ts";
import { hexId } from "./ids.ts";
import { dropUntaken, nameState, stateFiles } from "./state-files.ts";
import { adoptStore, isOfFile, openStoreFile, pointOfFile, StoreFileError } from "./store-file.ts";

export interface SnapshotReceiverDeps {
  readonly disk: Disk;
  readonly log: Logger;
  readonly memberDir: string;
  readonly openBackend: (path: string) => Promise<Backend>;
  /** Committed here already: a snapshot up to there is of no use. */
  readonly commitIndex: () => number;
  /** The state is on the disk under its name: raft decides. Resolves with whether the log is about to start from it. */
  readonly onReceived: (message: SnapshotMessage) => Promise<boolean>;
}

/**
 * Takes the state that a leader sends (contract P-11, P-12): file to disk, checked, and from it a state store beside the
 * own one (state-files.ts). Memory is bounded by a slice of rows. A failure of any kind refuses the snapshot and leaves
 * this member as it was; also one of its own disk, for nothing that it has promised depends on these files.
 */
export class SnapshotReceiver {
  readonly #deps: SnapshotReceiverDeps;
  #receiving: Promise<void> | undefined;
  /** What lies there is the state of this member's next start: nothing may touch it any more. */
  #taken = false;
  #stopped = false;

  constructor(deps: SnapshotReceiverDeps) {
    this.#deps = deps;
  }

  /** Resolves when raft has taken the snapshot, or has no use for it. Rejects with SnapshotRefusedError. */
  async receive(message: SnapshotMessage, file: AsyncIterable<Uint8Array>): Promise<void> {
    const { log, commitIndex, onReceived } = this.#deps;
    if (this.#stopped || this.#taken || this.#receiving !== undefined) throw new SnapshotRefusedError(503, "not now");
    if (message.snapshot.metadata.index <= commitIndex()) {
      await onReceived(message);
      return;
    }
    const about = { "snapshot-index": message.snapshot.metadata.index, from: hexId(message.from) };
    log.info(about, "receiving database snapshot");
    const receiving = this.#receive(message, file);
    this.#receiving = receiving.then(
      () => undefined,
      () => undefined,
    );
    try {
      await receiving;
    } catch (error) {
      if (error instanceof SnapshotRefusedError) throw error;
      if (isOfFile(error)) throw new SnapshotRefusedError(400, `the file is of no use: ${error.message}`);
      log.warn({ ...about, error: String(error) }, "failed to save a received database snapshot");
      throw new SnapshotRefusedError(500, "the snapshot could not be saved");
    } finally {
      this.#receiving = undefined;
    }
  }

  /** Resolves when it touches the disk no more. */
  async stop(): Promise<void> {
    this.#stopped = true;
    await this.#receiving;
  }

  async #receive(message: SnapshotMessage, chunks: AsyncIterable<Uint8Array>): Promise<void> {
    const { disk, log, memberDir, onReceived } = this.#deps;
    await dropUntaken(disk, memberDir);
    try {
      const file = await disk.create(stateFiles(memberDir).part);
      let taken: SnapshotMessage;
      try {
        await this.#store(file, chunks);
        taken = await this.#build(message, file);
      } finally {
        await file.close();
      }
      if (this.#stopped) throw new SnapshotRefusedError(503, "the member stops");
      log.info({ "snapshot-index": taken.snapshot.metadata.index }, "received and saved database snapshot");
      this.#taken = await onReceived(taken);
    } finally {
      // A member that stops leaves what there is to its next start: its log may know of it by then.
      if (!this.#taken && !this.#stopped) await dropUntaken(disk, memberDir);
    }
  }

  async #store(file: DiskFile, chunks: AsyncIterable<Uint8Array>): Promise<void> {
    let bytes = 0;
    for await (const chunk of chunks) {
      if (this.#stopped) throw new SnapshotRefusedError(503, "the member stops");
      await file.write(chunk, bytes);
      bytes += chunk.length;
    }
    await file.sync();
  }

  async #build(message: SnapshotMessage, file: DiskFile): Promise<SnapshotMessage> {
    const { disk, memberDir, openBackend } = this.#deps;
    const goOn = (): void => {
      if (this.#stopped) throw new SnapshotRefusedError(503, "the member stops");
    };
    const bolt = await openStoreFile(file, goOn);
    const metadata = await pointOfFile(bolt);
    const named = message.snapshot.metadata;
    if (metadata.index < named.index || metadata.term > message.term) {
      throw new StoreFileError(
        `it stands at entry ${metadata.index} of term ${metadata.term}, and was sent in term ${message.term} for one at ` +
          `entry ${named.index} or later`,
      );
    }
    const backend = await openBackend(stateFiles(memberDir).building);
    try {
      await adoptStore(bolt, backend, goOn);
    } finally {
      await backend.close();
    }
    await nameState(disk, memberDir, metadata);
    return { ...message, snapshot: { metadata, data: new Uint8Array(0) } };
  }
}
