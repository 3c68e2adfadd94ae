import { majority } from "../../raft/quorum.ts";
import type { MemberRecord } from "../../storage/stored-json.ts";
import type { Machine } from "./machine.ts";

/** A membership as applied, by numbers of machines. */
export interface Configuration {
  /** Of the entry that made it; 0: the founders. */
  readonly index: number;
  readonly voters: readonly number[];
  readonly learners: readonly number[];
  readonly records: readonly MemberRecord[];
}

/** A change that was asked for and may be in force now, later, or never. */
export interface OpenChange {
  readonly kind: "addVoter" | "addLearner" | "promote" | "remove";
  readonly number: number;
}

/** No member and no leader holds a proposal longer than this. */
const LOST_MS = 20_000;

/**
 * What the world knows of the membership: who is who, the newest configuration that anybody applied, what each machine
 * has applied, and what may yet come of changes whose outcome nobody heard. Faults and the operator ask it how much the
 * cluster can bear: whatever becomes of the open changes, a majority of voters must be sound.
 */
export class Roster {
  readonly #machines: () => readonly Machine[];
  readonly #numbers = new Map<bigint, number>();
  readonly #removed = new Set<bigint>();
  readonly #applied = new Map<number, Configuration>();
  #newest: Configuration;
  #open: { readonly change: OpenChange; readonly since: number }[] = [];
  /** The last change of the membership in anybody's log, and the last entry that anybody applied. */
  #lastChange = 0;
  #committed = 0;
  /** The newest configuration has changed. */
  onChange: () => void = () => undefined;

  constructor(founders: ReadonlyMap<bigint, number>, machines: () => readonly Machine[]) {
    this.#machines = machines;
    for (const [id, number] of founders) this.#numbers.set(id, number);
    this.#newest = { index: 0, voters: [...founders.values()], learners: [], records: [] };
  }

  get newest(): Configuration {
    return this.#newest;
  }

  get openChanges(): readonly OpenChange[] {
    return this.#open.map(({ change }) => change);
  }

  /** 0 for nobody. */
  numberOf(id: bigint): number {
    if (id === 0n) return 0;
    const number = this.#numbers.get(id);
    if (number === undefined) throw new Error(`nobody knows a member ${id}`);
    return number;
  }

  /** An id is given by the member that is asked to add it; whose it is tell its URLs. */
  learn(id: bigint, number: number): void {
    this.#numbers.set(id, number);
  }

  /** What the machine has applied; undefined before the founding is. */
  appliedBy(number: number): Configuration | undefined {
    return this.#applied.get(number);
  }

  isMember(number: number): boolean {
    const { voters, learners } = this.#newest;
    return voters.includes(number) || learners.includes(number);
  }

  wasRemoved(id: bigint): boolean {
    return this.#removed.has(id);
  }

  /** A machine has applied a change of the list, or starts with this one. Of the founding it knows all or nothing. */
  tell(machine: number, configuration: Configuration): void {
    this.#applied.set(machine, configuration);
    if (configuration.index <= this.#newest.index) return;
    const now = new Set(configuration.records.map(({ id }) => id));
    for (const { id } of this.#newest.records) if (!now.has(id)) this.#removed.add(id);
    this.#newest = configuration;
    this.#open = this.#open.filter(({ change }) => !this.#isDone(change));
    this.onChange();
  }

  /** Before it is asked for. */
  open(change: OpenChange, now: number): void {
    this.#open.push({ change, since: now });
  }

  /** Its outcome is known. */
  close(change: OpenChange): void {
    this.#open = this.#open.filter((other) => other.change !== change);
  }

  /** Somebody writes a change at this index to its log. */
  wrote(index: number): void {
    this.#lastChange = Math.max(this.#lastChange, index);
  }

  applied(index: number): void {
    this.#committed = Math.max(this.#committed, index);
  }

  /** Index of the last entry that anybody has applied. */
  get appliedIndex(): number {
    return this.#committed;
  }

  /** Index of the last change in anybody's log, while nobody has applied it; else 0. */
  get unappliedChange(): number {
    return this.#lastChange > this.#committed ? this.#lastChange : 0;
  }

  /**
   * Changes that were lost on their way. While a change stands behind the last committed entry in any log, or a process
   * stands still that may hold one, there is no telling.
   */
  forget(now: number): void {
    if (this.unappliedChange > 0 || this.#machines().some(({ life }) => (life?.heldUntil ?? 0) > now)) return;
    this.#open = this.#open.filter(({ since }) => now - since < LOST_MS);
  }

  /** Whether the cluster bears the loss of this machine for good. */
  mayLose(number: number): boolean {
    const isLeaving = this.#open.some(({ change }) => change.kind === "remove" && change.number === number);
    if (!this.isMember(number) || isLeaving) return false;
    return this.#possible().every(({ voters }) => !voters.includes(number) || this.#holds(voters, number));
  }

  /** Whether the cluster bears the change, in force or not. */
  mayChange(change: OpenChange): boolean {
    return this.#possible([change]).every(({ voters }) => this.#holds(voters, undefined));
  }

  #holds(voters: readonly number[], lost: number | undefined): boolean {
    const machines = this.#machines();
    const sound = voters.filter((voter) => {
      const machine = machines[voter - 1];
      if (voter === lost || machine?.damage !== "none" || machine.retired) return false;
      // Who has still to join hears from the others whom to join, and they may not know yet: nothing hangs on it.
      return lost === undefined || machine.hasJoined;
    });
    return sound.length >= majority(voters.length);
  }

  /** By which somebody may count votes: the newest, with any of the open changes, and what others still go by. */
  #possible(more: readonly OpenChange[] = []): readonly Pick<Configuration, "voters">[] {
    const found: Pick<Configuration, "voters">[] = [];
    for (const { number, retired } of this.#machines()) {
      const applied = this.#applied.get(number);
      if (applied !== undefined && !retired && this.isMember(number)) found.push(applied);
    }
    let all: Pick<Configuration, "voters">[] = [this.#newest];
    for (const change of [...this.openChanges, ...more]) {
      const after = all.map(({ voters }) => ({ voters: votersAfter(voters, change) }));
      // The same change may be open many times: whoever asks for it and hears nothing asks again.
      all = [...new Map([...all, ...after].map((one) => [one.voters.toSorted((a, b) => a - b).join(), one])).values()];
    }
    return [...found, ...all.filter(({ voters }) => voters.length > 0)];
  }

  #isDone({ kind, number }: OpenChange): boolean {
    switch (kind) {
      case "addVoter":
      case "promote":
        return this.#newest.voters.includes(number);
      case "addLearner":
        return this.isMember(number);
      case "remove":
        return !this.isMember(number);
    }
  }
}

function votersAfter(voters: readonly number[], { kind, number }: OpenChange): readonly number[] {
  switch (kind) {
    case "addVoter":
    case "promote":
      return voters.includes(number) ? voters : [...voters, number];
    case "remove":
      return voters.filter((voter) => voter !== number);
    case "addLearner":
      return voters;
  }
}
