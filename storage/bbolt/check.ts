import { COUNT_IS_ELSEWHERE, damaged, FREELIST_PAGE, HEADER_BYTES, readUint64 } from "./format.ts";
import type { LeafContent, Node } from "./node.ts";
import type { BoltFile } from "./page-file.ts";
import { type Bounds, childBounds, openTrees, type Root, type TreeReader, UNBOUNDED } from "./tree-reader.ts";

/** What a whole file consists of. */
export interface BoltCheck {
  readonly pageBytes: number;
  readonly pages: number;
  readonly freePages: number;
  /** Of each bucket, by name. */
  readonly rows: ReadonlyMap<string, number>;
}

const UNSEEN = 0;
const USED = 1;
const FREE = 2;

const ID_BYTES = 8;
const IDS_A_READ = 8192;

/**
 * Reads all of a file but its large values and checks that it is whole: keys ascend within and across pages, every page
 * is used exactly once or is free, and none of it is beyond the end. Takes a byte of memory a page. Rejects with
 * BoltError, which names the first damaged page; `onPage` is called for each, and ends the work with what it throws.
 */
export async function checkBolt(file: BoltFile, onPage: () => void = () => undefined): Promise<BoltCheck> {
  const trees = await openTrees(file);
  const { meta } = trees;
  const pages = new PageUse(meta.highWater);
  pages.use(0, 1, 0);
  pages.use(1, 1, 1);
  await checkTree(trees, meta.root, "buckets", pages, onPage);
  const rows = new Map<string, number>();
  for (const [name, root] of await trees.buckets()) rows.set(name, await checkTree(trees, root, "rows", pages, onPage));
  if (meta.freelist !== undefined) {
    await checkFreelist(trees, meta.freelist, pages);
    const lost = pages.first(UNSEEN);
    if (lost !== undefined) throw damaged(lost, "is neither used nor free");
  }
  return {
    pageBytes: meta.pageBytes,
    pages: meta.highWater,
    freePages: meta.highWater - pages.used,
    rows,
  };
}

/** Answers how many rows the tree has. */
async function checkTree(
  trees: TreeReader,
  root: Root,
  content: LeafContent,
  pages: PageUse,
  onPage: () => void,
): Promise<number> {
  const top = await trees.root(root, content);
  pages.use(top.id, top.pages, top.id);
  let rows = 0;
  // Nodes on the way down, each with the child that is next. Pages in use are used once, so this ends.
  const path: { readonly node: Node; readonly bounds: Bounds; next: number }[] = [];
  path.push({ node: top, bounds: UNBOUNDED, next: 0 });
  for (let at = path.at(-1); at !== undefined; at = path.at(-1)) {
    const { node, bounds } = at;
    onPage();
    if (node.kind === "leaf") {
      rows += node.keys.length;
      path.pop();
    } else if (at.next === node.children.length) {
      path.pop();
    } else {
      const inside = childBounds(node, at.next, bounds);
      const child = await trees.child(node, at.next, inside, content);
      pages.use(child.id, child.pages, node.id);
      at.next++;
      path.push({ node: child, bounds: inside, next: 0 });
    }
  }
  return rows;
}

async function checkFreelist(trees: TreeReader, id: number, pages: PageUse): Promise<void> {
  const { flags, count, overflow } = await trees.header(id, id);
  if (flags !== FREELIST_PAGE) throw damaged(id, `should hold the free pages, and has flags ${flags}`);
  pages.use(id, overflow + 1, id);
  const pageBytes = (overflow + 1) * trees.meta.pageBytes;
  let at = HEADER_BYTES;
  let left = count;
  if (count === COUNT_IS_ELSEWHERE) {
    left = readUint64(await trees.bytes(id, at, ID_BYTES), 0);
    at += ID_BYTES;
  }
  if (at + left * ID_BYTES > pageBytes)
    throw damaged(id, `says that it lists ${left} free pages in ${pageBytes} bytes`);
  while (left > 0) {
    const ids = Math.min(left, IDS_A_READ);
    const bytes = await trees.bytes(id, at, ids * ID_BYTES);
    for (let i = 0; i < ids; i++) pages.free(readUint64(bytes, i * ID_BYTES), id);
    at += ids * ID_BYTES;
    left -= ids;
  }
}

/** What each page is used for. */
class PageUse {
  readonly #use: Uint8Array;
  used = 0;

  constructor(pages: number) {
    this.#use = new Uint8Array(pages);
  }

  /** None of the pages may be in use already. */
  use(first: number, pages: number, referredBy: number): void {
    for (let id = first; id < first + pages; id++) {
      if (this.#use[id] !== UNSEEN) throw damaged(id, `is used twice, now from page ${referredBy}`);
      this.#use[id] = USED;
    }
    this.used += pages;
  }

  free(id: number, freelist: number): void {
    switch (this.#use[id]) {
      case UNSEEN:
        this.#use[id] = FREE;
        return;
      case USED:
        throw damaged(id, `is used, and listed as free on page ${freelist}`);
      case FREE:
        throw damaged(id, `is listed as free twice, on page ${freelist}`);
      default:
        throw damaged(freelist, `lists page ${id} as free, which is not in the file`);
    }
  }

  first(use: number): number | undefined {
    const found = this.#use.indexOf(use);
    return found < 0 ? undefined : found;
  }
}
