/** Streams of one connection by their ids, which ascend by two from 1 on. */

/** A power of two, and more than are usually open at a time. */
const SLOTS = 1_024;

export class OpenStreams<S extends { readonly id: number }> {
  /** Where the last bits of an id lead. Most calls are over long before their slot's turn comes again. */
  readonly #slots: (S | undefined)[] = Array.from({ length: SLOTS }, () => undefined);
  /** Those whose slot was taken when they began. */
  readonly #others = new Map<number, S>();

  get(id: number): S | undefined {
    const stream = this.#slots[slotOf(id)];
    if (stream !== undefined && stream.id === id) return stream;
    return this.#others.size === 0 ? undefined : this.#others.get(id);
  }

  /** `stream`: with an id that none had before. */
  add(stream: S): void {
    const slot = slotOf(stream.id);
    if (this.#slots[slot] === undefined) this.#slots[slot] = stream;
    else this.#others.set(stream.id, stream);
  }

  /** False when there is none. */
  delete(id: number): boolean {
    const slot = slotOf(id);
    if (this.#slots[slot]?.id !== id) return this.#others.delete(id);
    this.#slots[slot] = undefined;
    return true;
  }

  /** As they are now, in the order in which they began. */
  all(): S[] {
    const near = this.#slots.filter((stream) => stream !== undefined);
    return [...near, ...this.#others.values()].sort((a, b) => a.id - b.id);
  }
}

function slotOf(id: number): number {
  return (id >>> 1) & (SLOTS - 1);
}
