import { EOS, HUFFMAN_CODE_BITS } from "./hpack-tables.ts";
import { ConnectionError, ErrorCode } from "./protocol.ts";

/**
 * The decoder is a machine over half bytes. A state is an inner node of the code's tree; no code is shorter than five
 * bits, so a step emits one symbol at most. An entry is `next state << 10 | symbol << 1 | emits`, or INVALID.
 */
const INVALID = -1;
const STEPS = 16;

interface Machine {
  readonly entries: Int32Array;
  /** States in which a string may end: at a symbol's end, or within the most significant bits of EOS (§5.2). */
  readonly final: Uint8Array;
}

const machine = buildMachine();

/** Most bytes that so many encoded ones can stand for. */
export function decodedBound(encodedBytes: number): number {
  return Math.floor((encodedBytes * 8) / 5) + 1;
}

/** Decodes to `out`, which has room for `decodedBound`; returns the bytes written. Throws ConnectionError. */
export function decodeHuffman(input: Buffer, start: number, end: number, out: Buffer): number {
  const { entries, final } = machine;
  let state = 0;
  let length = 0;
  for (let at = start; at < end; at++) {
    const byte = input[at] as number;
    let entry = entries[state * STEPS + (byte >>> 4)] as number;
    if (entry === INVALID) throw invalid();
    if ((entry & 1) !== 0) out[length++] = entry >>> 1;
    entry = entries[(entry >>> 10) * STEPS + (byte & 15)] as number;
    if (entry === INVALID) throw invalid();
    if ((entry & 1) !== 0) out[length++] = entry >>> 1;
    state = entry >>> 10;
  }
  if (final[state] === 0) throw invalid();
  return length;
}

function invalid(): ConnectionError {
  return new ConnectionError(ErrorCode.compressionError, "invalid Huffman code");
}

/** A child is an inner node's number, or the complement of a symbol. */
type Node = { zero: number | undefined; one: number | undefined };

function buildMachine(): Machine {
  const nodes: Node[] = [{ zero: undefined, one: undefined }];
  const symbols = HUFFMAN_CODE_BITS.map((bits, symbol) => ({ bits, symbol })).sort(
    (a, b) => a.bits - b.bits || a.symbol - b.symbol,
  );
  let code = 0;
  let length = 0;
  for (const { bits, symbol } of symbols) {
    code *= 2 ** (bits - length);
    length = bits;
    insert(nodes, code, bits, symbol);
    code++;
  }
  const entries = new Int32Array(nodes.length * STEPS).fill(INVALID);
  for (let state = 0; state < nodes.length; state++) {
    for (let step = 0; step < STEPS; step++) entries[state * STEPS + step] = walk(nodes, state, step);
  }
  return { entries, final: finalStates(nodes) };
}

function insert(nodes: Node[], code: number, bits: number, symbol: number): void {
  let at = 0;
  for (let bit = bits - 1; bit >= 0; bit--) {
    const side = (code >>> bit) & 1 ? "one" : "zero";
    const node = nodes[at];
    if (node === undefined) throw new Error("the Huffman tree has lost a node");
    if (bit === 0) {
      node[side] = ~symbol;
      return;
    }
    let next = node[side];
    if (next === undefined) {
      next = nodes.push({ zero: undefined, one: undefined }) - 1;
      node[side] = next;
    }
    at = next;
  }
}

function walk(nodes: readonly Node[], state: number, step: number): number {
  let at = state;
  let emitted = 0;
  for (let bit = 3; bit >= 0; bit--) {
    const next = (step >>> bit) & 1 ? nodes[at]?.one : nodes[at]?.zero;
    if (next === undefined || next === ~EOS) return INVALID;
    if (next < 0) {
      emitted = (~next << 1) | 1;
      at = 0;
    } else at = next;
  }
  return (at << 10) | emitted;
}

function finalStates(nodes: readonly Node[]): Uint8Array {
  const final = new Uint8Array(nodes.length);
  let at: number | undefined = 0;
  // Padding is shorter than a byte.
  for (let bits = 0; bits < 8 && at !== undefined && at >= 0; bits++) {
    final[at] = 1;
    at = nodes[at]?.one;
  }
  return final;
}
