import { lowerBound } from "../mvcc/lower-bound.ts";
import {
  BoltError,
  BRANCH_PAGE,
  BUCKET_BYTES,
  damaged,
  ELEMENT_BYTES,
  HEADER_BYTES,
  LEAF_PAGE,
  MAX_PAGE_BYTES,
  META_PAGE_BYTES,
  type Meta,
  MIN_PAGE_BYTES,
  type PageHeader,
  readHeader,
  readMeta,
  readUint64,
} from "./format.ts";
import {
  type Branch,
  branchOf,
  checkAscending,
  type Leaf,
  type LeafContent,
  leafKeys,
  leafSpans,
  type Node,
  type Span,
} from "./node.ts";
import { type BoltFile, PageFile } from "./page-file.ts";

/**
 * Pages larger than this are read in parts. bbolt splits pages of more than four elements down to the page size, so only
 * values make a page large: neither a branch nor the keys of a leaf come near.
 */
const WHOLE_BYTES = 1024 * 1024;
/** A branch has two children or more, so no file has more levels; a ring of branches with one child each has. */
const MAX_DEPTH = 64;
const MAX_CACHED_BRANCHES = 32;
/** etcd has about ten. */
const MAX_BUCKETS = 1000;

/** Where a tree begins: its root page, or a leaf that lies in the bucket's value. */
export type Root = number | Leaf;

/** Keys that may be in a subtree: low <= key < high; undefined: no bound. */
export interface Bounds {
  readonly low: string | undefined;
  readonly high: string | undefined;
}

export const UNBOUNDED: Bounds = { low: undefined, high: undefined };

/**
 * Nodes of a file's trees, and the way to a key. Every node is checked against what its parents say about it. The
 * bounds of siblings are disjoint and only a root may be empty, so a page that is referred to twice (or by its own
 * descendants) does not fit one of its places: no walk goes in circles.
 */
export class TreeReader {
  readonly meta: Meta;
  readonly #file: PageFile;
  /** Least recently used first. */
  readonly #branches = new Map<number, Branch>();

  constructor(file: PageFile, meta: Meta) {
    this.#file = file;
    this.meta = meta;
  }

  /** The leaf where `key` is or would be, and the bounds of what it can hold. */
  async leafFor(
    root: Root,
    key: string,
    content: LeafContent,
  ): Promise<{ readonly leaf: Leaf; readonly bounds: Bounds }> {
    let bounds = UNBOUNDED;
    let node = await this.root(root, content);
    for (let depth = 1; node.kind === "branch"; depth++) {
      if (depth > MAX_DEPTH) throw damaged(node.id, `is a branch ${depth} levels below the root`);
      const position = childFor(node, key);
      bounds = childBounds(node, position, bounds);
      node = await this.child(node, position, bounds, content);
    }
    return { leaf: node, bounds };
  }

  async root(root: Root, content: LeafContent): Promise<Node> {
    return typeof root === "number" ? this.#node(root, content) : root;
  }

  async child(branch: Branch, position: number, bounds: Bounds, content: LeafContent): Promise<Node> {
    const id = branch.children[position] as number;
    if (!this.#isInFile(id)) throw damaged(branch.id, `refers to page ${id}, which is not in the file`);
    const node = await this.#node(id, content);
    const first = node.keys[0];
    const last = node.keys.at(-1);
    if (first === undefined || last === undefined) throw damaged(id, "is an empty leaf below a branch");
    if (bounds.low !== undefined && first < bounds.low) {
      throw damaged(id, `has keys below those that its parent ${branch.id} says`);
    }
    if (bounds.high !== undefined && last >= bounds.high) {
      throw damaged(id, `has keys above those that its parent ${branch.id} says`);
    }
    return node;
  }

  /**
   * Values of the leaf's rows from..until - 1 (at least one), to be kept: they hold on to the bytes between the first and
   * the last, and to no more. Of a large leaf only some, at least one.
   */
  async values({ id, bytes, spans }: Leaf, from: number, until: number): Promise<readonly Buffer[]> {
    const first = spans[from] as Span;
    if (bytes === undefined) {
      return [await this.#file.read(id * this.meta.pageBytes + first.valueAt, first.valueBytes)];
    }
    const last = spans[until - 1] as Span;
    const kept = Buffer.allocUnsafeSlow(last.valueAt + last.valueBytes - first.valueAt);
    bytes.copy(kept, 0, first.valueAt);
    return spans.slice(from, until).map(({ valueAt, valueBytes }) => {
      const start = valueAt - first.valueAt;
      return kept.subarray(start, start + valueBytes);
    });
  }

  /** Name and root of every bucket, by name. */
  async buckets(): Promise<ReadonlyMap<string, Root>> {
    const buckets = new Map<string, Root>();
    for (let from: string | undefined = ""; from !== undefined; ) {
      const { leaf, bounds } = await this.leafFor(this.meta.root, from, "buckets");
      for (let i = 0; i < leaf.keys.length; i++) {
        if (buckets.size === MAX_BUCKETS) {
          throw new BoltError(`the file has more than ${MAX_BUCKETS} buckets: it is no database of an etcd`);
        }
        buckets.set(leaf.keys[i] as string, await this.#bucketRoot(leaf, i));
      }
      from = bounds.high;
    }
    return buckets;
  }

  /** The header of a page that has to be one of the file's. */
  async header(id: number, referredBy: number): Promise<PageHeader> {
    if (!this.#isInFile(id)) throw damaged(referredBy, `refers to page ${id}, which is not in the file`);
    const header = readHeader(await this.bytes(id, 0, HEADER_BYTES), 0);
    if (header.id !== id) throw damaged(id, `says that it is page ${header.id}`);
    if (header.overflow >= this.meta.highWater - id) {
      throw damaged(
        id,
        `says that it goes on for ${header.overflow} pages, beyond the ${this.meta.highWater} of the file`,
      );
    }
    return header;
  }

  /** Of a page and those it runs over into, from `at`; not to be kept. */
  bytes(id: number, at: number, bytes: number): Promise<Buffer> {
    return this.#file.view(id * this.meta.pageBytes + at, bytes);
  }

  #isInFile(id: number): boolean {
    return id >= 2 && id < this.meta.highWater;
  }

  async #bucketRoot(leaf: Leaf, position: number): Promise<Root> {
    const { valueBytes } = leaf.spans[position] as Span;
    const what = `says of bucket ${JSON.stringify(leaf.keys[position])} that`;
    // An inline bucket takes a quarter of a page at most.
    if (valueBytes < BUCKET_BYTES || valueBytes > this.meta.pageBytes) {
      throw damaged(leaf.id, `${what} it is of ${valueBytes} bytes`);
    }
    const [value] = (await this.values(leaf, position, position + 1)) as readonly [Buffer];
    const root = readUint64(value, 0);
    if (root !== 0) {
      if (!this.#isInFile(root)) throw damaged(leaf.id, `${what} its root is page ${root}, which is not in the file`);
      return root;
    }
    const page = value.subarray(BUCKET_BYTES);
    if (page.length < HEADER_BYTES) throw damaged(leaf.id, `${what} it is inline, without room for a page`);
    const { flags, count, overflow } = readHeader(page, 0);
    if (flags !== LEAF_PAGE || overflow !== 0) throw damaged(leaf.id, `${what} it is inline, in what is no leaf page`);
    return leafOf(page, count, 0, "rows", leaf.id);
  }

  async #node(id: number, content: LeafContent): Promise<Node> {
    const cached = this.#branches.get(id);
    if (cached !== undefined) {
      this.#branches.delete(id);
      this.#branches.set(id, cached);
      return cached;
    }
    const { flags, count, overflow } = await this.header(id, id);
    if (flags !== LEAF_PAGE && flags !== BRANCH_PAGE) throw damaged(id, `is neither branch nor leaf (flags ${flags})`);
    const pages = overflow + 1;
    const pageBytes = pages * this.meta.pageBytes;
    if (pageBytes > WHOLE_BYTES) {
      if (flags === BRANCH_PAGE) throw damaged(id, `is a branch of ${pageBytes} bytes`);
      return this.#largeLeaf(id, count, pages, content);
    }
    const bytes = await this.bytes(id, 0, pageBytes);
    if (flags === LEAF_PAGE) return leafOf(bytes, count, pages, content, id);
    const branch = branchOf(bytes, count, pages, id);
    this.#keep(branch);
    return branch;
  }

  #keep(branch: Branch): void {
    this.#branches.set(branch.id, branch);
    for (const oldest of this.#branches.keys()) {
      if (this.#branches.size <= MAX_CACHED_BRANCHES) break;
      this.#branches.delete(oldest);
    }
  }

  async #largeLeaf(id: number, count: number, pages: number, content: LeafContent): Promise<Leaf> {
    const table = await this.bytes(id, 0, HEADER_BYTES + count * ELEMENT_BYTES);
    const spans = leafSpans(table, count, pages * this.meta.pageBytes, content, id);
    const keysBytes = spans.reduce((sum, { keyBytes }) => sum + keyBytes, 0);
    if (keysBytes > WHOLE_BYTES) throw damaged(id, `is a leaf with keys of ${keysBytes} bytes`);
    const keys: string[] = [];
    for (const { keyAt, keyBytes } of spans) keys.push((await this.bytes(id, keyAt, keyBytes)).toString("latin1"));
    checkAscending(keys, id);
    return { kind: "leaf", id, pages, keys, spans, bytes: undefined };
  }
}

/** Reads the metas and the extent of the file. Rejects with BoltError. */
export async function openTrees(file: BoltFile): Promise<TreeReader> {
  const pages = new PageFile(file, await file.size());
  const meta = await newestMeta(pages);
  const needed = meta.highWater * meta.pageBytes;
  if (pages.size < needed) {
    throw new BoltError(
      `the database file is cut short: it has ${pages.size} bytes, and its ${meta.highWater} pages take ${needed}: use ` +
        "another copy of it",
    );
  }
  for (const [what, id] of [["buckets", meta.root] as const, ["free pages", meta.freelist] as const]) {
    if (id !== undefined && (id < 2 || id >= meta.highWater)) {
      throw damaged(meta.transaction % 2, `says that the ${what} are on page ${id} of ${meta.highWater}`);
    }
  }
  return new TreeReader(pages, meta);
}

async function newestMeta(file: PageFile): Promise<Meta> {
  const first = await metaAt(file, 0);
  const positions = typeof first === "string" ? POSSIBLE_PAGE_BYTES : [first.pageBytes];
  let newest = typeof first === "string" ? undefined : first;
  let whyNot = `was not found at any page size from ${MIN_PAGE_BYTES} to ${MAX_PAGE_BYTES}`;
  for (const position of positions) {
    const meta = await metaAt(file, position);
    if (typeof meta === "string") {
      // Where the page of the usual size would begin, the reason is more than that it is not there.
      if (position === USUAL_PAGE_BYTES) whyNot = `(at ${position}) ${meta}`;
    } else if (meta.pageBytes === position && (newest === undefined || meta.transaction > newest.transaction)) {
      newest = meta;
    }
  }
  if (newest !== undefined) return newest;
  throw new BoltError(
    `the file of ${file.size} bytes is no bbolt database, or its begin is damaged: page 0 ${first as string}; page 1 ${whyNot}: ` +
      "use another copy of it",
  );
}

const USUAL_PAGE_BYTES = 4096;
const POSSIBLE_PAGE_BYTES: readonly number[] = Array.from(
  { length: Math.log2(MAX_PAGE_BYTES / MIN_PAGE_BYTES) + 1 },
  (_, i) => MIN_PAGE_BYTES << i,
);

async function metaAt(file: PageFile, position: number): Promise<Meta | string> {
  if (position + META_PAGE_BYTES > file.size) return "is cut short";
  return readMeta(await file.view(position, META_PAGE_BYTES));
}

function leafOf(bytes: Buffer, count: number, pages: number, content: LeafContent, page: number): Leaf {
  const spans = leafSpans(bytes, count, bytes.length, content, page);
  return { kind: "leaf", id: page, pages, keys: leafKeys(spans, bytes, page), spans, bytes };
}

/** The last child whose key is not above; the first one also takes what is below all. */
function childFor({ keys }: Branch, key: string): number {
  const position = lowerBound(keys, key);
  return keys[position] === key ? position : Math.max(0, position - 1);
}

export function childBounds({ keys }: Branch, position: number, { high }: Bounds): Bounds {
  return { low: keys[position], high: keys[position + 1] ?? high };
}
