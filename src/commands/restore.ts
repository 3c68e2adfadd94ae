import { createHash } from "node:crypto";
import type { Backend, Bucket } from "../../storage/backend.ts";
import type { BoltFile } from "../../storage/bbolt/page-file.ts";
import type { DiskFile } from "../../storage/disk.ts";
import { FILE_HASH_BYTES, fillStore, openStoreFile } from "../server/store-file.ts";
import type { Arguments, CommandName } from "./command-line.ts";
import { makerCommand, type SourceDeps } from "./make.ts";
import { type Made, makeMember, RestoreError, refuseTaken } from "./new-member.ts";
import type { Progress } from "./progress.ts";

const NAME: CommandName = {
  name: "restore",
  usage: "restore FILE",
  about: [
    "  Makes the data directory of a member of a new cluster from a snapshot file, of `etcdctl snapshot save`. Restore the",
    "  same file for every member of --initial-cluster, with the same flags but for those that are about the one member;",
    "  then start all of them.",
  ],
  noSource: "snapshot restore requires exactly one argument",
};

const SECTOR_BYTES = 512;
const READ_BYTES = 1 << 20;

export const restore = makerCommand(NAME, restoreFile);

async function restoreFile(args: Arguments, deps: SourceDeps): Promise<Made> {
  const { source, config, skipHashCheck, bumpRevision } = args;
  const { sourceDisk, progress, signal } = deps;
  await refuseTaken(config, deps.disk);
  const file = await sourceDisk.open(source);
  if (file === undefined) throw new RestoreError(`open ${source}: no such file or directory`);
  try {
    const database = await withoutHash(file, source, skipHashCheck, progress, signal);
    return await makeMember(config, deps, bumpRevision, async (backend) => {
      await fillFrom(database, backend, progress, signal);
    });
  } finally {
    await file.close();
  }
}

/** The database in the file, whose SHA-256 is behind it. */
async function withoutHash(
  file: DiskFile,
  path: string,
  skipHashCheck: boolean,
  progress: Progress,
  signal: AbortSignal,
): Promise<BoltFile> {
  const size = await file.size();
  const hasHash = size % SECTOR_BYTES === FILE_HASH_BYTES;
  const bytes = hasHash ? size - FILE_HASH_BYTES : size;
  if (!hasHash && !skipHashCheck) {
    throw new RestoreError(
      `snapshot missing hash but --skip-hash-check=false: ${path} has ${size} bytes, and a file of etcdctl snapshot save ` +
        "has 32 more than a multiple of 512; either it is cut short (use another copy), or it is the db of a data " +
        "directory (use quorate import, or --skip-hash-check)",
    );
  }
  if (hasHash && !skipHashCheck) {
    const expected = Buffer.alloc(FILE_HASH_BYTES);
    await file.read(expected, bytes);
    const hash = createHash("sha256");
    const into = Buffer.allocUnsafe(READ_BYTES);
    for (let at = 0; at < bytes; ) {
      signal.throwIfAborted();
      const read = await file.read(into.subarray(0, Math.min(into.length, bytes - at)), at);
      if (read === 0) throw new RestoreError(`${path} has become shorter while it was read: use another copy`);
      hash.update(into.subarray(0, read));
      at += read;
      progress.at("checking the hash", at, bytes);
    }
    const got = hash.digest();
    if (!got.equals(expected)) {
      throw new RestoreError(
        `expected sha256 ${expected.toString("hex")}, got ${got.toString("hex")}: ${path} is damaged or cut short, use ` +
          "another copy",
      );
    }
  }
  return { size: async () => bytes, read: (into, position) => file.read(into, position) };
}

/** Checks the whole file before its first row is believed, and copies all buckets that there are in a store. */
export async function fillFrom(
  file: BoltFile,
  backend: Backend,
  progress: Progress,
  signal: AbortSignal,
): Promise<void> {
  const size = await file.size();
  progress.at("checking the pages", 0, size);
  const bolt = await openStoreFile(file, () => signal.throwIfAborted());
  if (!bolt.buckets.includes("key" satisfies Bucket)) {
    throw new RestoreError("the file is a bbolt database, but not of an etcd: it has no bucket key");
  }
  let done = 0;
  await fillStore(bolt, backend, (rows) => {
    signal.throwIfAborted();
    for (const [key, value] of rows) done += key.length + value.length;
    progress.at("copying", done, size);
  });
}
