import { assert } from "../../raft/assert.ts";
import type { Bucket, RowSource } from "../backend.ts";
import { slices } from "../row-slices.ts";
import { BUCKETS } from "../schema.ts";
import { FREELIST_PAGE, metaPage, writeHeader } from "./format.ts";
import { PageWriter } from "./page-writer.ts";
import { PAGE_BYTES, TreeLayout, type TreePage } from "./tree-layout.ts";

/**
 * A bbolt file out of a frozen source, as a stream in the order of the file, in bounded memory and without a file aside:
 *
 *   0, 1: metas   2: freelist (empty)   3: the buckets   4...: the tree of each bucket, in the order of BUCKETS
 *
 * The first pages say where the roots are and how long the file is, so the rows are walked twice: planBolt lays them out
 * and forgets the pages, writeBolt lays them out the same way and writes them. A plan is a few numbers a bucket.
 */
const FREELIST_ID = 2;
const BUCKETS_ID = 3;
const FIRST_TREE_ID = 4;

const SLICE_ROWS = 500;

export interface BoltPlan {
  /** Size of the file, a multiple of 4096. */
  readonly bytes: number;
  readonly buckets: readonly BucketPlan[];
}

interface BucketPlan {
  readonly name: Bucket;
  /** 0: no rows, and no page. */
  readonly root: number;
  /** The first page behind its tree. */
  readonly end: number;
  readonly rows: number;
  /** Of the sizes of all keys and values, in order. */
  readonly sizesHash: number;
}

/**
 * Walks the source, a bounded slice of rows at a time. Rejects with the signal's reason, with what the source rejects
 * with, or with BoltError if a key or value has a size that bbolt does not take.
 */
export async function planBolt(source: RowSource, signal?: AbortSignal): Promise<BoltPlan> {
  const buckets: BucketPlan[] = [];
  let end = FIRST_TREE_ID;
  for (const name of BUCKETS) {
    const tree = new BucketWalk(name, end, () => undefined);
    for await (const rows of slices(source, name, undefined, SLICE_ROWS)) {
      signal?.throwIfAborted();
      tree.add(rows);
    }
    const plan = tree.finish();
    buckets.push(plan);
    end = plan.end;
  }
  return { bytes: end * PAGE_BYTES, buckets };
}

/**
 * The file, plan.bytes in chunks of at most 1 MiB, from the source that was planned. Chunks may share memory with large
 * values of the source: they are to be read only. Rejects with what the source rejects with; asserts that it gives the
 * same rows (as far as sizes tell) as it gave to planBolt.
 */
export async function* writeBolt(plan: BoltPlan, source: RowSource): AsyncGenerator<Buffer, void, undefined> {
  const writer = new PageWriter();
  writeFront(writer, plan);
  let start = FIRST_TREE_ID;
  for (const planned of plan.buckets) {
    const { name, end } = planned;
    const tree = new BucketWalk(name, start, (page) => {
      assert(page.id + page.pages <= end, changed(name));
      writer.page(page);
    });
    for await (const rows of slices(source, name, undefined, SLICE_ROWS)) {
      tree.add(rows);
      yield* writer.take(false);
    }
    const { root, end: writtenEnd, rows, sizesHash } = tree.finish();
    const isSame =
      root === planned.root && writtenEnd === end && rows === planned.rows && sizesHash === planned.sizesHash;
    assert(isSame, changed(name));
    start = end;
  }
  yield* writer.take(true);
}

function writeFront(writer: PageWriter, { bytes, buckets }: BoltPlan): void {
  const meta = { pageBytes: PAGE_BYTES, root: BUCKETS_ID, freelist: FREELIST_ID, highWater: bytes / PAGE_BYTES };
  // A transaction's meta is on the page of its number modulo 2; the next one overwrites the older, page 1.
  writer.bytes(metaPage(0, { ...meta, transaction: 2 }));
  writer.bytes(metaPage(1, { ...meta, transaction: 1 }));
  const freelist = Buffer.alloc(PAGE_BYTES);
  writeHeader(freelist, 0, { id: FREELIST_ID, flags: FREELIST_PAGE, count: 0, overflow: 0 });
  writer.bytes(freelist);
  writer.buckets(BUCKETS_ID, buckets);
}

function changed(name: Bucket): string {
  return `the rows of bucket ${name} changed between planning and writing`;
}

/** Lays a bucket out and counts what it gets. */
class BucketWalk {
  readonly #name: Bucket;
  readonly #layout: TreeLayout;
  #end: number;
  #rows = 0;
  #sizesHash = 0;

  constructor(name: Bucket, start: number, onPage: (page: TreePage) => void) {
    this.#name = name;
    this.#end = start;
    const allocate = (pages: number): number => {
      const id = this.#end;
      this.#end += pages;
      return id;
    };
    this.#layout = new TreeLayout(name, allocate, onPage);
  }

  add(rows: readonly (readonly [key: string, value: Uint8Array])[]): void {
    this.#rows += rows.length;
    for (const [key, value] of rows) {
      this.#layout.add(key, value);
      this.#sizesHash = Math.imul(this.#sizesHash ^ key.length, 0x0100_0193);
      this.#sizesHash = Math.imul(this.#sizesHash ^ value.length, 0x0100_0193);
    }
  }

  finish(): BucketPlan {
    const root = this.#layout.finish();
    return { name: this.#name, root, end: this.#end, rows: this.#rows, sizesHash: this.#sizesHash };
  }
}
