import { crc32c } from "./crc32c.ts";

/**
 * What stands in LevelDB for a value: the value, then the CRC-32C of key and value. LevelDB checks its blocks when it is
 * told to, but not those that its compactions read, and the binding has no way to tell it: what has rotted in a block is
 * written anew, with a right checksum, and is found by none of its checks from then on. A row's own checksum goes along.
 */
const CHECK_BYTES = 4;

export function sealed(key: Uint8Array, value: Uint8Array): Buffer {
  const out = Buffer.allocUnsafe(value.length + CHECK_BYTES);
  out.set(value);
  out.writeUInt32LE(crc32c(value, crc32c(key)), value.length);
  return out;
}

/** The value (a view); undefined when these are not the key and value that were put. */
export function unsealed(key: Uint8Array, stored: Buffer): Buffer | undefined {
  const length = stored.length - CHECK_BYTES;
  if (length < 0) return undefined;
  const value = stored.subarray(0, length);
  return crc32c(value, crc32c(key)) === stored.readUInt32LE(length) ? value : undefined;
}
