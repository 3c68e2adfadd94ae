import { errors } from "../api/errors.ts";
import type { Env } from "../env.ts";
import type { Logger } from "../log.ts";
import type { Cluster, Command } from "../state/machine.ts";
import { hexId } from "./ids.ts";

export interface PublishingDeps {
  readonly env: Env;
  readonly log: Logger;
  readonly memberId: bigint;
  readonly name: string;
  readonly clientUrls: readonly string[];
  readonly cluster: Cluster;
  readonly heartbeatMs: number;
  readonly readBarrier: () => Promise<void>;
  /** Asked once, when what was committed before is applied here. False: this member has run before, and is on its end. */
  readonly mayAnnounce: () => boolean;
  readonly propose: (command: Command) => Promise<unknown>;
  readonly isStopping: () => boolean;
  /** It was removed, for good: nobody takes its proposals any more, and it waits for its stop. */
  readonly isLeaving: () => boolean;
}

/**
 * Tells the cluster this member's name and client URLs, through the log, and waits until the cluster's version is known
 * (B-5): from then on clients may come. Rejects when the member stops before, or must not announce itself.
 */
export async function publish(deps: PublishingDeps): Promise<void> {
  const { env, log, memberId, name, clientUrls, cluster, heartbeatMs } = deps;
  const goOn = (): void => {
    if (deps.isStopping()) throw errors.stopped;
  };
  const until = async (isSo: () => boolean): Promise<void> => {
    while (!isSo()) {
      goOn();
      await sleep(env, heartbeatMs / 4);
    }
  };
  // P-32: one that joins first gets the log so far.
  await until(() => cluster.member(memberId) !== undefined);
  let mayAnnounce: boolean | undefined;
  for (;;) {
    await until(() => !deps.isLeaving());
    goOn();
    try {
      // Nobody may hear that this member has run before its own log shows it, or it would be taken for one that lost
      // its disk when it comes back.
      await deps.readBarrier();
      mayAnnounce ??= deps.mayAnnounce();
      if (!mayAnnounce) break;
      const memberAttributes = { name, clientUrls: [...clientUrls] };
      await deps.propose({ clusterMemberAttrSet: { memberID: memberId, memberAttributes } });
      break;
    } catch (error) {
      log.warn({ error: String(error) }, "failed to publish local member to cluster through raft; trying again");
      await sleep(env, heartbeatMs);
    }
  }
  if (!mayAnnounce) throw errors.stopped;
  log.info({ "local-member-id": hexId(memberId), name }, "published local member to cluster through raft");
  await until(() => cluster.version !== undefined);
}

function sleep(env: Env, milliseconds: number): Promise<void> {
  return new Promise((resolve) => {
    env.setTimer(resolve, milliseconds);
  });
}
