import type { History } from "../history.ts";
import { type KeyEffect, type KeyOperation, type KeyState, keyHistories } from "./key-history.ts";
import { Findings, show, type Verdict } from "./verdict.ts";

/** Steps of the search, for one key and for all. A key that takes more is undecided, and counted as that. */
const MAX_STEPS_PER_KEY = 50_000;
const MAX_STEPS = 1_000_000;

/**
 * Linearizability in general: is there any order of what each key saw that respects time and explains every answer?
 *
 * The search of Wing and Gong with Lowe's memory: take any operation that nothing still waiting has to precede, and go on;
 * where the same operations are taken and the key holds the same, somebody was here before. Knows nothing of revisions and
 * nothing of the log, so it shares no assumption with the checker by revision order. A key hung on a lease may vanish at
 * any moment: clients do not see a lease end.
 */
export function checkGeneral(history: History): Verdict {
  const findings = new Findings("general-linearizability", ["keys", "operations", "undecided"]);
  let steps = 0;
  for (const [key, operations] of keyHistories(history)) {
    const budget = Math.min(MAX_STEPS_PER_KEY, MAX_STEPS - steps);
    // Of unknown ones mostly those are needed that somebody saw something of. If these explain all, that is an answer;
    // if not, the others may have had a part in it.
    const few = new Search(seenOnly(operations), budget / 2);
    let outcome = few.run();
    steps += few.steps;
    if (outcome.kind !== "linearizable") {
      const all = new Search(operations, budget / 2);
      outcome = all.run();
      steps += all.steps;
    }
    if (outcome.kind === "undecided") {
      findings.count("undecided");
      continue;
    }
    findings.count("keys");
    findings.count("operations", operations.length);
    if (outcome.kind === "linearizable") continue;
    const stuck = outcome.stuck.map(({ source }) => show(source)).join("; ");
    findings.report(
      `no order of ${operations.length} operations explains key ${show(key)}; the longest gets stuck at ${stuck}`,
      outcome.stuck[0]?.source.invoked.at ?? 0,
    );
  }
  return findings.verdict();
}

/** Without those of unknown outcome whose values nobody ever saw. */
function seenOnly(operations: readonly KeyOperation[]): readonly KeyOperation[] {
  const seen = new Set<string>();
  for (const { alternatives } of operations) {
    for (const { expect } of alternatives.flat()) {
      const state = expect?.state;
      if (typeof state === "object" && state?.value !== undefined) seen.add(state.value);
    }
  }
  return operations.filter(
    ({ returned, alternatives }) =>
      returned !== Number.POSITIVE_INFINITY ||
      alternatives
        .flat()
        .some(({ write }) => write?.kind === "put" && write.value !== undefined && seen.has(write.value)),
  );
}

type SearchOutcome =
  | { readonly kind: "linearizable" }
  | { readonly kind: "undecided" }
  /** None of these could come next, where the search came farthest. */
  | { readonly kind: "impossible"; readonly stuck: readonly KeyOperation[] };

/** undefined: absent. */
type State = KeyState | undefined;

interface Choice {
  readonly at: number;
  readonly state: State;
}

interface Frame {
  readonly taken: number;
  /** What may come next, and the states it may lead to. */
  readonly choices: readonly Choice[];
  choice: number;
}

class Search {
  readonly #operations: readonly KeyOperation[];
  readonly #budget: number;
  /** Doubly linked, in order of invocation; the head is at #operations.length. */
  readonly #next: number[];
  readonly #prev: number[];
  readonly #seen = new Map<string, Set<number>>();
  #known = 0;
  #hashHigh = 0;
  #hashLow = 0;
  steps = 0;

  constructor(operations: readonly KeyOperation[], budget: number) {
    this.#operations = operations;
    this.#budget = budget;
    const head = operations.length;
    this.#next = [];
    this.#prev = [];
    for (let at = 0; at <= head; at++) {
      this.#next.push(at === head ? 0 : at + 1);
      this.#prev.push(at === 0 ? head : at - 1);
    }
    for (const { returned } of operations) if (returned !== Number.POSITIVE_INFINITY) this.#known++;
  }

  run(): SearchOutcome {
    let farthest = this.#known;
    let stuck: readonly KeyOperation[] = [];
    const frames: Frame[] = [];
    let state: State;
    let taken = -1;
    for (;;) {
      if (this.#known === 0) return { kind: "linearizable" };
      if (this.steps > this.#budget) return { kind: "undecided" };
      const choices = this.#isNew(state) ? this.#choices(state) : [];
      if (choices.length === 0 && this.#known <= farthest) {
        farthest = this.#known;
        stuck = this.#candidates().filter(({ returned }) => returned !== Number.POSITIVE_INFINITY);
      }
      frames.push({ taken, choices, choice: 0 });
      // Back to the last frame that has a choice left.
      for (;;) {
        const frame = frames.at(-1);
        if (frame === undefined) return { kind: "impossible", stuck: stuck.slice(0, 3) };
        const choice = frame.choices[frame.choice++];
        if (choice !== undefined) {
          this.#take(choice.at);
          taken = choice.at;
          state = choice.state;
          break;
        }
        frames.pop();
        if (frame.taken >= 0) this.#putBack(frame.taken);
      }
    }
  }

  /** Whether nobody was here before, with these operations taken and this state. */
  #isNew(state: State): boolean {
    const id = state === undefined ? "" : `${state.version},${state.lease},${state.value}`;
    let hashes = this.#seen.get(id);
    if (hashes === undefined) {
      hashes = new Set();
      this.#seen.set(id, hashes);
    }
    const hash = this.#hashHigh * 0x4000000 + this.#hashLow;
    if (hashes.has(hash)) return false;
    hashes.add(hash);
    return true;
  }

  /** Operations that nothing untaken has to precede. */
  #candidates(): KeyOperation[] {
    return this.#candidatePositions().map((at) => this.#operations[at] as KeyOperation);
  }

  #candidatePositions(): number[] {
    const head = this.#operations.length;
    const found: number[] = [];
    let firstReturn = Number.POSITIVE_INFINITY;
    for (let at = this.#next[head] as number; at !== head; at = this.#next[at] as number) {
      const { invoked, returned } = this.#operations[at] as KeyOperation;
      if (invoked > firstReturn) break;
      found.push(at);
      if (returned < firstReturn) firstReturn = returned;
    }
    return found;
  }

  /**
   * Those of known outcome first: of unknown ones, only what is needed to go on should be taken. A read that fits is taken
   * at once and alone: it changes nothing, so whatever order there is from here also holds with the read in front.
   */
  #choices(state: State): Choice[] {
    const sure: Choice[] = [];
    const unsure: Choice[] = [];
    for (const at of this.#candidatePositions()) {
      const operation = this.#operations[at] as KeyOperation;
      const isKnown = operation.returned !== Number.POSITIVE_INFINITY;
      for (const effects of operation.alternatives) {
        // A lease may have ended just before.
        const starts = state !== undefined && state.lease !== 0n ? [state, undefined] : [state];
        for (const start of starts) {
          this.steps++;
          const after = follow(effects, start);
          if (after.kind === "impossible") continue;
          if (after.state !== state) (isKnown ? sure : unsure).push({ at, state: after.state });
          else if (isKnown) return [{ at, state }];
        }
      }
    }
    return [...sure, ...unsure];
  }

  #take(at: number): void {
    const [next, prev] = [this.#next[at] as number, this.#prev[at] as number];
    this.#next[prev] = next;
    this.#prev[next] = prev;
    this.#flip(at, -1);
  }

  #putBack(at: number): void {
    const [next, prev] = [this.#next[at] as number, this.#prev[at] as number];
    this.#next[prev] = at;
    this.#prev[next] = at;
    this.#flip(at, 1);
  }

  #flip(at: number, known: 1 | -1): void {
    if ((this.#operations[at] as KeyOperation).returned !== Number.POSITIVE_INFINITY) this.#known += known;
    this.#hashHigh ^= mix(at * 2 + 1) >>> 6;
    this.#hashLow ^= mix(at * 2 + 2) >>> 6;
  }
}

/** 32 well-mixed bits of a number: the mark of an operation in the hash of a set of them. */
function mix(value: number): number {
  let bits = Math.imul(value ^ 0x9e3779b9, 0x85ebca6b);
  bits = Math.imul(bits ^ (bits >>> 13), 0xc2b2ae35);
  bits = Math.imul(bits ^ (bits >>> 16), 0x27d4eb2f);
  return (bits ^ (bits >>> 15)) >>> 0;
}

function follow(
  effects: readonly KeyEffect[],
  start: State,
): { readonly kind: "state"; readonly state: State } | { readonly kind: "impossible" } {
  let state = start;
  for (const { expect, write } of effects) {
    if (expect !== undefined && meets(state, expect.state) !== expect.isMet) return { kind: "impossible" };
    if (write?.kind === "delete") {
      state = undefined;
    } else if (write?.kind === "put") {
      if (state === undefined && (write.value === undefined || write.lease === undefined))
        return { kind: "impossible" };
      state = {
        value: write.value ?? state?.value ?? "",
        lease: write.lease ?? state?.lease ?? 0n,
        version: (state?.version ?? 0) + 1,
      };
    }
  }
  return { kind: "state", state };
}

function meets(state: State, wanted: Partial<KeyState> | "present" | null): boolean {
  if (wanted === null) return state === undefined;
  if (state === undefined) return false;
  if (wanted === "present") return true;
  return (
    (wanted.value === undefined || wanted.value === state.value) &&
    (wanted.version === undefined || wanted.version === state.version) &&
    (wanted.lease === undefined || wanted.lease === state.lease)
  );
}
