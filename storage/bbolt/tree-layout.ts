import { assert } from "../../raft/assert.ts";
import { BoltError, ELEMENT_BYTES, HEADER_BYTES, MAX_KEY_BYTES, MAX_VALUE_BYTES } from "./format.ts";

/** Of the files written here, on every machine: what etcd's own files have nearly everywhere. */
export const PAGE_BYTES = 4096;

/** A page and those it runs over into: `id` to `id + pages - 1`. */
export type TreePage = LeafPage | BranchPage;

export interface LeafPage {
  readonly kind: "leaf";
  readonly id: number;
  readonly pages: number;
  readonly keys: readonly string[];
  readonly values: readonly Uint8Array[];
}

export interface BranchPage {
  readonly kind: "branch";
  readonly id: number;
  readonly pages: number;
  /** The first key below each child. */
  readonly keys: readonly string[];
  readonly children: readonly number[];
}

/** A leaf ends at the end of a page if at most this part of its pages is left over. */
const SPARE = 1 / 8;

/**
 * bbolt's rebalancing after a delete looks for a sibling of the node it is at, and panics where there is none. So no
 * branch may have a single child.
 */
const MIN_CHILDREN = 2;

/**
 * Which row goes to which page of a bucket's tree, given the rows in order, in one go and in little memory: a page is
 * handed out, with its number, as soon as no later row can change it. Children come before their parent, so what is
 * kept is the open leaf and an open branch a level. The decisions depend on the sizes of keys and values alone.
 *
 * Rows too large to fill single pages share several: a leaf goes on into a further page while it would waste too much.
 */
export class TreeLayout {
  readonly #bucket: string;
  readonly #allocate: (pages: number) => number;
  readonly #emit: (page: TreePage) => void;
  #leaf: OpenLeaf = openLeaf();
  /** From the parents of leaves up. */
  readonly #branches: OpenBranch[] = [];
  #lastKey = "";

  /** `allocate` gives the first of so many consecutive pages; `emit` gets each page right after its allocation. */
  constructor(bucket: string, allocate: (pages: number) => number, emit: (page: TreePage) => void) {
    this.#bucket = bucket;
    this.#allocate = allocate;
    this.#emit = emit;
  }

  /** Keys ascend. BoltError: a key or value of a size that bbolt does not take. */
  add(key: string, value: Uint8Array): void {
    checkSizes(this.#bucket, key, value);
    assert(key > this.#lastKey, `the rows of bucket ${this.#bucket} do not ascend`);
    this.#lastKey = key;
    const bytes = ELEMENT_BYTES + key.length + value.length;
    if (isFull(this.#leaf, bytes)) this.#closeLeaf();
    const leaf = this.#leaf;
    leaf.keys.push(key);
    leaf.values.push(value);
    leaf.bytes += bytes;
  }

  /** The page of the root; 0 if there was no row, and then no page either. */
  finish(): number {
    if (this.#leaf.keys.length > 0) this.#closeLeaf();
    for (let level = 0; level < this.#branches.length; level++) {
      const branch = this.#branches[level] as OpenBranch;
      if (level === this.#branches.length - 1) {
        return branch.children.length === 1 ? (branch.children[0] as number) : this.#closeBranch(branch);
      }
      this.#addChild(level + 1, branch.keys[0] as string, this.#closeBranch(branch));
    }
    return 0;
  }

  #closeLeaf(): void {
    const { keys, values, bytes } = this.#leaf;
    this.#leaf = openLeaf();
    const pages = pagesOf(bytes);
    const id = this.#allocate(pages);
    this.#emit({ kind: "leaf", id, pages, keys, values });
    this.#addChild(0, keys[0] as string, id);
  }

  #addChild(level: number, key: string, child: number): void {
    const branch = this.#branches[level] ?? openBranch();
    const bytes = ELEMENT_BYTES + key.length;
    if (branch.children.length > MIN_CHILDREN && branch.bytes + bytes > PAGE_BYTES) {
      // Its last child goes with the new one, which may be the last of all and must not be alone.
      const movedKey = branch.keys.pop() as string;
      const moved = branch.children.pop() as number;
      branch.bytes -= ELEMENT_BYTES + movedKey.length;
      this.#branches[level] = {
        keys: [movedKey, key],
        children: [moved, child],
        bytes: HEADER_BYTES + ELEMENT_BYTES + movedKey.length + bytes,
      };
      this.#addChild(level + 1, branch.keys[0] as string, this.#closeBranch(branch));
      return;
    }
    branch.keys.push(key);
    branch.children.push(child);
    branch.bytes += bytes;
    this.#branches[level] = branch;
  }

  #closeBranch({ keys, children, bytes }: OpenBranch): number {
    assert(children.length >= MIN_CHILDREN, "a branch with a single child was laid out");
    const pages = pagesOf(bytes);
    const id = this.#allocate(pages);
    this.#emit({ kind: "branch", id, pages, keys, children });
    return id;
  }
}

interface OpenLeaf {
  readonly keys: string[];
  readonly values: Uint8Array[];
  bytes: number;
}

interface OpenBranch {
  readonly keys: string[];
  readonly children: number[];
  bytes: number;
}

function openLeaf(): OpenLeaf {
  return { keys: [], values: [], bytes: HEADER_BYTES };
}

function openBranch(): OpenBranch {
  return { keys: [], children: [], bytes: HEADER_BYTES };
}

function isFull(leaf: OpenLeaf, moreBytes: number): boolean {
  if (leaf.keys.length === 0) return false;
  const available = pagesOf(leaf.bytes) * PAGE_BYTES;
  return leaf.bytes + moreBytes > available && available - leaf.bytes <= available * SPARE;
}

function pagesOf(bytes: number): number {
  return Math.ceil(bytes / PAGE_BYTES);
}

function checkSizes(bucket: string, key: string, value: Uint8Array): void {
  if (key.length === 0 || key.length > MAX_KEY_BYTES) {
    throw new BoltError(
      `bucket ${bucket} has a key of ${key.length} bytes, and a bbolt file takes 1 to ${MAX_KEY_BYTES}: delete it first`,
    );
  }
  if (value.length > MAX_VALUE_BYTES) {
    throw new BoltError(
      `bucket ${bucket} has a value of ${value.length} bytes, and a bbolt file takes ${MAX_VALUE_BYTES}: delete it first`,
    );
  }
}
