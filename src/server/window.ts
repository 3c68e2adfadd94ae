/**
 * How much of the applied log stays in memory for followers: the newest `maxEntries` entries and `maxBytes` of data,
 * whichever is less. Kept in marks of a few hundred entries, so a trim drops many at once and costs little.
 */
const MARK_ENTRIES = 256;

export function createWindow(
  maxEntries: number,
  maxBytes: number,
): {
  applied(index: number, bytes: number): void;
  /** The index up to which raft may forget entries; undefined when nothing new is to be forgotten. */
  trimTo(): number | undefined;
} {
  /** Last index of each mark and the bytes in it, oldest first; the last mark is still open. */
  const marks: { last: number; bytes: number; count: number }[] = [];
  let totalBytes = 0;
  let totalEntries = 0;
  return {
    applied(index, bytes) {
      const open = marks.at(-1);
      if (open === undefined || open.count >= MARK_ENTRIES || open.bytes >= maxBytes / 8) {
        marks.push({ last: index, bytes, count: 1 });
      } else {
        open.last = index;
        open.bytes += bytes;
        open.count++;
      }
      totalBytes += bytes;
      totalEntries++;
    },
    trimTo() {
      let trim: number | undefined;
      while (marks.length > 1 && (totalEntries > maxEntries || totalBytes > maxBytes)) {
        const oldest = marks.shift();
        if (oldest === undefined) break;
        totalBytes -= oldest.bytes;
        totalEntries -= oldest.count;
        trim = oldest.last;
      }
      return trim;
    },
  };
}
