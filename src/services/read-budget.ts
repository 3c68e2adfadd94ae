import { assert } from "../../raft/assert.ts";
import { ApiError, Code } from "../api/errors.ts";

/**
 * What all running reads of a member may hold together, charges for their pairs included: room for several reads of a
 * whole store of common size, on a machine that etcd's own documents call small (8 GB). The transport holds an answer a
 * second time, encoded, and has its own bound (connectionQueueBytes).
 */
const READ_BYTES = 512 << 20;

const share = (limit: number): ApiError =>
  new ApiError(
    Code.ResourceExhausted,
    `quorate: the result of this read is too large (more than ${limit} bytes): read it in pieces, with limits`,
  );
const all = (limit: number): ApiError =>
  new ApiError(
    Code.ResourceExhausted,
    `quorate: the reads of this member hold too much (more than ${limit} bytes): try again later, or with limits`,
  );

/** The part of a budget that one read holds. */
export interface ReadShare {
  /** Throws ApiError when the read, or all of them, would hold too much; the bytes are then not taken. */
  take(bytes: number): void;
  give(bytes: number): void;
  /** Gives back all that is left of it. */
  close(): void;
}

/** A read that would go beyond the limit fails, the others go on; a single one may take half. */
export class ReadBudget {
  readonly #limit: number;
  #held = 0;

  constructor(limitBytes: number = READ_BYTES) {
    this.#limit = limitBytes;
  }

  get heldBytes(): number {
    return this.#held;
  }

  open(): ReadShare {
    let own = 0;
    return {
      take: (bytes) => {
        if (own + bytes > this.#limit / 2) throw share(this.#limit / 2);
        if (this.#held + bytes > this.#limit) throw all(this.#limit);
        own += bytes;
        this.#held += bytes;
      },
      give: (bytes) => {
        assert(bytes <= own, "a read gave back more than it held");
        own -= bytes;
        this.#held -= bytes;
      },
      close: () => {
        this.#held -= own;
        own = 0;
      },
    };
  }
}
