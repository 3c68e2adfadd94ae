/**
 * Memory that begins at a page, which a write past the page cache needs and a Buffer does not promise. The engine maps the
 * memory of WebAssembly by whole pages: that is all that is used of it. Nothing breaks where that is not so: the system
 * refuses the write, and the caller goes the longer way.
 */
import { assert } from "../raft/assert.ts";

/** Of WebAssembly. */
const PAGE_BYTES = 1 << 16;
/** Room for the largest group of batches that the log writes at once, wherever in a block it begins. What is not touched costs no memory. */
const AREA_BYTES = (4 << 20) + PAGE_BYTES;

declare const WebAssembly:
  | { readonly Memory: new (size: { initial: number; maximum: number }) => { readonly buffer: ArrayBuffer } }
  | undefined;

/** Given back, for the next that asks: each costs much address space, so there are as many as are in use at a time. */
const idle: Buffer[] = [];
let isRefused = false;

/** AREA_BYTES with any content; undefined when the engine has none (started without WebAssembly, out of address space). */
export function takeArea(): Buffer | undefined {
  const area = idle.pop();
  if (area !== undefined || isRefused || typeof WebAssembly === "undefined") return area;
  const pages = AREA_BYTES / PAGE_BYTES;
  try {
    return Buffer.from(new WebAssembly.Memory({ initial: pages, maximum: pages }).buffer);
  } catch {
    // Environment: less address space than the engine wants to reserve. The longer way does without, and asking takes long.
    isRefused = true;
    return undefined;
  }
}

/** Nobody may write it or write from it any more. */
export function giveAreaBack(area: Buffer): void {
  assert(!idle.includes(area), "memory was given back twice");
  idle.push(area);
}
