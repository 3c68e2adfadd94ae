import type { Command, History, Operation } from "../history.ts";
import { isReadTxn } from "./model.ts";
import { isCommand, requestKey } from "./request-key.ts";
import { isSameResponse } from "./same-response.ts";
import type { Step, Truth } from "./truth.ts";

/**
 * Which operation of a client each command of the log was.
 *
 * Requests that are equal to the byte are interchangeable, so any assignment that fits answers and times will do. Steps
 * come in the order in which they took effect. A step that took effect within the time of an answered operation, and had
 * to have that very answer, takes the one that returned first: it has the least choice left. Operations of unknown outcome
 * have no last moment, so they only take what nobody else can.
 */
export interface Placement {
  readonly operationOf: ReadonlyMap<Step, Operation>;
  /** Answered (or refused while executed), and no step explains the answer. */
  readonly unplaced: readonly Operation[];
  /** Steps that no client asked for. */
  readonly phantoms: readonly Step[];
  /** Revocations that no client need have asked for: the members' own, at the end of a lease. */
  readonly expiries: readonly Step[];
  readonly unknownPlaced: number;
  readonly unknownAbsent: number;
}

interface Pool {
  readonly operations: readonly Operation[];
  /** Of operations: those before it are in `active`, taken, or too late. */
  next: number;
  active: Operation[];
}

/** Refusals that only the state can bring, so that an executed command has to explain them. */
const REFUSED_BY_STATE =
  /requested lease not found|lease already exists|key not found|required revision (has been compacted|is a future revision)/;

export function isRefusedByState(operation: Operation): boolean {
  return operation.outcome.kind === "refused" && REFUSED_BY_STATE.test(operation.outcome.reason);
}

export function placeOperations(history: History, truth: Truth): Placement {
  const lists = new Map<string, Operation[]>();
  for (const operation of history.operations) {
    const { request } = operation;
    if (!isLogged(operation)) continue;
    const key = requestKey(request as Command);
    const list = lists.get(key);
    if (list === undefined) lists.set(key, [operation]);
    else list.push(operation);
  }
  const pools = new Map<string, Pool>();
  for (const [key, operations] of lists) pools.set(key, { operations, next: 0, active: [] });

  const operationOf = new Map<Step, Operation>();
  const taken = new Set<Operation>();
  const phantoms: Step[] = [];
  const expiries: Step[] = [];
  let unknownPlaced = 0;
  for (const step of truth.steps) {
    const operation = takeFrom(pools.get(requestKey(step.command)), step) ?? takeFrom(openGrants(pools, step), step);
    if (operation !== undefined) {
      operationOf.set(step, operation);
      taken.add(operation);
      if (operation.outcome.kind === "unknown") unknownPlaced++;
    } else if (step.command.kind === "leaseRevoke") {
      expiries.push(step);
    } else {
      phantoms.push(step);
    }
  }

  const unplaced: Operation[] = [];
  let unknownAbsent = 0;
  for (const { operations } of pools.values()) {
    for (const operation of operations) {
      if (taken.has(operation)) continue;
      if (operation.outcome.kind === "unknown") unknownAbsent++;
      else if (operation.outcome.kind === "ok" || isRefusedByState(operation)) unplaced.push(operation);
    }
  }
  unplaced.sort((a, b) => a.invoked.seq - b.invoked.seq);
  return { operationOf, unplaced, phantoms, expiries, unknownPlaced, unknownAbsent };
}

/** Whether the operation goes through the log: a transaction of reads does not (TX-11). */
export function isLogged({ request }: Operation): boolean {
  return isCommand(request) && !(request.kind === "txn" && isReadTxn(request));
}

/** Grants that left the id to the server. */
function openGrants(pools: ReadonlyMap<string, Pool>, { command }: Step): Pool | undefined {
  return command.kind === "leaseGrant" ? pools.get(requestKey({ ...command, id: 0n })) : undefined;
}

function takeFrom(pool: Pool | undefined, step: Step): Operation | undefined {
  if (pool === undefined) return undefined;
  const now = step.applied.seq;
  for (; pool.next < pool.operations.length; pool.next++) {
    const operation = pool.operations[pool.next] as Operation;
    if (operation.invoked.seq > now) break;
    pool.active.push(operation);
  }
  // Who knows the outcome and had it before this step has had its own step.
  pool.active = pool.active.filter(({ outcome, returned }) => outcome.kind === "unknown" || endOf(returned) > now);

  let best: Operation | undefined;
  for (const operation of pool.active) {
    if (!fits(operation, step)) continue;
    if (best === undefined || rank(operation) < rank(best)) best = operation;
  }
  if (best !== undefined) pool.active = pool.active.filter((operation) => operation !== best);
  return best;
}

function endOf(returned: { readonly seq: number } | undefined): number {
  return returned?.seq ?? Number.POSITIVE_INFINITY;
}

function rank({ outcome, returned }: Operation): number {
  return outcome.kind === "unknown" ? Number.POSITIVE_INFINITY : endOf(returned);
}

function fits({ outcome }: Operation, { command, result }: Step): boolean {
  switch (outcome.kind) {
    case "unknown":
      return true;
    case "ok":
      return result.kind === "ok" && isSameResponse(command, result.response, outcome.response);
    case "refused":
      return result.kind === "refused" && result.reasons.some((reason) => outcome.reason.includes(WORDS[reason]));
  }
}

const WORDS = {
  "lease not found": "requested lease not found",
  "lease exists": "lease already exists",
  "key not found": "key not found",
  compacted: "required revision has been compacted",
  future: "required revision is a future revision",
} as const;
