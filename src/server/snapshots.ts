import { commitIndex, matchOf, type Raft, windowStart } from "../../raft/raft.ts";
import type { Backend } from "../../storage/backend.ts";
import type { Disk } from "../../storage/disk.ts";
import type { Wal } from "../../storage/wal.ts";
import type { Config } from "../config.ts";
import type { Env } from "../env.ts";
import type { Logger } from "../log.ts";
import type { PeerTransport, SnapshotMessage } from "../peer/transport.ts";
import type { StateMachine } from "../state/machine.ts";
import { memberDirOf } from "./bootstrap.ts";
import { LogCutter } from "./log-cutter.ts";
import type { Node } from "./node.ts";
import { SnapshotReceiver } from "./snapshot-receiver.ts";
import { SnapshotSender } from "./snapshot-sender.ts";

export interface SnapshotsDeps {
  readonly config: Config;
  readonly env: Env;
  readonly log: Logger;
  readonly disk: Disk;
  /** For a store that is not this member's yet: its failures are not the member's end. */
  readonly openBackend: (path: string) => Promise<Backend>;
  readonly raft: Raft;
  readonly machine: StateMachine;
  readonly backend: Backend;
  readonly wal: Wal;
  readonly transport: Pick<PeerTransport, "sendSnapshot">;
  readonly node: Pick<Node, "enqueue" | "turned">;
  readonly isCorrupt: () => boolean;
  readonly onFatal: (error: unknown) => void;
}

/** The log behind the state store: what of it is given up, and the states that travel in its place, joined as one. */
export interface Snapshots {
  /** Raft starts. */
  start(): void;
  /** As LogCutter.tell. */
  offer(): void;
  /** Raft wants this one sent. */
  send(message: SnapshotMessage): void;
  /** As SnapshotReceiver.receive. */
  receive(message: SnapshotMessage, file: AsyncIterable<Uint8Array>): Promise<void>;
  /** As LogCutter.flushed. */
  flushed(index: number): void;
  /** Resolves when the state store is not read any more. */
  stopSending(): Promise<void>;
  /** After the transport's end: resolves when nothing touches the disk any more. */
  stop(): Promise<void>;
}

export function createSnapshots(deps: SnapshotsDeps): Snapshots {
  const { config, env, log, disk, openBackend, raft, machine, backend, wal, transport, node, onFatal } = deps;
  const receiver = new SnapshotReceiver({
    disk,
    log,
    memberDir: memberDirOf(config),
    openBackend,
    commitIndex: () => commitIndex(raft),
    onReceived: (message) => {
      node.enqueue({ kind: "message", message });
      return node.turned();
    },
  });
  const sender = new SnapshotSender({
    env,
    log,
    backend,
    state: machine,
    transport,
    isCorrupt: deps.isCorrupt,
    matchOf: (to) => matchOf(raft, to),
    windowStart: () => windowStart(raft),
    report: (to, ok, index) => node.enqueue({ kind: "snapshotReport", to, ok, index }),
  });
  const cutter = new LogCutter({
    wal,
    keepSegments: config.keepSegments,
    windowStart: () => windowStart(raft),
    floor: () => sender.floor,
    point: () => ({ index: machine.appliedIndex, term: machine.appliedTerm, confState: machine.confState }),
    enqueue: (input) => node.enqueue(input),
    onFatal,
  });
  return {
    start: () => cutter.start(),
    offer: () => cutter.tell(),
    send: (message) => sender.send(message),
    receive: (message, file) => receiver.receive(message, file),
    flushed: (index) => cutter.flushed(index),
    stopSending: () => sender.stop(),
    async stop() {
      await Promise.all([receiver.stop(), cutter.stop()]);
    },
  };
}
