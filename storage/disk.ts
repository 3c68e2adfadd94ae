/**
 * Everything storage asks of a file system. Node's is in node-disk.ts; the simulator brings one that tears, loses and
 * lies. Paths are plain strings joined with "/". Any rejection other than "not found" means: this member stops.
 */
export interface Disk {
  /** Creates the directory and its parents (mode 0700); the names are durable when it resolves. */
  makeDirectory(path: string): Promise<void>;
  /** Names in the directory, sorted; empty when there is no such directory. */
  list(path: string): Promise<readonly string[]>;
  /** Opens for reading and writing; undefined when there is no such file. */
  open(path: string): Promise<DiskFile | undefined>;
  /** Creates an empty file (mode 0600); fails if the name is taken. The name is durable only after syncDirectory. */
  create(path: string): Promise<DiskFile>;
  /** Replaces the file `to` atomically, or moves a directory to a free name; durable after syncDirectory. */
  rename(from: string, to: string): Promise<void>;
  remove(path: string): Promise<void>;
  /** A directory with everything in it, which nobody uses; nothing happens when there is none. May leave a part after a crash. */
  removeTree(path: string): Promise<void>;
  /** The names in this directory are as durable as fsync makes them. */
  syncDirectory(path: string): Promise<void>;
  /**
   * Holds the path against other processes until released (or the process dies). Rejects with a message that says what
   * to do when another process holds it.
   */
  lock(path: string): Promise<{ release(): Promise<void> }>;
}

export interface DiskFile {
  size(): Promise<number>;
  /** Fills `into` from `position`; resolves to the bytes read, fewer only at the end of the file. */
  read(into: Uint8Array, position: number): Promise<number>;
  /** Writes all of `from`; readable at once, durable after sync. */
  write(from: Uint8Array, position: number): Promise<void>;
  /**
   * As write and then sync, in one go, within the file as it is: there are systems where what makes a file longer is not on
   * the disk then. All that was written before has to be synced: of that it promises nothing. From the end of what is written
   * on the file has to hold zeros, some of which are written, too. One at a time, and no write beside it.
   */
  writeSynced(from: Uint8Array, position: number): Promise<void>;
  /** Zero-filled to this size with blocks allocated (so that a later write cannot meet a full disk), and synced. */
  allocate(size: number): Promise<void>;
  /** All written content is on the disk (fdatasync). Once it rejects the file's content is unknown: never call again. */
  sync(): Promise<void>;
  close(): Promise<void>;
}
