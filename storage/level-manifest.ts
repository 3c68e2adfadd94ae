/**
 * Which of the files in a directory are the store, as LevelDB's newest MANIFEST has it (doc/impl.md of its sources). What
 * else is there a crash has left; LevelDB deletes it. Where the file that names the MANIFEST is missing it deletes all,
 * and begins a new store: so that must never be opened.
 */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { type Damage, damageOfLog, damageOfTable, levelNames, logRecords } from "./level-files.ts";

/** What is wrong with which file. */
export class LevelDamagedError extends Error {
  override readonly name = "LevelDamagedError";

  constructor(file: string, offset: number | undefined, what: string) {
    super(`${file}${offset === undefined ? "" : ` at offset ${offset}`}: ${what}`);
  }
}

/** Names of the files that an open uses, besides CURRENT. */
export interface LevelFiles {
  readonly manifest: string;
  readonly tables: readonly string[];
  readonly logs: readonly string[];
}

/** Undefined when there is no store in the directory yet. Throws LevelDamagedError; changes nothing. */
export async function levelFiles(directory: string): Promise<LevelFiles | undefined> {
  const names = await levelNames(directory);
  const contents = names.filter((name) => /^\d+\.(ldb|sst|log)$/.test(name)).sort();
  if (!names.includes("CURRENT")) {
    // LevelDB would begin a new store here, and delete what is left of this one.
    if (contents.length > 0) throw new LevelDamagedError("CURRENT", undefined, "the file is missing");
    return undefined;
  }
  const manifest = (await read(directory, "CURRENT")).toString("latin1").trimEnd();
  if (!/^MANIFEST-\d+$/.test(manifest)) throw new LevelDamagedError("CURRENT", 0, "it names no MANIFEST");
  if (!names.includes(manifest)) throw new LevelDamagedError(manifest, undefined, "the file is missing");
  const version = readManifest(manifest, await read(directory, manifest));
  const numberOf = (name: string): number => Number.parseInt(name, 10);
  const tables = contents.filter((name) => !name.endsWith(".log") && version.tables.has(numberOf(name)));
  const missing = (name: string): LevelDamagedError =>
    version.tornAt === undefined
      ? new LevelDamagedError(name, undefined, "the file is missing")
      : new LevelDamagedError(
          manifest,
          version.tornAt,
          `a change that cannot be read, and without it ${name} is missing`,
        );
  for (const number of version.tables) {
    if (tables.some((name) => numberOf(name) === number)) continue;
    throw missing(`${String(number).padStart(6, "0")}.ldb`);
  }
  // The last change of a MANIFEST may be torn: then all is there that the one before names. One that rotted looks the same,
  // but what it had replaced is gone.
  const hasLog = contents.some((name) => name.endsWith(".log") && numberOf(name) === version.log);
  if (version.log !== 0 && !hasLog) {
    throw missing(`${String(version.log).padStart(6, "0")}.log`);
  }
  if (version.log === 0 && (await hasContent(directory, contents))) {
    throw new LevelDamagedError(manifest, version.tornAt, "it lists none of the files that are here");
  }
  const logs = contents.filter(
    (name) => name.endsWith(".log") && (numberOf(name) >= version.log || numberOf(name) === version.previousLog),
  );
  return { manifest, tables, logs };
}

async function hasContent(directory: string, names: readonly string[]): Promise<boolean> {
  for (const name of names) if ((await read(directory, name)).length > 0) return true;
  return false;
}

/**
 * Of the tables of a store that is open the first that is damaged. They come and go meanwhile, and some are not written to
 * the end: only what the MANIFEST lists after it was found damaged, and still is, counts.
 */
export async function damageInUse(directory: string, isWanted: () => boolean): Promise<Damage | undefined> {
  for (const file of (await levelNames(directory)).filter((name) => /^\d+\.(ldb|sst)$/.test(name))) {
    if (!isWanted()) return undefined;
    if ((await damageOfFile(directory, file)) === undefined || !(await isListed(directory, file))) continue;
    const offset = await damageOfFile(directory, file);
    if (offset !== undefined) return { file, offset };
  }
  return undefined;
}

async function damageOfFile(directory: string, name: string): Promise<number | undefined> {
  try {
    return damageOfTable(await read(directory, name));
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return undefined;
    throw error;
  }
}

async function isListed(directory: string, name: string): Promise<boolean> {
  try {
    return (await levelFiles(directory))?.tables.includes(name) === true;
  } catch (error) {
    // Files and MANIFEST were looked at one after the other, while they changed: the next look tells.
    if (error instanceof LevelDamagedError) return false;
    throw error;
  }
}

function read(directory: string, name: string): Promise<Buffer> {
  return readFile(join(directory, name));
}

interface Version {
  readonly tables: ReadonlySet<number>;
  readonly log: number;
  readonly previousLog: number;
  /** Where the last change begins, if it is torn. */
  readonly tornAt: number | undefined;
}

/** What the changes that a MANIFEST lists come to. */
function readManifest(file: string, bytes: Buffer): Version {
  const tables = new Set<number>();
  let log = 0;
  let previousLog = 0;
  const damage = damageOfLog(bytes, true);
  if (damage !== undefined) throw new LevelDamagedError(file, damage, "a record that cannot be read");
  const { records, end } = logRecords(bytes);
  for (const { offset, data } of records) {
    const cursor = new Cursor(data, 0, data.length);
    const number = (): number => {
      const value = cursor.varint();
      if (value === undefined) throw new LevelDamagedError(file, offset, "a change that cannot be read");
      return value;
    };
    const skip = (): void => {
      const length = number();
      cursor.at += length;
    };
    while (cursor.at < data.length) {
      const tag = number();
      switch (tag) {
        case 1: // the comparator's name
          skip();
          break;
        case 2:
          log = number();
          break;
        case 3: // the next file's number
        case 4: // the last sequence
          number();
          break;
        case 5: // where a compaction stands
          number();
          skip();
          break;
        case 6:
          number();
          tables.delete(number());
          break;
        case 7: {
          number();
          tables.add(number());
          number();
          skip();
          skip();
          break;
        }
        case 9:
          previousLog = number();
          break;
        default:
          throw new LevelDamagedError(file, offset, `a change of the unknown kind ${tag}`);
      }
    }
  }
  return { tables, log, previousLog, tornAt: end < bytes.length ? end : undefined };
}

class Cursor {
  readonly #bytes: Buffer;
  readonly #end: number;
  at: number;

  constructor(bytes: Buffer, at: number, end: number) {
    this.#bytes = bytes;
    this.at = at;
    this.#end = end;
  }

  /** Undefined when it does not end, or is beyond the safe integers. */
  varint(): number | undefined {
    let value = 0;
    for (let factor = 1; factor <= 2 ** 49 && this.at < this.#end; factor *= 128) {
      const byte = this.#bytes[this.at++] as number;
      value += (byte & 0x7f) * factor;
      if (byte < 0x80) return Number.isSafeInteger(value) ? value : undefined;
    }
    return undefined;
  }
}
