import { posix } from "node:path";
import { assert } from "../../raft/assert.ts";
import type { Disk, DiskFile } from "../../storage/disk.ts";

export const SECTOR_BYTES = 512;
/** As far behind a synced write as the real disk may write zeros, too. */
const ZEROS = Buffer.alloc(4096);

export interface DiskOperation {
  readonly kind: keyof Disk | keyof DiskFile;
  readonly path: string;
  /** Counts all operations of this disk, from 1. */
  readonly count: number;
}

interface FileNode {
  readonly kind: "file";
  /** What reads see. */
  content: Buffer;
  /** What is on the disk for certain. */
  durable: Buffer;
  /** Written since the last sync, in order. */
  unsynced: { readonly at: number; readonly bytes: Buffer }[];
}

interface DirectoryNode {
  readonly kind: "directory";
  readonly names: Map<string, DiskNode>;
  /** The names that are on the disk for certain. */
  durable: Map<string, DiskNode>;
  /** Changes of names since the last sync, in order; each is done whole or not at all. */
  unsynced: { readonly removed: string | undefined; readonly set: readonly [string, DiskNode] | undefined }[];
}

type DiskNode = FileNode | DirectoryNode;

/**
 * A disk in memory that knows what is durable.
 *
 * `before` runs before each operation: what it throws is what the operation rejects with, without effect, and while it
 * waits the operation waits. `crash` gives the disk as a machine would find it after a power failure.
 */
export class MemoryDisk implements Disk {
  before: (operation: DiskOperation) => void | Promise<void> = () => undefined;
  /**
   * What a failed sync leaves of its file: of the n writes to a sector that were not synced, the first `failedSync(n)` are
   * on the disk, and the others never will be, whatever is synced later. Reads go on to see them all. Undefined: a later
   * sync makes up for it.
   */
  failedSync: ((n: number) => number) | undefined;
  operations = 0;
  readonly #root: DirectoryNode;
  readonly #locks = new Set<string>();

  constructor(root: DirectoryNode = directory()) {
    this.#root = root;
  }

  /**
   * The disk after a power failure. `choose(n)` is an integer in 0..n: how many of the n changes that were not synced
   * happened, asked for each directory and for each sector of each file, so that they tear.
   */
  crash(choose: (n: number) => number): MemoryDisk {
    return new MemoryDisk(survivingDirectory(this.#root, choose));
  }

  /** The disk as the next process finds it when only the process died: nothing is lost, and nothing more is durable. */
  restart(): MemoryDisk {
    return new MemoryDisk(this.#root);
  }

  /** Paths of all files, sorted. */
  paths(): string[] {
    return filesOf(this.#root, "").sort();
  }

  /** The content of a file as reads see it. */
  peek(path: string): Buffer {
    return Buffer.from(this.#file(path).content);
  }

  /** Changes a file as bad hardware would: at once, for good, and without any operation. */
  poke(path: string, change: (content: Buffer) => Buffer): void {
    const file = this.#file(path);
    file.content = Buffer.from(change(Buffer.from(file.content)));
    file.durable = Buffer.from(file.content);
    file.unsynced = [];
  }

  /** As poke, for one bit of what was synced: what was written since stays as uncertain as it was. */
  flip(path: string, at: number, bit: number): void {
    const { content, durable } = this.#file(path);
    for (const bytes of [content, durable]) if (at < bytes.length) bytes[at] = (bytes[at] as number) ^ (1 << bit);
  }

  async makeDirectory(path: string): Promise<void> {
    await this.#enter("makeDirectory", path);
    let at = this.#root;
    for (const name of parts(path)) {
      const found = at.names.get(name);
      if (found?.kind === "file") throw refusal("EEXIST", path);
      const next = found ?? directory();
      at.names.set(name, next);
      at.durable.set(name, next);
      at = next;
    }
  }

  async list(path: string): Promise<readonly string[]> {
    await this.#enter("list", path);
    const node = this.#find(path);
    if (node === undefined) return [];
    if (node.kind === "file") throw refusal("ENOTDIR", path);
    return [...node.names.keys()].sort();
  }

  async open(path: string): Promise<DiskFile | undefined> {
    await this.#enter("open", path);
    const node = this.#find(path);
    if (node === undefined) return undefined;
    if (node.kind === "directory") throw refusal("EISDIR", path);
    return new MemoryFile(this, path, node);
  }

  async create(path: string): Promise<DiskFile> {
    await this.#enter("create", path);
    const parent = this.#parent(path);
    const name = posix.basename(path);
    if (parent.names.has(name)) throw refusal("EEXIST", path);
    const node: FileNode = { kind: "file", content: Buffer.alloc(0), durable: Buffer.alloc(0), unsynced: [] };
    parent.names.set(name, node);
    parent.unsynced.push({ removed: undefined, set: [name, node] });
    return new MemoryFile(this, path, node);
  }

  async rename(from: string, to: string): Promise<void> {
    await this.#enter("rename", to);
    const parent = this.#parent(from);
    if (parent !== this.#parent(to)) throw refusal("EXDEV", to);
    const node = parent.names.get(posix.basename(from));
    if (node === undefined) throw refusal("ENOENT", from);
    const replaced = parent.names.get(posix.basename(to));
    if (replaced?.kind === "directory" && replaced.names.size > 0) throw refusal("ENOTEMPTY", to);
    parent.names.delete(posix.basename(from));
    parent.names.set(posix.basename(to), node);
    parent.unsynced.push({ removed: posix.basename(from), set: [posix.basename(to), node] });
  }

  async remove(path: string): Promise<void> {
    await this.#enter("remove", path);
    const parent = this.#parent(path);
    if (!parent.names.delete(posix.basename(path))) throw refusal("ENOENT", path);
    parent.unsynced.push({ removed: posix.basename(path), set: undefined });
  }

  async removeTree(path: string): Promise<void> {
    await this.#enter("removeTree", path);
    const parent = this.#parent(path);
    if (!parent.names.delete(posix.basename(path))) return;
    parent.unsynced.push({ removed: posix.basename(path), set: undefined });
  }

  async syncDirectory(path: string): Promise<void> {
    await this.#enter("syncDirectory", path);
    const node = this.#find(path);
    if (node?.kind !== "directory") throw refusal("ENOENT", path);
    node.durable = new Map(node.names);
    node.unsynced = [];
  }

  async lock(path: string): Promise<{ release(): Promise<void> }> {
    await this.#enter("lock", path);
    if (this.#locks.has(path)) throw refusal("EBUSY", path);
    this.#locks.add(path);
    return {
      release: async () => {
        this.#locks.delete(path);
      },
    };
  }

  async #enter(kind: keyof Disk, path: string): Promise<void> {
    await this.before({ kind, path, count: ++this.operations });
  }

  #find(path: string): DiskNode | undefined {
    let at: DiskNode | undefined = this.#root;
    for (const name of parts(path)) at = at?.kind === "directory" ? at.names.get(name) : undefined;
    return at;
  }

  #parent(path: string): DirectoryNode {
    const node = this.#find(posix.dirname(path));
    if (node?.kind !== "directory") throw refusal("ENOENT", path);
    return node;
  }

  #file(path: string): FileNode {
    const node = this.#find(path);
    if (node?.kind !== "file") throw refusal("ENOENT", path);
    return node;
  }
}

class MemoryFile implements DiskFile {
  readonly #disk: MemoryDisk;
  readonly #path: string;
  readonly #node: FileNode;

  constructor(disk: MemoryDisk, path: string, node: FileNode) {
    this.#disk = disk;
    this.#path = path;
    this.#node = node;
  }

  async size(): Promise<number> {
    await this.#enter("size");
    return this.#node.content.length;
  }

  async read(into: Uint8Array, position: number): Promise<number> {
    await this.#enter("read");
    const found = this.#node.content.subarray(position, position + into.length);
    into.set(found);
    return found.length;
  }

  async write(from: Uint8Array, position: number): Promise<void> {
    // The caller may use its buffer again only when this resolves, so it is read when the operation is carried out.
    await this.#enter("write");
    const bytes = Buffer.from(from);
    this.#node.content = written(this.#node.content, position, bytes);
    this.#node.unsynced.push({ at: position, bytes });
  }

  /** A write, and a sync of nothing but what it wrote. */
  async writeSynced(from: Uint8Array, position: number): Promise<void> {
    const end = position + from.length;
    assert(end <= this.#node.content.length, `a synced write beyond the end of ${this.#path}`);
    const behind = this.#node.content.subarray(end, end + ZEROS.length);
    assert(behind.equals(ZEROS.subarray(0, behind.length)), `a synced write to ${this.#path} with content behind it`);
    await this.write(from, position);
    const node = this.#node;
    const written = node.unsynced.at(-1);
    await this.#sync(() => {
      const own = node.unsynced.filter((write) => write === written);
      const others = node.unsynced.filter((write) => write !== written);
      node.unsynced = own;
      settle(node);
      node.unsynced = others;
    });
  }

  async allocate(size: number): Promise<void> {
    await this.#enter("allocate");
    const node = this.#node;
    node.content = written(node.content, Math.max(size, node.content.length), Buffer.alloc(0));
    settle(node);
  }

  sync(): Promise<void> {
    return this.#sync(() => settle(this.#node));
  }

  async #sync(settled: () => void): Promise<void> {
    try {
      await this.#enter("sync");
    } catch (error) {
      const { failedSync } = this.#disk;
      if (failedSync !== undefined) lose(this.#node, failedSync);
      throw error;
    }
    settled();
  }

  async close(): Promise<void> {
    await this.#enter("close");
  }

  async #enter(kind: keyof DiskFile): Promise<void> {
    await this.#disk.before({ kind, path: this.#path, count: ++this.#disk.operations });
  }
}

function filesOf({ names }: DirectoryNode, path: string): string[] {
  return [...names].flatMap(([name, node]) =>
    node.kind === "file" ? [`${path}/${name}`] : filesOf(node, `${path}/${name}`),
  );
}

function settle(node: FileNode): void {
  node.durable = written(node.durable, node.content.length, Buffer.alloc(0));
  for (const { at, bytes } of node.unsynced) bytes.copy(node.durable, at);
  node.unsynced = [];
}

function lose(node: FileNode, choose: (n: number) => number): void {
  node.durable = written(survivingFile(node, choose).content, node.content.length, Buffer.alloc(0));
  node.unsynced = [];
}

/** The content with these bytes in it; in place unless it grows. */
function written(content: Buffer, at: number, bytes: Buffer): Buffer {
  let result = content;
  if (at + bytes.length > content.length) {
    result = Buffer.alloc(at + bytes.length);
    content.copy(result);
  }
  bytes.copy(result, at);
  return result;
}

function survivingDirectory(node: DirectoryNode, choose: (n: number) => number): DirectoryNode {
  const names = new Map(node.durable);
  for (const { removed, set } of node.unsynced.slice(0, choose(node.unsynced.length))) {
    if (removed !== undefined) names.delete(removed);
    if (set !== undefined) names.set(set[0], set[1]);
  }
  const result = directory();
  for (const [name, child] of names) {
    const survivor = child.kind === "file" ? survivingFile(child, choose) : survivingDirectory(child, choose);
    result.names.set(name, survivor);
    result.durable.set(name, survivor);
  }
  return result;
}

function survivingFile(node: FileNode, choose: (n: number) => number): FileNode {
  let content: Buffer = Buffer.from(node.durable);
  const sectors = new Map<number, { readonly at: number; readonly bytes: Buffer }[]>();
  for (const { at, bytes } of node.unsynced) {
    for (let start = at; start < at + bytes.length; ) {
      const end = Math.min(start - (start % SECTOR_BYTES) + SECTOR_BYTES, at + bytes.length);
      const sector = Math.floor(start / SECTOR_BYTES);
      const pieces = sectors.get(sector) ?? [];
      pieces.push({ at: start, bytes: bytes.subarray(start - at, end - at) });
      sectors.set(sector, pieces);
      start = end;
    }
  }
  for (const pieces of sectors.values()) {
    for (const { at, bytes } of pieces.slice(0, choose(pieces.length))) content = written(content, at, bytes);
  }
  return { kind: "file", content, durable: Buffer.from(content), unsynced: [] };
}

function directory(): DirectoryNode {
  return { kind: "directory", names: new Map(), durable: new Map(), unsynced: [] };
}

function parts(path: string): string[] {
  return path.split("/").filter((part) => part !== "");
}

function refusal(code: string, path: string): Error {
  return Object.assign(new Error(`${code}: ${path}`), { code });
}
