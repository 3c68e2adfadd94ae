/** What a row costs in memory beside its bytes. */
const ROW_OVERHEAD_BYTES = 128;

/**
 * Rows that were read lately, up to `limitBytes`. Two generations: what is found in the old one moves to the young one,
 * and when that is half of the limit the old one is forgotten as a whole. So nothing has to be kept in order.
 */
export class RowCache {
  readonly #generationBytes: number;
  #young = new Map<string, Uint8Array>();
  #old = new Map<string, Uint8Array>();
  #youngBytes = 0;

  constructor(limitBytes: number) {
    this.#generationBytes = limitBytes / 2;
  }

  get(key: string): Uint8Array | undefined {
    const row = this.#young.get(key);
    if (row !== undefined) return row;
    const older = this.#old.get(key);
    if (older !== undefined) this.set(key, older);
    return older;
  }

  /** `row` must not change afterwards, nor be a view of something much larger. */
  set(key: string, row: Uint8Array): void {
    const bytes = key.length + row.length + ROW_OVERHEAD_BYTES;
    if (bytes > this.#generationBytes) return;
    if (this.#youngBytes + bytes > this.#generationBytes) {
      this.#old = this.#young;
      this.#young = new Map();
      this.#youngBytes = 0;
    }
    if (!this.#young.has(key)) this.#youngBytes += bytes;
    this.#young.set(key, row);
  }

  delete(key: string): void {
    // A key that was never looked up has no hash yet, and every put comes by here.
    if (this.#old.size > 0) this.#old.delete(key);
    const row = this.#young.size > 0 ? this.#young.get(key) : undefined;
    if (row === undefined) return;
    this.#young.delete(key);
    this.#youngBytes -= key.length + row.length + ROW_OVERHEAD_BYTES;
  }
}
