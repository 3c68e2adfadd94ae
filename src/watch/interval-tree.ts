import { must } from "../../raft/assert.ts";

/**
 * Sets of members by half-open interval of keys, and "which intervals hold this key" in O(log n + matches).
 *
 * An AVL tree ordered by (start, end); members of equal intervals share one node, so ten thousand watchers of one prefix
 * cost one comparison. Each node knows the greatest end below it (`reach`), which is what lets a lookup skip a subtree
 * whose intervals all end before the key.
 */
interface IntervalNode<T> {
  start: string;
  end: string;
  members: Set<T>;
  reach: string;
  height: number;
  left: IntervalNode<T> | undefined;
  right: IntervalNode<T> | undefined;
}

type Link<T> = IntervalNode<T> | undefined;

export class IntervalTree<T> {
  #root: Link<T>;

  add(start: string, end: string, member: T): void {
    this.#root = insert(this.#root, start, end, member);
  }

  /** The member must be in the tree with this very interval, or nothing happens. */
  delete(start: string, end: string, member: T): void {
    const node = find(this.#root, start, end);
    if (node === undefined) return;
    node.members.delete(member);
    if (node.members.size === 0) this.#root = remove(this.#root, start, end);
  }

  /** Every member whose interval has start <= key < end. The visitor must not change the tree. */
  visit(key: string, visitor: (member: T) => void): void {
    stab(this.#root, key, visitor);
  }
}

function stab<T>(node: Link<T>, key: string, visitor: (member: T) => void): void {
  if (node === undefined || node.reach <= key) return;
  stab(node.left, key, visitor);
  if (node.start > key) return;
  if (key < node.end) for (const member of node.members) visitor(member);
  stab(node.right, key, visitor);
}

/** Below zero: (start, end) sorts before the node; zero: it is the node's own interval. */
function compare<T>(start: string, end: string, node: IntervalNode<T>): number {
  if (start !== node.start) return start < node.start ? -1 : 1;
  if (end !== node.end) return end < node.end ? -1 : 1;
  return 0;
}

function find<T>(root: Link<T>, start: string, end: string): Link<T> {
  let node = root;
  while (node !== undefined) {
    const order = compare(start, end, node);
    if (order === 0) return node;
    node = order < 0 ? node.left : node.right;
  }
  return undefined;
}

function insert<T>(node: Link<T>, start: string, end: string, member: T): IntervalNode<T> {
  if (node === undefined) {
    return { start, end, members: new Set([member]), reach: end, height: 1, left: undefined, right: undefined };
  }
  const order = compare(start, end, node);
  if (order === 0) {
    node.members.add(member);
    return node;
  }
  if (order < 0) node.left = insert(node.left, start, end, member);
  else node.right = insert(node.right, start, end, member);
  return balance(node);
}

function remove<T>(node: Link<T>, start: string, end: string): Link<T> {
  if (node === undefined) return undefined;
  const order = compare(start, end, node);
  if (order < 0) node.left = remove(node.left, start, end);
  else if (order > 0) node.right = remove(node.right, start, end);
  else {
    if (node.left === undefined) return node.right;
    if (node.right === undefined) return node.left;
    // The node takes over the content of its successor, whose own place is then emptied.
    let successor = node.right;
    while (successor.left !== undefined) successor = successor.left;
    node.start = successor.start;
    node.end = successor.end;
    node.members = successor.members;
    node.right = remove(node.right, successor.start, successor.end);
  }
  return balance(node);
}

function height<T>(node: Link<T>): number {
  return node === undefined ? 0 : node.height;
}

function refresh<T>(node: IntervalNode<T>): void {
  node.height = 1 + Math.max(height(node.left), height(node.right));
  node.reach = node.end;
  if (node.left !== undefined && node.left.reach > node.reach) node.reach = node.left.reach;
  if (node.right !== undefined && node.right.reach > node.reach) node.reach = node.right.reach;
}

function balance<T>(node: IntervalNode<T>): IntervalNode<T> {
  const lean = height(node.left) - height(node.right);
  if (lean > 1 && node.left !== undefined) {
    if (height(node.left.left) < height(node.left.right)) node.left = rotateLeft(node.left);
    return rotateRight(node);
  }
  if (lean < -1 && node.right !== undefined) {
    if (height(node.right.right) < height(node.right.left)) node.right = rotateRight(node.right);
    return rotateLeft(node);
  }
  refresh(node);
  return node;
}

function rotateLeft<T>(node: IntervalNode<T>): IntervalNode<T> {
  const top = must(node.right, "a left rotation has a right child");
  node.right = top.left;
  top.left = node;
  refresh(node);
  refresh(top);
  return top;
}

function rotateRight<T>(node: IntervalNode<T>): IntervalNode<T> {
  const top = must(node.left, "a right rotation has a left child");
  node.left = top.right;
  top.right = node;
  refresh(node);
  refresh(top);
  return top;
}
