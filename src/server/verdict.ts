import { AlarmType } from "../../proto/generated/etcdserverpb.ts";
import { NONE } from "../../raft/types.ts";
import type { Logger } from "../log.ts";
import type { Alarms } from "../state/machine.ts";
import { hexId } from "./ids.ts";

/** Whether this member was found to hold something else than the others, or may: it must not answer from that then (N-13). */
export class Verdict {
  readonly #log: Logger;
  readonly #memberId: bigint;
  readonly #alarms: Alarms;
  readonly #callbacks = new Set<() => void>();
  #isCorrupt: boolean;

  constructor(log: Logger, memberId: bigint, alarms: Alarms) {
    this.#log = log;
    this.#memberId = memberId;
    this.#alarms = alarms;
    this.#isCorrupt = this.#look();
    if (this.#isCorrupt) this.#say();
  }

  get isCorrupt(): boolean {
    return this.#isCorrupt;
  }

  /** An entry was applied. */
  applied(): void {
    const isCorrupt = this.#look();
    if (isCorrupt === this.#isCorrupt) return;
    this.#isCorrupt = isCorrupt;
    if (isCorrupt) {
      this.#say();
      for (const callback of [...this.#callbacks]) callback();
    } else {
      this.#log.warn(
        { "local-member-id": hexId(this.#memberId) },
        "the alarm CORRUPT of this member is gone; reading is served",
      );
    }
  }

  /** Calls back each time it is found corrupt, until the returned function is called. */
  onCorrupt(callback: () => void): () => void {
    this.#callbacks.add(callback);
    return () => this.#callbacks.delete(callback);
  }

  #look(): boolean {
    if (!this.#alarms.isActive(AlarmType.CORRUPT)) return false;
    return this.#alarms
      .list(AlarmType.CORRUPT)
      .some(({ memberID }) => memberID === this.#memberId || memberID === NONE);
  }

  #say(): void {
    this.#log.error(
      { "local-member-id": hexId(this.#memberId) },
      this.#alarms.list(AlarmType.CORRUPT).some(({ memberID }) => memberID === this.#memberId)
        ? "the store of this member was found to differ from the others': it answers no reads. Stop it, get the state anew " +
            "(quorate rebuild --data-dir DATA-DIR --endpoints CLIENT-URL), start it, then disarm the alarm CORRUPT"
        : "the stores of members were found to differ, and it cannot be told whose is wrong: none answers reads. Disarm the " +
            "alarm CORRUPT when every member runs: then the majority tells. Without one, find out which is right, and get " +
            "its state for the others (quorate rebuild)",
    );
  }
}
