/**
 * Memory that begins at a page, which a write past the page cache needs and a Buffer does not promise. The engine maps the
 * memory of WebAssembly by whole pages: that is all that is used of it. Nothing breaks where that is not so: the system
 * refuses the write, and the caller goes the longer way.
 */

export const AREA_BYTES = 1 << 20;
/** Of WebAssembly. */
const PAGE_BYTES = 1 << 16;

declare const WebAssembly:
  | { readonly Memory: new (size: { initial: number; maximum: number }) => { readonly buffer: ArrayBuffer } }
  | undefined;

/** Given back, for the next that asks: each costs much address space, so there are as many as are in use at a time. */
const idle: Buffer[] = [];

/** AREA_BYTES with any content; undefined when the engine has none (started without WebAssembly, out of address space). */
export function takeArea(): Buffer | undefined {
  const area = idle.pop();
  if (area !== undefined || typeof WebAssembly === "undefined") return area;
  const pages = AREA_BYTES / PAGE_BYTES;
  try {
    return Buffer.from(new WebAssembly.Memory({ initial: pages, maximum: pages }).buffer);
  } catch {
    // Environment: less address space than the engine wants to reserve. The longer way does without.
    return undefined;
  }
}

/** Nobody may write it or write from it any more. */
export function giveAreaBack(area: Buffer): void {
  idle.push(area);
}
