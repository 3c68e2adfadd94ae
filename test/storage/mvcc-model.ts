import { encode } from "../../proto/codec.ts";
import { KeyValue } from "../../proto/generated/mvccpb.ts";
import { crc32c } from "../../storage/crc32c.ts";
import { revisionKey, tombstoneKey } from "../../storage/schema.ts";

/** One stored row; the model is nothing but the list of all of them, and every question is answered by a scan. */
export interface ModelRow {
  readonly main: number;
  readonly sub: number;
  readonly key: string;
  readonly type: "put" | "delete";
  readonly createRevision: number;
  readonly version: number;
  readonly lease: bigint;
  readonly kv: Uint8Array;
}

export interface Model {
  readonly rows: readonly ModelRow[];
  readonly revision: number;
  readonly compactRevision: number;
}

export const EMPTY_MODEL: Model = { rows: [], revision: 1, compactRevision: -1 };

export type Op =
  | { readonly kind: "put"; readonly key: string; readonly value: string; readonly lease: bigint }
  | { readonly kind: "deleteRange"; readonly key: string; readonly end: string };

function inRange(candidate: string, key: string, end: string): boolean {
  if (end === "") return candidate === key;
  return candidate >= key && (end === "\0" || candidate < end);
}

/** The newest row of each key as of a revision, tombstones included. */
function newest(model: Model, revision: number): Map<string, ModelRow> {
  const found = new Map<string, ModelRow>();
  for (const row of model.rows) if (row.main <= revision) found.set(row.key, row);
  return found;
}

export function liveRows(model: Model, key: string, end: string, revision: number): ModelRow[] {
  return [...newest(model, revision).values()]
    .filter((row) => row.type === "put" && inRange(row.key, key, end))
    .sort((a, b) => (a.key < b.key ? -1 : 1));
}

export function change(model: Model, ops: readonly Op[]): Model {
  const main = model.revision + 1;
  let next: Model = model;
  let sub = 0;
  const add = (row: Omit<ModelRow, "main" | "sub">) => {
    next = { ...next, rows: [...next.rows, { ...row, main, sub: sub++ }] };
  };
  for (const op of ops) {
    if (op.kind === "put") {
      const before = liveRows(next, op.key, "", main)[0];
      const createRevision = before?.createRevision ?? main;
      const version = (before?.version ?? 0) + 1;
      const { key, lease } = op;
      const value = Buffer.from(op.value);
      const kv = encode(KeyValue, { key, createRevision, modRevision: main, version, value, lease });
      add({ key, type: "put", createRevision, version, lease, kv });
    } else {
      for (const { key } of liveRows(next, op.key, op.end, main)) {
        const kv = encode(KeyValue, KeyValue.create({ key, modRevision: main }));
        add({ key, type: "delete", createRevision: 0, version: 0, lease: 0n, kv });
      }
    }
  }
  return sub === 0 ? model : { ...next, revision: main };
}

export function compacted(model: Model, revision: number): Model {
  return { ...model, compactRevision: revision };
}

/** What a finished compaction leaves (C-2). */
export function keptRows(model: Model): ModelRow[] {
  const at = model.compactRevision;
  const last = newest(model, at);
  return model.rows.filter(
    (row) => row.main > at || (row.type === "put" ? last.get(row.key) === row : row.main === at),
  );
}

/** HashKV as contract N-4 words it, over what a finished compaction leaves. */
export function modelHashKv(model: Model, revision: number): number {
  const keep = new Set(liveRows(model, "\0", "\0", revision));
  let sum = crc32c(Buffer.from("key"));
  for (const row of keptRows(model)) {
    if (row.main > revision) continue;
    if (row.main <= model.compactRevision && keep.size > 0 && !keep.has(row)) continue;
    if (row.main === model.compactRevision && row.type === "delete") continue;
    sum = crc32c(storedValue(row), crc32c(Buffer.from(storedKeyOf(row), "latin1"), sum));
  }
  return sum;
}

export function storedKeyOf({ type, main, sub }: ModelRow): string {
  return type === "put" ? revisionKey(main, sub) : tombstoneKey(main, sub);
}

export function storedValue({ type, key, kv }: ModelRow): Uint8Array {
  return type === "put" ? kv : encode(KeyValue, KeyValue.create({ key }));
}
