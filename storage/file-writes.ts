import { write } from "node:fs";

/** One write of the system, which may take less; resolves to the bytes taken. */
export function writeSome(fd: number, from: Uint8Array, offset: number, position: number): Promise<number> {
  return new Promise((resolve, reject) => {
    write(fd, from, offset, from.length - offset, position, (error, bytes) => {
      if (error !== null) reject(error);
      else if (bytes === 0) reject(new Error(`wrote ${offset} of ${from.length} bytes`));
      else resolve(bytes);
    });
  });
}

export async function writeAll(fd: number, from: Uint8Array, position: number): Promise<void> {
  for (let done = 0; done < from.length; ) done += await writeSome(fd, from, done, position + done);
}
