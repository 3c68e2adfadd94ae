import type { Header, History, Life, Operation, Response, Stamp } from "../history.ts";

/** An operation that was answered with success. */
export interface Answered extends Operation {
  readonly returned: Stamp;
  readonly outcome: {
    readonly kind: "ok";
    readonly response: Response;
    readonly header?: Header | undefined;
  };
}

/** In the order of the answers. */
export function answered(history: History): readonly Answered[] {
  return history.operations.filter(isAnswered).sort((a, b) => a.returned.seq - b.returned.seq);
}

function isAnswered(operation: Operation): operation is Answered {
  return operation.outcome.kind === "ok" && operation.returned !== undefined;
}

/**
 * What answers of one life say of something that never falls. Two answers are in order when the one had come before the
 * other was asked for.
 */
export class Rising {
  readonly #told = new Map<Life, { readonly at: number; readonly value: number }[]>();

  /** The highest value that this life had told before the call; undefined if none. */
  floor(life: Life, invoked: Stamp): number | undefined {
    return this.#told.get(life)?.findLast(({ at }) => at < invoked.seq)?.value;
  }

  /** By order of return. */
  tell(life: Life, returned: Stamp, value: number): void {
    const told = this.#told.get(life);
    if (told === undefined) this.#told.set(life, [{ at: returned.seq, value }]);
    // Only what is more than all before can be a floor.
    else if (value > (told.at(-1)?.value ?? 0)) told.push({ at: returned.seq, value });
  }
}
