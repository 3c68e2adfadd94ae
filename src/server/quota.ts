import { AlarmRequest, AlarmRequestAlarmAction, AlarmType } from "../../proto/generated/etcdserverpb.ts";
import { errors } from "../api/errors.ts";
import { limits } from "../config.ts";
import type { Env, Timer } from "../env.ts";
import type { Logger } from "../log.ts";
import type { Alarms, Command } from "../state/machine.ts";
import { hexId } from "./ids.ts";

export interface QuotaDeps {
  readonly env: Env;
  readonly log: Logger;
  readonly memberId: bigint;
  /** Undefined: no limit. */
  readonly quotaBytes: number | undefined;
  readonly alarms: Alarms;
  /** What the store takes, as known without a look at the disk; what is applied and not flushed counts. */
  readonly knownBytes: () => number;
  /** Of the proposals that are on their way. */
  readonly pendingBytes: () => number;
  /** Flushes, looks, and gives what knownBytes gives from then on. */
  readonly measure: () => Promise<number>;
  readonly propose: (command: Command) => Promise<unknown>;
  /** There is no room left, and there may be something to gain. */
  readonly onFull: () => void;
  readonly autoDisarm: boolean;
  /** One that is none can take nothing back: it was removed, or is of the cluster that the data was restored from. */
  readonly isMember: (id: bigint) => boolean;
}

/** A store that was found full is not measured again sooner than this. */
const REMEASURE_MS = 500;

/**
 * The limit of what the store of this member may take (N-11, N-12).
 *
 * What counts is what LevelDB has on disk, without files that are only waiting to be deleted; to that, what is applied
 * and not flushed, and (for a new request) what is proposed and not applied. The latter two, and what was flushed since
 * the last look, count as they are, before compression: so a limit that seems to be reached is looked at on the disk
 * before anybody is refused. Whoever finds it reached raises NOSPACE for this member.
 *
 * The check after apply changes nothing of the state, which is the same on every member whatever their sizes: only the
 * caller of this member hears NoSpace, for what was done (P-25).
 */
export class Quota {
  readonly #deps: QuotaDeps;
  #measuring: Promise<number> | undefined;
  #fullUntil = 0;
  #raising: Promise<void> | undefined;
  #timer: Timer | undefined;
  #stopped = false;

  constructor(deps: QuotaDeps) {
    this.#deps = deps;
  }

  start(): void {
    if (this.#deps.autoDisarm && this.#deps.quotaBytes !== undefined) this.#watch();
  }

  stop(): void {
    this.#stopped = true;
    this.#timer?.cancel();
  }

  /** Whether a command of this cost may be proposed without a closer look. */
  hasRoom(costBytes: number): boolean {
    const { quotaBytes, knownBytes, pendingBytes } = this.#deps;
    return quotaBytes === undefined || knownBytes() + pendingBytes() + costBytes < quotaBytes;
  }

  /** For one that has not: resolves when it may after all, rejects with noSpace when it may not. */
  async admit(costBytes: number): Promise<void> {
    if (await this.#isFull(() => this.#deps.pendingBytes() + costBytes)) await this.#refuse();
  }

  /** Whether the store is, as far as is known, within its limit: nothing more to do for an applied command. */
  get isWithin(): boolean {
    const { quotaBytes, knownBytes } = this.#deps;
    return quotaBytes === undefined || knownBytes() < quotaBytes;
  }

  /** For a command of a caller here that was applied while it is not: rejects with noSpace if that is so. */
  async applied(): Promise<void> {
    if (await this.#isFull(nothing)) await this.#refuse();
  }

  /** Something was applied, whoever asked for it (every member looks at its own store). */
  observe(): void {
    if (this.isWithin || this.#stopped || this.#raising !== undefined || this.#isOwnAlarmActive()) return;
    if (this.#deps.env.now() < this.#fullUntil) return;
    this.#isFull(nothing)
      .then((isFull) => (isFull ? this.#raise() : undefined))
      // The disk failed, of which the member hears elsewhere.
      .catch(() => undefined);
  }

  async #refuse(): Promise<never> {
    this.#deps.onFull();
    await this.#raise();
    throw errors.noSpace;
  }

  async #isFull(moreBytes: () => number): Promise<boolean> {
    const { env, quotaBytes, knownBytes } = this.#deps;
    if (quotaBytes === undefined) return false;
    if (env.now() < this.#fullUntil && knownBytes() + moreBytes() >= quotaBytes) return true;
    this.#measuring ??= this.#deps.measure().finally(() => {
      this.#measuring = undefined;
    });
    const isFull = (await this.#measuring) + moreBytes() >= quotaBytes;
    this.#fullUntil = isFull ? env.now() + REMEASURE_MS : 0;
    return isFull;
  }

  /** Once for all who find the store full; they hear of it when the alarm is there, so that they find it in the list. */
  async #raise(): Promise<void> {
    if (this.#isOwnAlarmActive() || this.#stopped) return;
    this.#raising ??= this.#raiseOnce().finally(() => {
      this.#raising = undefined;
    });
    await this.#raising;
  }

  #raiseOnce(): Promise<void> {
    const { log, memberId, quotaBytes, knownBytes } = this.#deps;
    log.warn(
      { "local-member-id": hexId(memberId), "quota-bytes": quotaBytes, "store-bytes": knownBytes() },
      "the store has reached its quota; raising the alarm NOSPACE",
    );
    return this.#proposeAlarm(AlarmRequestAlarmAction.ACTIVATE, memberId, "failed to raise the alarm NOSPACE");
  }

  #watch(): void {
    this.#timer = this.#deps.env.setTimer(() => {
      this.#disarmIfRoom()
        .catch(() => undefined)
        .finally(() => {
          if (!this.#stopped) this.#watch();
        });
    }, limits.disarmCheckMs);
  }

  async #disarmIfRoom(): Promise<void> {
    const { log, memberId, quotaBytes = 0, knownBytes, isMember } = this.#deps;
    const enough = quotaBytes * limits.disarmShare;
    for (const id of this.#alarmed().filter((alarmed) => !isMember(alarmed))) {
      log.info({ "alarmed-member-id": hexId(id) }, "taking the alarm NOSPACE of one that is no member back");
      await this.#proposeAlarm(AlarmRequestAlarmAction.DEACTIVATE, id, "failed to take an alarm NOSPACE back");
    }
    if (!this.#isOwnAlarmActive() || knownBytes() >= enough || (await this.#deps.measure()) >= enough) return;
    log.info(
      { "local-member-id": hexId(memberId), "quota-bytes": quotaBytes, "store-bytes": knownBytes() },
      "the store has room again; taking the alarm NOSPACE back",
    );
    await this.#proposeAlarm(AlarmRequestAlarmAction.DEACTIVATE, memberId, "failed to take the alarm NOSPACE back");
  }

  async #proposeAlarm(action: number, memberID: bigint, failure: string): Promise<void> {
    const { log } = this.#deps;
    try {
      await this.#deps.propose({ alarm: AlarmRequest.create({ action, memberID, alarm: AlarmType.NOSPACE }) });
    } catch (error) {
      // Environment: no leader now. Whoever comes next tries again.
      log.warn({ error: String(error) }, failure);
    }
  }

  #isOwnAlarmActive(): boolean {
    return this.#alarmed().includes(this.#deps.memberId);
  }

  #alarmed(): bigint[] {
    const { alarms } = this.#deps;
    return alarms.isActive(AlarmType.NOSPACE) ? alarms.list(AlarmType.NOSPACE).map(({ memberID }) => memberID) : [];
  }
}

function nothing(): number {
  return 0;
}
