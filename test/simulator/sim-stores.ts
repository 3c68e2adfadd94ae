import { createMemoryBackend, type MemoryBackend, type MemoryBackendOptions } from "../../storage/memory-backend.ts";
import type { MemoryDisk } from "../storage/memory-disk.ts";

/**
 * The state stores of one machine. A store's directory on the simulated disk holds nothing but its number; so names and
 * directories are moved, removed and lost in a crash as those of any other files are.
 */
export class SimStores {
  readonly #stores = new Map<number, MemoryBackend>();

  /** Opens the store in a directory, or makes one. Whoever had it open before is dead. */
  async open(disk: MemoryDisk, path: string, hooks: MemoryBackendOptions): Promise<MemoryBackend> {
    const number = (await numberIn(disk, path)) ?? (await this.#create(disk, path));
    const known = this.#stores.get(number);
    const store = known === undefined ? createMemoryBackend(hooks) : known.crash(hooks);
    this.#stores.set(number, store);
    return store;
  }

  async #create(disk: MemoryDisk, path: string): Promise<number> {
    const number = this.#stores.size + 1;
    this.#stores.set(number, createMemoryBackend());
    await disk.makeDirectory(path);
    const name = `${path}/NUMBER`;
    const file = (await disk.open(name)) ?? (await disk.create(name));
    const bytes = Buffer.alloc(4);
    bytes.writeUInt32BE(number);
    await file.write(bytes, 0);
    await file.sync();
    await file.close();
    await disk.syncDirectory(path);
    return number;
  }
}

async function numberIn(disk: MemoryDisk, path: string): Promise<number | undefined> {
  const file = await disk.open(`${path}/NUMBER`);
  if (file === undefined) return undefined;
  const bytes = Buffer.alloc(4);
  const read = await file.read(bytes, 0);
  await file.close();
  // A crash while it was made: nothing was ever put into it.
  return read === 4 && bytes.readUInt32BE() !== 0 ? bytes.readUInt32BE() : undefined;
}
