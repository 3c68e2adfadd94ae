import { AlarmRequest, AlarmRequestAlarmAction, AlarmType } from "../../proto/generated/etcdserverpb.ts";
import { NONE } from "../../raft/types.ts";
import { limits } from "../config.ts";
import type { Env, Timer } from "../env.ts";
import type { Logger } from "../log.ts";
import type { PeerTransport } from "../peer/transport.ts";
import type { Alarms, Cluster, Command } from "../state/machine.ts";
import { hexId } from "./ids.ts";
import type { KvHash } from "./kv-hashes.ts";

export interface CorruptionCheckDeps {
  readonly env: Env;
  readonly log: Logger;
  readonly memberId: bigint;
  readonly cluster: Cluster;
  readonly alarms: Alarms;
  readonly transport: Pick<PeerTransport, "request">;
  readonly isLeader: () => boolean;
  readonly currentRevision: () => number;
  /** Of this member; `isFresh`: walk the store, whatever is remembered. */
  readonly hashKv: (revision: number, isFresh: boolean) => Promise<KvHash>;
  /** Left by compactions here, oldest first. */
  readonly storedHashes: () => readonly KvHash[];
  readonly propose: (command: Command) => Promise<unknown>;
  /** 0: never. */
  readonly checkMs: number;
  readonly compactionCheckMs: number;
  readonly requestTimeoutMs: number;
}

/** What a timer can wait for. */
const MAX_DELAY_MS = 2 ** 31 - 1;

interface Answer {
  readonly id: bigint;
  readonly hash: number;
}

interface Comparison {
  /** Of one revision and one compact revision, so they must be equal; this member's first. */
  readonly answers: readonly Answer[];
  /** Every member's could be compared. */
  readonly isComplete: boolean;
}

/**
 * Leader's duty: do all members hold the same (N-4, N-5, N-13)? A disk can answer with other bytes than were written to
 * it, and a defect can make members differ; both are found by comparing hashes of the key space at one revision.
 *
 * Members are compared only when both have a hash of the same revision, taken with the same compact revision. One that is
 * down, behind, has compacted meanwhile or does not answer is not judged. What differs is asked once more before anybody
 * is blamed. What a majority of all members holds is right. Where none is (one of three is down, say, and the other two
 * differ), nobody can tell, and the alarm is for all of them (NONE, as etcd has it). The alarm CORRUPT stops all writes,
 * and the member that it names answers no more reads (guard.ts).
 */
export class CorruptionCheck {
  readonly #deps: CorruptionCheckDeps;
  readonly #timers = new Set<Timer>();
  /** Compactions up to here were found equal on all members. */
  #checkedCompaction = 0;
  #stopped = false;

  constructor(deps: CorruptionCheckDeps) {
    this.#deps = deps;
  }

  start(): void {
    const { checkMs, compactionCheckMs } = this.#deps;
    if (checkMs > 0) this.#schedule(checkMs, checkMs, () => this.#checkStores());
    if (compactionCheckMs > 0) this.#schedule(compactionCheckMs, compactionCheckMs, () => this.#checkCompactions());
  }

  stop(): void {
    this.#stopped = true;
    for (const timer of this.#timers) timer.cancel();
  }

  #schedule(delayMs: number, intervalMs: number, work: () => Promise<void>): void {
    const { env, log, isLeader } = this.#deps;
    const timer = env.setTimer(
      () => {
        this.#timers.delete(timer);
        const startedAt = env.now();
        const done = isLeader() ? work() : Promise.resolve();
        done
          .catch((error: unknown) => {
            // Environment: stopping, too much to do, no leader now. The next one tries again.
            log.warn({ error: String(error) }, "failed to compare the members' stores");
          })
          .finally(() => {
            const tookMs = env.now() - startedAt;
            if (!this.#stopped)
              this.#schedule(Math.max(intervalMs, tookMs / limits.corruptCheckShare), intervalMs, work);
          });
      },
      Math.min(delayMs, MAX_DELAY_MS),
    );
    this.#timers.add(timer);
  }

  /** Everything that is there now, read from the disk. */
  async #checkStores(): Promise<void> {
    const revision = this.#deps.currentRevision();
    const { answers } = await this.#compare(revision, true);
    this.#deps.log.info({ revision, "number-of-peers-checked": answers.length - 1 }, "finished peer corruption check");
  }

  /** What compactions found before they removed anything; newest first. */
  async #checkCompactions(): Promise<void> {
    const unchecked = this.#deps.storedHashes().filter(({ hashRevision }) => hashRevision > this.#checkedCompaction);
    for (const { hashRevision } of unchecked.toReversed()) {
      const { answers, isComplete } = await this.#compare(hashRevision, false);
      if (!isComplete || answers.some(({ hash }) => hash !== answers[0]?.hash)) continue;
      this.#checkedCompaction = Math.max(this.#checkedCompaction, hashRevision);
      this.#deps.log.info({ revision: hashRevision }, "finished compaction hash check");
    }
  }

  async #compare(revision: number, isFresh: boolean): Promise<Comparison> {
    const first = await this.#ask(revision, isFresh);
    const members = this.#deps.cluster.members().length;
    const suspects = blamed(first.answers, members);
    if (suspects.length === 0) return first;
    // A member that lags in what it removes may answer otherwise now, by rule; it has had time when it is asked again.
    await new Promise<void>((resolve) => {
      const timer = this.#deps.env.setTimer(() => {
        this.#timers.delete(timer);
        resolve();
      }, limits.corruptAskAgainMs);
      this.#timers.add(timer);
    });
    const second = await this.#ask(revision, isFresh);
    const confirmed = blamed(second.answers, members).filter(({ id }) => suspects.some((suspect) => suspect.id === id));
    if (confirmed.length === 0) {
      this.#deps.log.warn(
        { revision, first: table(first.answers), second: table(second.answers) },
        "the stores of members differed, and did not when they were asked again",
      );
    }
    for (const suspect of confirmed) await this.#raise(suspect, second.answers, revision);
    return second;
  }

  async #ask(revision: number, isFresh: boolean): Promise<Comparison> {
    const { cluster, memberId } = this.#deps;
    const own = await this.#deps.hashKv(revision, isFresh);
    const others = cluster.members().filter(({ id }) => id !== memberId);
    const hashes = await Promise.all(
      others.map(async ({ id }) => {
        const hash = await this.#hashOf(id, revision, isFresh);
        const isComparable = hash?.compactRevision === own.compactRevision && hash.hashRevision === revision;
        return isComparable ? [{ id, hash: hash.hash }] : [];
      }),
    );
    const answers = [{ id: memberId, hash: own.hash }, ...hashes.flat()];
    return { answers, isComplete: answers.length === others.length + 1 };
  }

  /** P-38. Undefined when it has none: it is down, or has compacted past it, or does not get there in time. */
  async #hashOf(id: bigint, revision: number, isFresh: boolean): Promise<KvHash | undefined> {
    const { env, log, transport, requestTimeoutMs } = this.#deps;
    const deadline = env.now() + requestTimeoutMs;
    const body = Buffer.from(JSON.stringify({ revision, ...(isFresh ? { fresh: true } : {}) }));
    let why = "";
    do {
      try {
        const answer = await transport.request(id, {
          method: "GET",
          path: "/members/hashkv",
          headers: { "Content-Type": "application/json" },
          body,
          timeoutMs: limits.hashTimeoutMs,
        });
        const text = answer.body.toString("utf8");
        if (answer.status === 200) return parseHash(text, revision);
        why = text.trim();
        if (!why.includes("future revision")) break;
      } catch (error) {
        why = String(error);
        break;
      }
      await new Promise<void>((resolve) => env.setTimer(resolve, limits.hashRetryMs));
    } while (env.now() < deadline && !this.#stopped);
    log.debug({ "remote-peer-id": hexId(id), revision, error: why }, "a member's store was not compared");
    return undefined;
  }

  async #raise({ id, hash, others }: Blame, answers: readonly Answer[], revision: number): Promise<void> {
    const { log, alarms, cluster } = this.#deps;
    if (alarms.list(AlarmType.CORRUPT).some(({ memberID }) => memberID === id)) return;
    log.error(
      {
        "corrupt-member-id": hexId(id),
        "corrupt-member-name": cluster.member(id)?.name,
        "corrupt-hash": hash,
        "other-members": others.map((other) => hexId(other.id)),
        "other-hash": others[0]?.hash,
        revision,
        hashes: table(answers),
      },
      id === NONE
        ? "the stores of members differ, and no majority of all members holds the same: raising the alarm CORRUPT for all"
        : "the store of a member differs from the others': raising the alarm CORRUPT for it",
    );
    const action = AlarmRequestAlarmAction.ACTIVATE;
    await this.#deps.propose({ alarm: AlarmRequest.create({ action, memberID: id, alarm: AlarmType.CORRUPT }) });
  }
}

export interface Blame extends Answer {
  /** Whom it differs from. */
  readonly others: readonly Answer[];
}

/** Who is wrong: those that differ from what a majority of all `members` holds; where none does: everybody (NONE). */
export function blamed(answers: readonly Answer[], members: number): readonly Blame[] {
  const [first] = answers;
  if (first === undefined || answers.every(({ hash }) => hash === first.hash)) return [];
  const holders = (hash: number): number => answers.filter((answer) => answer.hash === hash).length;
  const right = answers.find(({ hash }) => 2 * holders(hash) > members)?.hash;
  if (right === undefined) return [{ id: NONE, hash: first.hash, others: answers.slice(1) }];
  const others = answers.filter(({ hash }) => hash === right);
  return answers.filter(({ hash }) => hash !== right).map((answer) => ({ ...answer, others }));
}

function table(answers: readonly Answer[]): Readonly<Record<string, number>> {
  return Object.fromEntries(answers.map(({ id, hash }) => [hexId(id), hash]));
}

/** A release before 3.6 does not say of which revision its hash is: it is of the one that was asked for. */
function parseHash(text: string, asked: number): KvHash | undefined {
  const fields = JSON.parse(text) as { hash?: unknown; compact_revision?: unknown; hash_revision?: unknown };
  const { hash = 0, compact_revision: compactRevision = 0, hash_revision: hashRevision = asked } = fields;
  if (typeof hash !== "number" || typeof compactRevision !== "number" || typeof hashRevision !== "number")
    return undefined;
  return { hash, compactRevision, hashRevision };
}
