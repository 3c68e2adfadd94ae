import type { ConfState, NodeId } from "../../raft/types.ts";
import type { Backend } from "../../storage/backend.ts";
import { limits } from "../config.ts";
import type { Env, Timer } from "../env.ts";
import type { Logger } from "../log.ts";
import type { PeerTransport, SnapshotMessage } from "../peer/transport.ts";
import type { Cluster } from "../state/machine.ts";
import { hexId } from "./ids.ts";
import { OutgoingStore } from "./store-file.ts";
import { v2StoreJson } from "./v2-store.ts";

export interface SnapshotSenderDeps {
  readonly env: Env;
  readonly log: Logger;
  readonly backend: Backend;
  readonly state: {
    readonly appliedIndex: number;
    readonly appliedTerm: number;
    readonly confState: ConfState;
    readonly cluster: Cluster;
  };
  readonly transport: Pick<PeerTransport, "sendSnapshot">;
  /** The store is not what the log made of it: it must not get to others. */
  readonly isCorrupt: () => boolean;
  /** What is known of the receiver's log, while this member leads. */
  readonly matchOf: (to: NodeId) => number | undefined;
  /** Entries above this are in memory. */
  readonly windowStart: () => number;
  /** What became of it, and where the state stands that was sent. */
  readonly report: (to: NodeId, ok: boolean, index: number) => void;
}

/**
 * Sends this member's state to members whose entries are no longer in the log (contract P-11).
 *
 * What goes out is the state at the moment of the request, however long that takes: newer than what raft named, which is
 * as good, for the receiver's acknowledgement says where it is. The log behind it is kept (`floor`) until the receiver has
 * caught up with what is in memory, or for a while. It is not enough that it has acknowledged the snapshot: while it restarted
 * from that, a heavy load wrote more than an ordinary log holds, and it would be sent one snapshot after the other. After a
 * failure raft hears of it only some time later, for the next attempt reads the whole store again.
 */
export class SnapshotSender {
  readonly #deps: SnapshotSenderDeps;
  readonly #stopping = new AbortController();
  /** Under way, or arrived a short time ago: the index of each. */
  readonly #held = new Set<{ readonly to: NodeId; readonly index: number }>();
  readonly #running = new Set<Promise<void>>();
  readonly #timers = new Set<Timer>();

  constructor(deps: SnapshotSenderDeps) {
    this.#deps = deps;
  }

  /** Entries above this are still needed. */
  get floor(): number {
    let floor = Number.POSITIVE_INFINITY;
    for (const held of this.#held) {
      const match = this.#deps.matchOf(held.to) ?? 0;
      if (match >= held.index && match >= this.#deps.windowStart()) this.#held.delete(held);
      else floor = Math.min(floor, Math.max(held.index, match));
    }
    return floor;
  }

  /** Between two entries. Never throws; what becomes of it is reported, later. */
  send(message: SnapshotMessage): void {
    if (this.#stopping.signal.aborted) return;
    if (this.#running.size >= limits.outgoingSnapshots || this.#deps.isCorrupt()) {
      this.#failed(message.to);
      return;
    }
    const sending = this.#send(message).then(() => {
      this.#running.delete(sending);
    });
    this.#running.add(sending);
  }

  /** Never rejects. */
  async #send({ from, to, term }: SnapshotMessage): Promise<void> {
    const { env, log, backend, state, transport, isCorrupt, report } = this.#deps;
    const { signal } = this.#stopping;
    const metadata = { index: state.appliedIndex, term: state.appliedTerm, confState: state.confState };
    const data = Buffer.from(v2StoreJson(state.cluster, metadata.index));
    const store = new OutgoingStore(backend);
    const held = { to, index: metadata.index };
    this.#held.add(held);
    const startedAt = env.now();
    const about = { "snapshot-index": metadata.index, to: hexId(to) };
    let ok = false;
    try {
      const { bytes, chunks: file } = await store.prepare(signal, () => {
        if (isCorrupt()) throw new Error("the store of this member is corrupt");
      });
      log.info({ ...about, bytes }, "sending database snapshot");
      const message: SnapshotMessage = { type: "MsgSnap", from, to, term, snapshot: { metadata, data } };
      await transport.sendSnapshot(to, { message, file }, signal);
      ok = true;
      log.info({ ...about, bytes, took: `${Math.round(env.now() - startedAt)}ms` }, "sent database snapshot");
    } catch (error) {
      // A peer's failure, or an end of this member; of its own disk's the store tells by itself.
      if (!signal.aborted) log.warn({ ...about, error: String(error) }, "failed to send database snapshot");
    }
    try {
      await store.close();
    } catch (error) {
      log.warn({ ...about, error: String(error) }, "could not end reading for a snapshot");
    }
    if (ok) this.#later(limits.snapshotHoldMs, () => this.#held.delete(held));
    else this.#held.delete(held);
    if (signal.aborted) return;
    if (ok) report(to, ok, metadata.index);
    else this.#failed(to);
  }

  #failed(to: NodeId): void {
    this.#later(limits.snapshotRetryMs, () => this.#deps.report(to, false, 0));
  }

  /** Unless it was stopped before. */
  #later(delayMs: number, work: () => void): void {
    if (this.#stopping.signal.aborted) return;
    const timer = this.#deps.env.setTimer(() => {
      this.#timers.delete(timer);
      work();
    }, delayMs);
    this.#timers.add(timer);
  }

  /** Resolves when it reads the store no more. */
  async stop(): Promise<void> {
    this.#stopping.abort(new Error("the member stops"));
    for (const timer of this.#timers) timer.cancel();
    await Promise.all(this.#running);
  }
}
