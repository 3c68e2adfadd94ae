import type { SnapshotRequest, SnapshotResponse } from "../../proto/generated/etcdserverpb.ts";
import { errors } from "../api/errors.ts";
import type { Env, Timer } from "../env.ts";
import type { RequestReceiver, ResponseStream } from "../rpc/rpc.ts";
import type { DatabaseFile } from "../server/databases.ts";
import type { Server } from "../server/server.ts";

/** A client that takes less than `bytes` while it is waited for, in all, `waitMs`, loses its snapshot. */
export interface DatabasePace {
  readonly bytes: number;
  readonly waitMs: number;
}

export interface SendOptions {
  readonly env: Env;
  readonly version: () => string;
  readonly databasePace: DatabasePace;
  /** Ends the call. */
  readonly end: (error?: Error) => void;
}

/**
 * One Maintenance.Snapshot call (N-7): the store of this moment as a database file, piece by piece as the client takes
 * them, then its SHA-256; no header. However the call ends, the store is let go of.
 */
export function sendDatabase(
  server: Pick<Server, "openDatabase">,
  responses: ResponseStream<SnapshotResponse>,
  { env, version, databasePace, end }: SendOptions,
): RequestReceiver<SnapshotRequest> {
  const over = new AbortController();
  let isAsked = false;
  let wake = (): void => undefined;
  let stall: Timer | undefined;
  /** Since the client had last taken as much as it has to. */
  let waitedMs = 0;
  let takenBytes = 0;

  /** Resolves when the client takes more, or when the call is over. */
  const room = async (): Promise<void> => {
    while (!responses.writable && !over.signal.aborted) {
      const startedAt = env.now();
      stall = env.setTimer(() => end(errors.deadlineExceeded), databasePace.waitMs - waitedMs);
      await new Promise<void>((resolve) => {
        wake = resolve;
      });
      stall.cancel();
      waitedMs += env.now() - startedAt;
    }
  };
  const send = async (file: DatabaseFile): Promise<void> => {
    for (;;) {
      await room();
      const piece = over.signal.aborted ? undefined : await file.next();
      if (piece === undefined || over.signal.aborted) return;
      const { bytes: blob, remainingBytes } = piece;
      responses.send({ header: undefined, remainingBytes, blob, version: version() });
      takenBytes += blob.length;
      if (takenBytes < databasePace.bytes) continue;
      takenBytes = 0;
      waitedMs = 0;
    }
  };
  const serve = async (): Promise<void> => {
    const file = await server.openDatabase(over.signal);
    try {
      await send(file);
    } finally {
      await file.close();
    }
  };

  return {
    request() {
      if (isAsked) return;
      isAsked = true;
      serve().then(
        () => end(),
        (error: Error) => end(error),
      );
    },
    halfClosed: () => undefined,
    drained: () => wake(),
    closed() {
      over.abort(errors.canceled);
      stall?.cancel();
      wake();
    },
  };
}
