/** One chunk of HTTP/1.1's chunked coding, around data that lies in its buffer already. */
import { assert } from "../../raft/assert.ts";

/** Eight digits and a line's end: what stands in front of the data of any buffer that there can be. */
export const CHUNK_HEAD_BYTES = 10;
export const CHUNK_TAIL_BYTES = 2;

const CR = 13;
const LF = 10;

/**
 * `buffer` has CHUNK_HEAD_BYTES in front of the data and CHUNK_TAIL_BYTES behind it. Gives the part of it that is the
 * chunk. The data is not empty: an empty chunk would end the body.
 */
export function asChunk(buffer: Buffer): Buffer {
  const end = buffer.length - CHUNK_TAIL_BYTES;
  const size = end - CHUNK_HEAD_BYTES;
  assert(size > 0, "a chunk has data");
  buffer[end] = CR;
  buffer[end + 1] = LF;
  let at = CHUNK_HEAD_BYTES;
  buffer[--at] = LF;
  buffer[--at] = CR;
  for (let rest = size; rest > 0; rest = Math.floor(rest / 16)) buffer[--at] = hexDigit(rest % 16);
  return buffer.subarray(at);
}

function hexDigit(value: number): number {
  return value < 10 ? 48 + value : 87 + value;
}
