/** What happened, as a hash that two runs of a seed must share, and the last lines for whoever asks why. */

interface Line {
  readonly time: number;
  readonly who: string;
  readonly kind: string;
  readonly detail: string;
}

const timeBits = new Float64Array(1);
const timeWords = new Int32Array(timeBits.buffer);

const KEPT_LINES = 4_000;

export class Trace {
  #a = 0x243f6a88;
  #b = 0x85a308d3;
  readonly #names = new Map<string, number>();
  readonly #lines: Line[] = [];
  #at = 0;
  /** Given every line as it comes; undefined: nobody reads along. */
  onLine: ((line: string) => void) | undefined;

  /** An event of the world. */
  event(time: number, who: string, kind: string, hash: number): void {
    this.#mix(time, who, kind, hash);
    if (this.onLine !== undefined)
      this.onLine(format({ time, who, kind, detail: hash === 0 ? "" : hash.toString(16) }));
  }

  /** Something worth telling when the run fails: faults, elections, answers. */
  note(time: number, who: string, kind: string, detail: string): void {
    this.#mix(time, who, kind, hashText(detail));
    this.say(time, who, kind, detail);
  }

  /** For readers alone: not part of the hash. */
  say(time: number, who: string, kind: string, detail: string): void {
    const line: Line = { time, who, kind, detail };
    if (this.onLine !== undefined) this.onLine(format(line));
    this.#lines[this.#at] = line;
    this.#at = (this.#at + 1) % KEPT_LINES;
  }

  last(count: number): string[] {
    const ordered = [...this.#lines.slice(this.#at), ...this.#lines.slice(0, this.#at)];
    return ordered.slice(-count).map(format);
  }

  get hash(): string {
    return (this.#a >>> 0).toString(16).padStart(8, "0") + (this.#b >>> 0).toString(16).padStart(8, "0");
  }

  #mix(time: number, who: string, kind: string, hash: number): void {
    let a = this.#a;
    let b = this.#b;
    timeBits[0] = time;
    a = Math.imul(a ^ (timeWords[0] as number), 0x9e3779b1);
    b = Math.imul(b ^ (timeWords[1] as number) ^ this.#code(who), 0x85ebca77);
    a = Math.imul((a ^ (a >>> 15) ^ this.#code(kind)) | 0, 0xc2b2ae3d);
    b = Math.imul((b ^ (b >>> 13) ^ hash) | 0, 0x27d4eb2f);
    this.#a = (a ^ (b >>> 16)) | 0;
    this.#b = (b ^ (a >>> 17)) | 0;
  }

  #code(name: string): number {
    let code = this.#names.get(name);
    if (code === undefined) {
      code = hashText(name);
      this.#names.set(name, code);
    }
    return code;
  }
}

export function hashBytes(bytes: Uint8Array): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < bytes.length; i++) hash = Math.imul(hash ^ (bytes[i] as number), 0x01000193);
  return hash | 0;
}

export function hashText(text: string): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193);
  return hash | 0;
}

function format({ time, who, kind, detail }: Line): string {
  return `${time.toFixed(3).padStart(12)} ${who.padEnd(8)} ${kind}${detail === "" ? "" : ` ${detail}`}`;
}
