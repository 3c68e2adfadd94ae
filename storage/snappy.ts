/** Snappy's block format, as LevelDB compresses with it. Undefined when the bytes are none. */
export function snappyDecode(bytes: Buffer): Buffer | undefined {
  let at = 0;
  let length = 0;
  for (let shift = 0; ; shift += 7) {
    const byte = bytes[at++];
    if (byte === undefined || shift > 28) return undefined;
    length += (byte & 0x7f) * 2 ** shift;
    if (byte < 0x80) break;
  }
  // No element makes more than 64 bytes of two.
  if (length > 32 * bytes.length) return undefined;
  const out = Buffer.alloc(length);
  let done = 0;
  while (at < bytes.length) {
    const tag = bytes[at++] as number;
    const kind = tag & 3;
    if (kind === 0) {
      let count = tag >>> 2;
      if (count >= 60) {
        const width = count - 59;
        if (at + width > bytes.length) return undefined;
        count = bytes.readUIntLE(at, width);
        at += width;
      }
      count++;
      if (at + count > bytes.length || done + count > length) return undefined;
      bytes.copy(out, done, at, at + count);
      at += count;
      done += count;
      continue;
    }
    const width = kind === 3 ? 4 : kind;
    if (at + width > bytes.length) return undefined;
    const count = kind === 1 ? ((tag >>> 2) & 7) + 4 : (tag >>> 2) + 1;
    const back = kind === 1 ? ((tag >>> 5) << 8) | (bytes[at] as number) : bytes.readUIntLE(at, width);
    at += width;
    if (back === 0 || back > done || done + count > length) return undefined;
    // Byte for byte: a copy may reach into what it makes.
    for (let i = 0; i < count; i++, done++) out[done] = out[done - back] as number;
  }
  return done === length ? out : undefined;
}
