import type { History } from "../history.ts";
import { type KeyEffect, type KeyOperation, type KeyState, keyHistories } from "./key-history.ts";
import { Findings, show, type Verdict } from "./verdict.ts";

/** Steps of the search, for one key and for all. A key that takes more is undecided, and counted as that. */
const MAX_STEPS_PER_KEY = 200_000;
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
    const quick = new Search(operations, budget / 2, "known");
    let outcome = quick.run();
    steps += quick.steps;
    if (outcome.kind !== "linearizable") {
      const whole = new Search(operations, budget / 2, "all");
      outcome = whole.run();
      steps += whole.steps;
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

/** Stands for every value that nobody ever saw: keys that hold one or the other cannot be told apart. */
const UNSEEN = "\0unseen";

function mergeUnseen(operations: readonly KeyOperation[]): readonly KeyOperation[] {
  const seen = new Set<string>();
  for (const { alternatives } of operations) {
    for (const { expect } of alternatives.flat()) {
      const state = expect?.state;
      if (typeof state === "object" && state?.value !== undefined) seen.add(state.value);
    }
  }
  const merge = (effect: KeyEffect): KeyEffect => {
    const { write } = effect;
    if (write?.kind !== "put" || write.value === undefined || seen.has(write.value)) return effect;
    return { ...effect, write: { ...write, value: UNSEEN } };
  };
  return operations.map((operation) => ({
    ...operation,
    alternatives: operation.alternatives.map((effects) => effects.map(merge)),
  }));
}

function maxVersionSeen(operations: readonly KeyOperation[]): number {
  let highest = 0;
  for (const { alternatives } of operations) {
    for (const { expect } of alternatives.flat()) {
      const state = expect?.state;
      if (typeof state === "object" && state?.version !== undefined) highest = Math.max(highest, state.version);
    }
  }
  return highest;
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
  /** What the key held when the frame was made. */
  readonly state: State;
  /** What may come next, and the states it may lead to: first operations of known outcome, then the others. */
  choices: readonly Choice[];
  choice: number;
  stage: "known" | "unknown";
}

class Search {
  readonly #operations: readonly KeyOperation[];
  readonly #budget: number;
  /**
   * Which operations the memory goes by. "all" is exact. "known" takes two ways for one that differ only in the unknown
   * operations they used up: what it finds is found, but what it does not find may be there.
   */
  readonly #remembered: "all" | "known";
  /** Higher versions than anybody saw are all the same. */
  readonly #maxVersion: number;
  /** Doubly linked, in order of invocation; the head is at #operations.length. */
  readonly #next: number[];
  readonly #prev: number[];
  readonly #seen = new Map<string, Set<number>>();
  /** Equal for operations of unknown outcome that do the same; -1 for known ones. */
  readonly #kinds: number[] = [];
  #known = 0;
  #hashHigh = 0;
  #hashLow = 0;
  steps = 0;

  constructor(operations: readonly KeyOperation[], budget: number, remembered: "all" | "known") {
    this.#operations = mergeUnseen(operations);
    this.#budget = budget;
    this.#remembered = remembered;
    this.#maxVersion = 1 + maxVersionSeen(operations);
    const head = operations.length;
    const kinds = new Map<string, number>();
    this.#next = [];
    this.#prev = [];
    for (let at = 0; at <= head; at++) {
      this.#next.push(at === head ? 0 : at + 1);
      this.#prev.push(at === 0 ? head : at - 1);
    }
    for (const { returned, alternatives } of this.#operations) {
      if (returned !== Number.POSITIVE_INFINITY) {
        this.#known++;
        this.#kinds.push(-1);
        continue;
      }
      const text = alternatives.map((effects) => effects.map(effectText).join(";")).join("|");
      const kind = kinds.get(text) ?? kinds.size;
      kinds.set(text, kind);
      this.#kinds.push(kind);
    }
  }

  run(): SearchOutcome {
    let farthest = this.#known;
    let stuck: readonly KeyOperation[] = [];
    const frames: Frame[] = [];
    let state: State;
    let taken = -1;
    for (;;) {
      if (this.#known === 0) return { kind: "linearizable" };
      const isNew = this.#isNew(state);
      const choices = isNew ? this.#choices(state, "known") : [];
      if (choices.length === 0 && this.#known <= farthest) {
        farthest = this.#known;
        stuck = this.#candidates().filter(({ returned }) => returned !== Number.POSITIVE_INFINITY);
      }
      frames.push({ taken, state, choices, choice: 0, stage: isNew ? "known" : "unknown" });
      // Back to the last frame that has a choice left.
      for (;;) {
        if (this.steps > this.#budget) return { kind: "undecided" };
        const frame = frames.at(-1);
        if (frame === undefined) return { kind: "impossible", stuck: stuck.slice(0, 3) };
        const choice = frame.choices[frame.choice++];
        if (choice !== undefined) {
          this.#take(choice.at);
          taken = choice.at;
          state = choice.state;
          break;
        }
        if (frame.stage === "known") {
          frame.stage = "unknown";
          frame.choices = this.#choices(frame.state, "unknown");
          frame.choice = 0;
          continue;
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
   * What may come next. Of unknown outcome: only what changes something, and of those that would do the same, one (none of
   * them ever has to have happened, so one is as good as the other). A read that fits is taken at once and alone: it
   * changes nothing, so whatever order there is from here also holds with the read in front.
   */
  #choices(state: State, stage: Frame["stage"]): readonly Choice[] {
    const found: Choice[] = [];
    const tried = new Set<number>();
    for (const at of this.#candidatePositions()) {
      const kind = this.#kinds[at] as number;
      if (kind < 0 !== (stage === "known") || tried.has(kind)) continue;
      if (kind >= 0) tried.add(kind);
      for (const effects of (this.#operations[at] as KeyOperation).alternatives) {
        // A lease may have ended just before.
        const starts = state !== undefined && state.lease !== 0n ? [state, undefined] : [state];
        for (const start of starts) {
          this.steps++;
          const after = follow(effects, start, this.#maxVersion);
          if (after.kind === "impossible") continue;
          const isRead = effects.every(({ write }) => write === undefined);
          if (kind < 0 && isRead && start === state) return [{ at, state }];
          if (kind < 0 || !isSameState(after.state, state)) found.push({ at, state: after.state });
        }
      }
    }
    // The latest of unknown ones first: what is missing was most likely done just now.
    return stage === "known" ? found : found.reverse();
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
    const isKnown = (this.#operations[at] as KeyOperation).returned !== Number.POSITIVE_INFINITY;
    if (isKnown) this.#known += known;
    if (!isKnown && this.#remembered === "known") return;
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

function effectText({ expect, write }: KeyEffect): string {
  const wanted = expect === undefined ? "" : `${expect.isMet}${show(expect.state)}`;
  return `${wanted}>${write === undefined ? "" : show(write)}`;
}

function follow(
  effects: readonly KeyEffect[],
  start: State,
  maxVersion: number,
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
        version: Math.min(maxVersion, (state?.version ?? 0) + 1),
      };
    }
  }
  return { kind: "state", state };
}

function isSameState(a: State, b: State): boolean {
  if (a === undefined || b === undefined) return a === b;
  return a.value === b.value && a.version === b.version && a.lease === b.lease;
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
