import type { ResponseHeader } from "../../proto/generated/etcdserverpb.ts";
import type { Applied } from "../state/machine.ts";
import type { Waiter } from "./waiter.ts";

/** A header while it is made. */
export type OpenHeader = { -readonly [Name in keyof ResponseHeader]: ResponseHeader[Name] };

export interface SubmissionDeps {
  /** What the quota has to say of an applied command of such costs: nothing as a rule. */
  readonly acceptance: (costs: number) => Promise<void> | undefined;
  /** Fills in all but the revision (H-1). */
  readonly complete: (header: OpenHeader) => void;
}

/** A client's command on its way through the log: makes of what apply says what its caller hears. */
export class Submission implements Waiter<Applied> {
  readonly #deps: SubmissionDeps;
  readonly #costs: number;
  readonly #caller: Waiter<unknown>;

  constructor(deps: SubmissionDeps, costs: number, caller: Waiter<unknown>) {
    this.#deps = deps;
    this.#costs = costs;
    this.#caller = caller;
  }

  succeed({ result }: Applied): void {
    if (result.kind === "error") {
      this.fail(result.error);
      return;
    }
    const response = result.kind === "response" ? result.response : undefined;
    const acceptance = this.#deps.acceptance(this.#costs);
    if (acceptance === undefined) this.#tell(response);
    else acceptance.then(() => this.#tell(response)).catch((error: unknown) => this.fail(error));
  }

  fail(error: unknown): void {
    this.#caller.fail(error);
  }

  /** The response was made for this caller, and nobody else has it. */
  #tell(response: unknown): void {
    const header = (response as { readonly header?: OpenHeader } | undefined)?.header;
    if (header !== undefined) this.#deps.complete(header);
    this.#caller.succeed(response);
  }
}
