import type { Mutant } from "./mutant.ts";

/** The write-ahead log, the state store's overlay, keys and revisions. */
export const storageMutants: readonly Mutant[] = [
  // Writing the log.
  {
    name: "append-resolves-before-sync",
    file: "storage/wal-log.ts",
    from: `file.writeSynced(writer.bytes, offset)`,
    to: `file.write(writer.bytes, offset)`,
    why: "A write without its sync: what was acknowledged is still on its way to the disk.",
    seenBy: ["durability", "member", "log-matching"],
  },
  {
    name: "group-synced-when-its-last-wants-it",
    file: "storage/wal-log.ts",
    from: `mustSync ||= needsSync(batch);`,
    to: `mustSync = needsSync(batch);`,
    why: "The last batch decides for all that are written with it: a commit index alone takes the sync from entries.",
    seenBy: ["durability", "member", "log-matching"],
  },
  {
    name: "sync-not-waited-for",
    file: "storage/wal-log.ts",
    from: `if (mustSync) await this.#sync();`,
    to: `if (mustSync) void this.#sync();`,
    why: "A forgotten await behind a commit index that was written alone: what was acknowledged is still on its way to the disk.",
    seenBy: ["durability", "member", "log-matching"],
  },
  {
    name: "own-write-synced-alone",
    file: "storage/wal-log.ts",
    from: `const inOneGo = mustSync && synced && offset`,
    to: `const inOneGo = mustSync && offset`,
    why: "A write that syncs itself behind one that is not synced: a power cut leaves a hole before what was acknowledged.",
    seenBy: ["durability", "member", "log-matching"],
  },
  {
    name: "failed-sync-retried",
    file: "storage/wal-log.ts",
    from: `await file.writeSynced(writer.bytes, offset);`,
    to: `await file.writeSynced(writer.bytes, offset).catch(() => file.sync());`,
    why: "After a failed fsync the kernel may have dropped what was not written: a second one that succeeds says nothing.",
    seenBy: ["durability", "member", "log-matching"],
  },
  {
    name: "segment-cut-without-sync",
    file: "storage/wal-log.ts",
    from: `  async #roll(): Promise<void> {
    await this.#sync();`,
    to: `  async #roll(): Promise<void> {`,
    why: "A segment that is not the last has a tail that a crash can tear: the member refuses its own log.",
    seenBy: ["member", "durability"],
  },
  {
    name: "segment-named-before-its-head-is-synced",
    file: "storage/wal-log.ts",
    from: `    await file.sync();
    const sequence = this.#tail.segment.sequence + 1;`,
    to: `    const sequence = this.#tail.segment.sequence + 1;`,
    why: "A crash leaves a segment in the log that has no head.",
    seenBy: ["member"],
  },
  {
    name: "segment-name-not-synced",
    file: "storage/wal-log.ts",
    from: `    await this.#disk.syncDirectory(this.#directory);
    this.#prepared = undefined;`,
    to: `    this.#prepared = undefined;`,
    why: "A power cut takes the new segment's name back, and with it everything acknowledged since the cut.",
    seenBy: ["durability", "member", "log-matching"],
  },
  {
    name: "checksum-not-continued-after-a-restart",
    file: "storage/wal-log.ts",
    from: `this.#writer = new RecordWriter(state.crc);`,
    to: `this.#writer = new RecordWriter(0);`,
    why: "What a member writes in its second life its third one cannot read.",
    seenBy: ["member", "durability"],
  },

  // Reading it back.
  {
    name: "torn-record-accepted",
    file: "storage/wal-replay.ts",
    from: `if (frame.kind !== "record" || checksum(bytes, frame, crc) !== frame.crc) {`,
    to: `if (frame.kind !== "record") {`,
    why: "A record of which a crash left a part, or in which a bit turned, is taken for what was written.",
    seenBy: ["log-matching", "state-hash", "durability", "member"],
  },
  {
    name: "torn-write-left-behind",
    file: "storage/wal-log.ts",
    from: `const tornEnd = end.offset + end.tornBytes;`,
    to: `const tornEnd = end.offset;`,
    why: "The remains of a torn write stay behind the end of the log, and the next start finds them behind newer records.",
    seenBy: ["member"],
  },
  {
    name: "damage-taken-for-a-torn-write",
    file: "storage/wal-tail.ts",
    from: `export function judgeTail(tail: Tail): string | undefined {
  const { bytes, contentEnd, fileEnd } = tail;`,
    to: `export function judgeTail(tail: Tail): string | undefined {
  const { bytes, contentEnd, fileEnd } = tail;
  if (contentEnd >= 0) return undefined;`,
    why: "A flipped bit makes the member cut off, without a word, all that it acknowledged behind it.",
    seenBy: ["damaged log", "durability"],
  },
  {
    name: "replay-keeps-replaced-entries",
    file: "storage/wal-replay.ts",
    from: `    if (kept < this.#entries.length) this.#entries.length = Math.max(kept, 0);\n`,
    to: "",
    why: "Entries that a later leader replaced come back at the start.",
    seenBy: ["member", "log-matching"],
  },
  {
    name: "replayed-log-not-synced",
    file: "storage/wal-log.ts",
    from: `  await repair(file, size, end, options.segmentBytes);
  if (names.includes(PREPARED_NAME)) await disk.remove(posix.join(directory, PREPARED_NAME));
  // The process that made these names may have been killed before it could sync them.
  await disk.syncDirectory(directory);
  await disk.syncDirectory(posix.dirname(directory));
  let offset = end.offset;
  if (!end.marked) {
    // Only now: the mark says that all before it is on the disk.
    const writer = new RecordWriter(end.crc);
    writer.seed();
    await file.write(writer.bytes, offset);
    await file.sync();
`,
    to: `  const isWhole = end.tornBytes + end.mends.length === 0 && size >= options.segmentBytes;
  if (!isWhole) await repair(file, size, end, options.segmentBytes);
  if (names.includes(PREPARED_NAME)) await disk.remove(posix.join(directory, PREPARED_NAME));
  await disk.syncDirectory(directory);
  await disk.syncDirectory(posix.dirname(directory));
  let offset = end.offset;
  if (!end.marked) {
    const writer = new RecordWriter(end.crc);
    writer.seed();
    await file.write(writer.bytes, offset);
    if (!isWhole) await file.sync();
`,
    why:
      "A process is killed between write and sync; its successor reads the bytes, takes them for durable and acknowledges " +
      "them; then the power goes.",
    seenBy: ["durability", "member"],
  },
  {
    name: "log-reads-miss-replacements",
    file: "storage/wal-index.ts",
    from: `      replaces ||\n`,
    to: "",
    why: "A member that serves a follower from its disk meets entries that were replaced.",
    seenBy: ["member"],
  },
  {
    name: "log-reads-with-the-wrong-previous-term",
    file: "storage/wal-reader.ts",
    from: `const prevTerm = this.#index.termAt(from - 1);
      assert(`,
    to: `const prevTerm = this.#index.termAt(from);
      assert(`,
    why: "Where the term changes between two reads, a follower that is far behind contradicts the leader for ever.",
    seenBy: ["liveness", "log-matching"],
  },
  {
    name: "log-reads-unchecked",
    file: "storage/wal-reader.ts",
    from: `if (frame.kind !== "record" || checksum(bytes, frame, crc) !== frame.crc) {`,
    to: `if (frame.kind !== "record") {`,
    why: "A bit that turned on the leader's disk reaches the log of a follower that is far behind.",
    seenBy: ["log-matching", "state-hash"],
  },

  // The state store.
  {
    name: "flush-drops-what-came-during-it",
    file: "storage/overlay.ts",
    from: `for (const layer of this.#closed.splice(0, this.#flushing)) this.#closedBytes -= layer.bytes;`,
    to: `for (const layer of this.#closed.splice(0)) this.#closedBytes -= layer.bytes;`,
    why: "A layer that a snapshot closed while a flush ran is forgotten with the ones that the flush made durable.",
    seenBy: ["member", "state-hash", "linearizability"],
  },
  {
    name: "index-staged-before-its-effect",
    file: "src/state/apply.ts",
    from: `this.#backend.putAppliedIndex(entry.index);`,
    to: `this.#backend.putAppliedIndex(entry.index - 1);`,
    why: "The batch holds an entry's effect and the index of the one before: a restart applies the entry twice.",
    seenBy: ["state-hash", "revisions", "member", "durability"],
  },

  {
    name: "layer-closed-without-its-index",
    file: "storage/overlay.ts",
    from: `    if (open.appliedIndex !== undefined) open.rows.meta.set(CONSISTENT_INDEX, encodeUint64(open.appliedIndex));\n`,
    to: "",
    why: "The store holds effects and the index of an earlier flush: a restart applies entries twice.",
    seenBy: ["state-hash", "revisions", "member", "durability"],
  },

  // Keys and revisions.
  {
    name: "compaction-takes-one-too-many",
    file: "storage/mvcc/key-index.ts",
    from: `return newestUpTo(generation.revisions, target);`,
    to: `return newestUpTo(generation.revisions, target) + 1;`,
    why: "The version that a read at the compact revision finds is dropped, too.",
    seenBy: ["linearizability", "state-hash", "member", "hash-kv", "watch"],
  },
  {
    name: "compaction-takes-the-tombstone-at-its-revision",
    file: "storage/mvcc/key-index.ts",
    from: `  if (generation.closed && lastMain(generation) === target) return count - 1;\n`,
    to: `  if (generation.closed && lastMain(generation) === target) return count;\n`,
    why: "A watch from exactly the compact revision misses the deletes made there (C-2).",
    seenBy: ["watch", "state-hash", "hash-kv", "member"],
  },
  {
    name: "tombstone-before-its-puts",
    file: "storage/mvcc/key-index.ts",
    from: `removed(revisions[i * 2] as number, revisions[i * 2 + 1] as number, closed && i === count - 1);`,
    to: `removed(revisions[i * 2] as number, revisions[i * 2 + 1] as number, closed && i === take - 1);`,
    why: "The last row taken in a slice is taken for the tombstone: its put stays in the store, and a restart finds it.",
    seenBy: ["state-hash", "linearizability", "hash-kv", "member", "watch"],
  },
  {
    name: "re-created-key-keeps-its-age",
    file: "storage/mvcc/key-index.ts",
    from: `  return {
    createRevision: main,
    firstVersion: 1,`,
    to: `  return {
    createRevision: index.createRevision,
    firstVersion: 1,`,
    why: "A key that was deleted and put again has the create revision of its former life.",
    seenBy: ["linearizability"],
  },
  {
    name: "range-includes-its-end",
    file: "storage/mvcc/tree-index.ts",
    from: `(keys[count - 1] as string) >= to;`,
    to: `(keys[count - 1] as string) > to;`,
    why: "A range, or a delete, takes the key at its end along when that is the last of its leaf.",
    seenBy: ["linearizability", "revisions", "state-hash"],
  },
  {
    name: "read-at-the-compact-revision-refused",
    file: "src/state/range.ts",
    from: `if (revision < mvcc.compactRevision) return { kind: "error", error: errors.compacted };`,
    to: `if (revision <= mvcc.compactRevision) return { kind: "error", error: errors.compacted };`,
    why: "The compact revision itself is still to be read (C-1); when it is the current one, nothing can be read any more.",
    seenBy: ["linearizability", "serializable"],
  },
  {
    name: "history-forgets-the-last-change",
    file: "storage/mvcc/store.ts",
    from: `this.#recent.set(main, events.length);`,
    to: `this.#recent.set(main, Math.max(events.length - 1, 1));`,
    why: "A watcher that catches up misses the last change of a revision that has several.",
    seenBy: ["watch"],
  },
  {
    name: "previous-pair-is-the-new-one",
    file: "storage/mvcc/store.ts",
    from: `const before = revision.main - 1;`,
    to: `const before = revision.main;`,
    why: "Watchers with prev_kv get the pair after the event.",
    seenBy: ["watch"],
  },
  {
    name: "pinned-too-high",
    file: "src/services/sliced-reader.ts",
    from: `#held(selection.revision, context,`,
    to: `#held(this.#mvcc.currentRevision, context,`,
    why: "A read of an old revision that takes several turns loses what it reads to a compaction.",
    seenBy: ["linearizability", "member"],
  },
];
