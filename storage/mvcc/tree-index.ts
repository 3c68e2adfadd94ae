import { lowerBound } from "./lower-bound.ts";

/**
 * A B+tree from latin1 keys to values: every pair is in a leaf, leaves are linked in ascending order, and inner nodes
 * only route. `keys[i]` of an inner node is <= every key below `children[i + 1]` and > every key below `children[i]`
 * (it need not be a key that is still there).
 *
 * The tree must not change while a visit runs.
 */
const ORDER = 64;
/** A node with fewer entries is joined with a neighbour or gets some of its entries. */
const MIN = ORDER / 4;

interface Leaf<V> {
  readonly leaf: true;
  readonly keys: string[];
  readonly values: V[];
  next: Leaf<V> | undefined;
}

interface Inner<V> {
  readonly leaf: false;
  readonly keys: string[];
  readonly children: Node<V>[];
}

type Node<V> = Leaf<V> | Inner<V>;

/** What a node that grew too big gave away: everything from `key` on. */
interface Split<V> {
  readonly key: string;
  readonly right: Node<V>;
}

export class TreeIndex<V> {
  #root: Node<V> = { leaf: true, keys: [], values: [], next: undefined };
  #size = 0;

  get size(): number {
    return this.#size;
  }

  get(key: string): V | undefined {
    const leaf = this.#leafOf(key);
    const at = lowerBound(leaf.keys, key);
    return leaf.keys[at] === key ? leaf.values[at] : undefined;
  }

  /** Stores what `update` makes of the value there is; returns it. */
  update(key: string, update: (before: V | undefined) => V): V {
    const leaf = this.#leafOf(key);
    const at = lowerBound(leaf.keys, key);
    if (leaf.keys[at] === key) {
      const value = update(leaf.values[at]);
      leaf.values[at] = value;
      return value;
    }
    const value = update(undefined);
    if (leaf.keys.length < ORDER) {
      leaf.keys.splice(at, 0, key);
      leaf.values.splice(at, 0, value);
    } else {
      const split = insert(this.#root, key, value);
      if (split !== undefined) this.#root = { leaf: false, keys: [split.key], children: [this.#root, split.right] };
    }
    this.#size++;
    return value;
  }

  delete(key: string): boolean {
    if (!remove(this.#root, key)) return false;
    const root = this.#root;
    if (!root.leaf && root.children.length === 1) this.#root = root.children[0] as Node<V>;
    this.#size--;
    return true;
  }

  /** Pairs with from <= key < to (`to` undefined: no bound), ascending, until the visitor returns false. */
  visit(from: string, to: string | undefined, visitor: (key: string, value: V) => boolean): void {
    let leaf: Leaf<V> | undefined = this.#leafOf(from);
    let at = lowerBound(leaf.keys, from);
    while (leaf !== undefined) {
      const { keys, values } = leaf;
      const count = keys.length;
      const isLast: boolean = to !== undefined && count > 0 && (keys[count - 1] as string) >= to;
      const end = to !== undefined && isLast ? lowerBound(keys, to) : count;
      for (; at < end; at++) {
        if (!visitor(keys[at] as string, values[at] as V)) return;
      }
      if (isLast) return;
      leaf = leaf.next;
      at = 0;
    }
  }

  #leafOf(key: string): Leaf<V> {
    let node = this.#root;
    while (!node.leaf) node = node.children[childFor(node.keys, key)] as Node<V>;
    return node;
  }
}

/** Which child of an inner node `key` belongs to: behind every routing key <= `key`. */
function childFor(keys: readonly string[], key: string): number {
  let low = 0;
  let high = keys.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((keys[middle] as string) <= key) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** The key is not there yet. */
function insert<V>(node: Node<V>, key: string, value: V): Split<V> | undefined {
  if (node.leaf) {
    const at = lowerBound(node.keys, key);
    node.keys.splice(at, 0, key);
    node.values.splice(at, 0, value);
    return node.keys.length > ORDER ? splitLeaf(node, at) : undefined;
  }
  const at = childFor(node.keys, key);
  const split = insert(node.children[at] as Node<V>, key, value);
  if (split === undefined) return undefined;
  node.keys.splice(at, 0, split.key);
  node.children.splice(at + 1, 0, split.right);
  return node.children.length > ORDER ? splitInner(node) : undefined;
}

/** A leaf that grew at its very end is left nearly full: keys that come in ascending order then pack densely. */
function splitLeaf<V>(leaf: Leaf<V>, insertedAt: number): Split<V> {
  const appended = leaf.next === undefined && insertedAt === leaf.keys.length - 1;
  const at = appended ? leaf.keys.length - MIN : leaf.keys.length >>> 1;
  const right: Leaf<V> = { leaf: true, keys: leaf.keys.slice(at), values: leaf.values.slice(at), next: leaf.next };
  leaf.keys.length = at;
  leaf.values.length = at;
  leaf.next = right;
  return { key: right.keys[0] as string, right };
}

function splitInner<V>(inner: Inner<V>): Split<V> {
  const at = inner.children.length >>> 1;
  const key = inner.keys[at - 1] as string;
  const right: Inner<V> = { leaf: false, keys: inner.keys.slice(at), children: inner.children.slice(at) };
  inner.keys.length = at - 1;
  inner.children.length = at;
  return { key, right };
}

function remove<V>(node: Node<V>, key: string): boolean {
  if (node.leaf) {
    const at = lowerBound(node.keys, key);
    if (node.keys[at] !== key) return false;
    node.keys.splice(at, 1);
    node.values.splice(at, 1);
    return true;
  }
  const at = childFor(node.keys, key);
  const child = node.children[at] as Node<V>;
  if (!remove(child, key)) return false;
  if (entries(child) < MIN && node.children.length > 1) mend(node, at === 0 ? 0 : at - 1);
  return true;
}

function entries<V>(node: Node<V>): number {
  return node.leaf ? node.keys.length : node.children.length;
}

/** Joins the children `at` and `at + 1`, or shares their entries evenly when one node cannot hold them. */
function mend<V>(parent: Inner<V>, at: number): void {
  const left = parent.children[at] as Node<V>;
  const right = parent.children[at + 1] as Node<V>;
  const joined = entries(left) + entries(right) <= ORDER;
  if (left.leaf && right.leaf) {
    left.keys.push(...right.keys);
    left.values.push(...right.values);
    left.next = right.next;
    if (!joined) {
      const split = splitLeaf(left, 0);
      parent.keys[at] = split.key;
      parent.children[at + 1] = split.right;
    }
  } else if (!left.leaf && !right.leaf) {
    left.keys.push(parent.keys[at] as string, ...right.keys);
    left.children.push(...right.children);
    if (!joined) {
      const split = splitInner(left);
      parent.keys[at] = split.key;
      parent.children[at + 1] = split.right;
    }
  }
  if (joined) {
    parent.keys.splice(at, 1);
    parent.children.splice(at + 1, 1);
  }
}
