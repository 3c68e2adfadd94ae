import { type ChildProcess, execFile, spawn } from "node:child_process";
import { constants } from "node:fs";
import * as fs from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { nodeDisk } from "../../storage/node-disk.ts";
import { WalDamagedError } from "../../storage/wal.ts";
import { createWal, openWal } from "../../storage/wal-log.ts";
import { parseFrame } from "../../storage/wal-record.ts";
import { batch, entries, METADATA, NOTHING_APPLIED, SMALL, state, told } from "./wal-fixtures.ts";

let root: string;
const children: ChildProcess[] = [];

beforeEach(async () => {
  root = await fs.mkdtemp(join(tmpdir(), "quorate-disk-"));
});

afterEach(async () => {
  for (const child of children.splice(0)) child.kill("SIGKILL");
  await fs.rm(root, { recursive: true, force: true });
});

describe("the file system", () => {
  test("makes directories and files that others cannot read", async () => {
    await nodeDisk.makeDirectory(join(root, "a/b/c"));
    await nodeDisk.makeDirectory(join(root, "a/b/c"));
    const file = await nodeDisk.create(join(root, "a/b/c/file"));
    await file.close();
    expect((await fs.stat(join(root, "a/b"))).mode & 0o777).toBe(0o700);
    expect((await fs.stat(join(root, "a/b/c/file"))).mode & 0o777).toBe(0o600);
    await nodeDisk.syncDirectory(join(root, "a/b/c"));
  });

  test("lists in order, and nothing where nothing is", async () => {
    for (const name of ["b", "a10", "a9", "B"]) await fs.writeFile(join(root, name), "");
    expect(await nodeDisk.list(root)).toEqual(["B", "a10", "a9", "b"]);
    expect(await nodeDisk.list(join(root, "none"))).toEqual([]);
    expect(await nodeDisk.open(join(root, "none"))).toBeUndefined();
  });

  test("reads, writes and allocates by position", async () => {
    const file = await nodeDisk.create(join(root, "file"));
    await file.write(Buffer.from("hello"), 3);
    await file.allocate(3_000_000);
    await file.sync();
    expect(await file.size()).toBe(3_000_000);
    const stat = await fs.stat(join(root, "file"));
    expect(stat.blocks * 512).toBeGreaterThanOrEqual(3_000_000);
    const into = Buffer.alloc(10, 0xff);
    expect(await file.read(into, 2)).toBe(10);
    expect(into.toString("latin1")).toBe("\0hello\0\0\0\0");
    expect(await file.read(into, 2_999_996)).toBe(4);
    expect(await file.read(into, 3_000_000)).toBe(0);
    await file.allocate(10);
    expect(await file.size()).toBe(3_000_000);
    await file.close();
    const again = await nodeDisk.open(join(root, "file"));
    expect(await again?.read(into, 3)).toBe(10);
    await again?.close();
  });

  test.skipIf(process.platform !== "linux")("writes with O_DSYNC, whatever the file was called before", async () => {
    const file = await nodeDisk.create(join(root, "prepared"));
    await file.allocate(1 << 16);
    await nodeDisk.rename(join(root, "prepared"), join(root, "segment"));
    await file.writeSynced(Buffer.from("record"), 3);
    const flags: number[] = [];
    for (const fd of await fs.readdir("/proc/self/fd")) {
      const path = await fs.readlink(`/proc/self/fd/${fd}`).catch(() => undefined);
      if (path !== join(root, "segment")) continue;
      const info = await fs.readFile(`/proc/self/fdinfo/${fd}`, "utf8");
      flags.push(Number.parseInt(/^flags:\s*(\d+)/m.exec(info)?.[1] ?? "", 8));
    }
    expect(flags.map((flag) => (flag & constants.O_DSYNC) !== 0).sort()).toEqual([false, true]);
    await file.close();
    expect((await fs.readFile(join(root, "segment"))).subarray(0, 10).toString()).toBe("\0\0\0record\0");
    await expect(file.writeSynced(Buffer.from("late"), 0)).rejects.toThrow(/^write and sync at 0 of .*prepared/);
  });

  test("renames over what is there and removes", async () => {
    await fs.writeFile(join(root, "from"), "new");
    await fs.writeFile(join(root, "to"), "old");
    await nodeDisk.rename(join(root, "from"), join(root, "to"));
    expect(await fs.readFile(join(root, "to"), "utf8")).toBe("new");
    await nodeDisk.remove(join(root, "to"));
    expect(await nodeDisk.list(root)).toEqual([]);
  });

  test("names operation, path and code when it refuses", async () => {
    await fs.writeFile(join(root, "taken"), "");
    await expect(nodeDisk.create(join(root, "taken"))).rejects.toMatchObject({ code: "EEXIST" });
    await expect(nodeDisk.create(join(root, "taken"))).rejects.toThrow(/^create .*taken: EEXIST/);
    await expect(nodeDisk.list(join(root, "taken"))).rejects.toThrow(/^list .*taken: ENOTDIR/);
    await expect(nodeDisk.remove(join(root, "none"))).rejects.toThrow(/^remove .*none: ENOENT/);
    const file = await nodeDisk.create(join(root, "closed"));
    await file.close();
    await expect(file.sync()).rejects.toThrow(/^fdatasync .*closed/);
  });
});

describe("the lock", () => {
  const module = new URL("../../storage/node-disk.ts", import.meta.url).href;

  /** A process that tries to lock the path and says how it went; it lives until it is killed. */
  function contender(path: string): { readonly child: ChildProcess; readonly said: Promise<string> } {
    const script = `import(${JSON.stringify(module)})
      .then((m) => m.nodeDisk.lock(${JSON.stringify(path)}))
      .then(() => console.log("held"), (error) => console.log(error.message));
      setInterval(() => {}, 1000);`;
    const child = spawn(process.execPath, ["--import", "tsx", "-e", script], { stdio: ["ignore", "pipe", "inherit"] });
    children.push(child);
    const said = new Promise<string>((resolve, reject) => {
      child.stdout.once("data", (chunk: Buffer) => resolve(chunk.toString().trim()));
      child.once("exit", (code) => reject(new Error(`ended with ${code}`)));
    });
    return { child, said };
  }

  async function kill(child: ChildProcess): Promise<void> {
    const ended = new Promise((resolve) => child.once("exit", resolve));
    child.kill("SIGKILL");
    await ended;
  }

  test("holds until it is released", async () => {
    const path = join(root, "lock");
    const lock = await nodeDisk.lock(path);
    await expect(nodeDisk.lock(path)).rejects.toThrow(`this very process (${process.pid}) holds it already`);
    await lock.release();
    expect(await fs.readdir(root)).toEqual([]);
    await (await nodeDisk.lock(path)).release();
  });

  test("keeps another process out while it lives, and not after it was killed", async () => {
    const path = join(root, "lock");
    const { child, said } = contender(path);
    expect(await said).toBe("held");
    await expect(nodeDisk.lock(path)).rejects.toThrow(`process ${child.pid} holds it: stop that process`);
    await kill(child);
    const lock = await nodeDisk.lock(path);
    expect(await nodeDisk.list(root)).toHaveLength(1);
    await lock.release();
    expect(await nodeDisk.list(root)).toEqual([]);
  });

  test("takes over from an earlier boot, a process id used again, one that is free, and another namespace", async () => {
    const path = join(root, "lock");
    const own = await nodeDisk.lock(path);
    const [name] = (await nodeDisk.list(root)) as [string];
    await own.release();
    const [bootId, namespace, pid, startTime] = name.slice("lock.".length).split("-") as [
      string,
      string,
      string,
      string,
    ];
    const parent = process.ppid;
    for (const stale of [
      `0123-${namespace}-${parent}-${startTime}`,
      `${bootId}-${namespace}-${parent}-1`,
      `${bootId}-${namespace}-${2 ** 22 + 1}-${startTime}`,
      `${bootId}-12345-${pid}-${startTime}`,
    ]) {
      await fs.writeFile(`${path}.${stale}`, "");
      await (await nodeDisk.lock(path)).release();
      expect(await nodeDisk.list(root)).toEqual([]);
    }
    await fs.writeFile(`${path}.md`, "not a claim");
    await (await nodeDisk.lock(path)).release();
    expect(await nodeDisk.list(root)).toEqual(["lock.md"]);
  });

  test("goes to exactly one of several that come at once after its holder was killed", async () => {
    const path = join(root, "lock");
    const first = contender(path);
    expect(await first.said).toBe("held");
    await kill(first.child);
    const answers = await Promise.all(Array.from({ length: 4 }, () => contender(path).said));
    expect(answers.filter((answer) => answer === "held")).toHaveLength(1);
    expect(answers.filter((answer) => answer.includes("holds it: stop that process"))).toHaveLength(3);
  });
});

describe("a log on it", () => {
  test("comes back after a restart, cut at any byte of its last record, and not when a byte changed", async () => {
    const directory = join(root, "member/wal");
    const wal = await createWal(nodeDisk, directory, METADATA, batch(entries(1, 3, 1), state(1, 1)), SMALL);
    for (let i = 4; i <= 20; i++) await wal.append(batch(entries(i, 1, 1, 400), state(1, i - 1)));
    expect((await wal.read(2, 15, 1e9))?.entries).toHaveLength(14);
    await wal.close();
    const names = await nodeDisk.list(directory);
    expect(names.length).toBeGreaterThan(2);
    const path = join(directory, names.at(-1) as string);
    const content = await fs.readFile(path);
    let start = 0;
    let end = 0;
    for (let at = 0; ; at = end) {
      const frame = parseFrame(content, at, content.length);
      if (frame.kind !== "record") break;
      start = at;
      end = frame.end;
    }
    const expected = told({
      entries: [...entries(1, 3, 1), ...Array.from({ length: 17 }, (_, i) => entries(4 + i, 1, 1, 400)).flat()],
      hardState: state(1, 18),
    });
    for (let at = start; at < end; at++) {
      await fs.writeFile(path, content.subarray(0, at));
      const replay = await openWal(nodeDisk, directory, NOTHING_APPLIED, SMALL);
      expect(replay && told(replay)).toEqual(expected);
      expect((await fs.stat(path)).size).toBe(content.length);
      await replay?.wal.close();
    }
    for (let at = 0; at < end; at += 13) {
      const changed = Buffer.from(content);
      changed[at] = (changed[at] as number) ^ 4;
      await fs.writeFile(path, changed);
      await expect(openWal(nodeDisk, directory, NOTHING_APPLIED, SMALL)).rejects.toThrow(WalDamagedError);
      expect((await fs.readFile(path)).equals(changed)).toBe(true);
    }
  });
});

const etcd = await findEtcd();
if (etcd === undefined) console.warn("SKIPPED: no etcd in ETCD_BIN or PATH, so no log of a real one is replayed");

describe.skipIf(etcd === undefined)("a log that etcd wrote", () => {
  test("is replayed, gone on with, and read by etcd again", async () => {
    const dataDir = join(root, "data");
    const directory = join(dataDir, "member/wal");
    const ports = await freePorts(2);
    const client = `http://127.0.0.1:${ports[0]}`;
    const options = { segmentBytes: 64_000_000 };
    await withEtcd(dataDir, client, `http://127.0.0.1:${ports[1]}`, async () => {
      for (let i = 0; i < 20; i++) await etcdctl(client, "put", `key${i}`, `value${i}`);
    });
    const replay = await openWal(nodeDisk, directory, NOTHING_APPLIED, options);
    if (replay === undefined) throw new Error("etcd wrote no log");
    expect(replay.tornBytes).toBe(0);
    expect(replay.start).toEqual({ index: 0, term: 0 });
    expect(replay.hardState.commit).toBe(replay.wal.lastIndex);
    const puts = replay.entries.filter(({ data }) => Buffer.from(data).includes("key"));
    expect(puts).toHaveLength(20);
    const { term } = replay.hardState;
    const hardState = { ...replay.hardState, commit: replay.wal.lastIndex };
    const last = replay.wal.lastIndex;
    await replay.wal.append(batch([{ type: 0, term, index: last + 1, data: Buffer.alloc(0) }], hardState));
    await replay.wal.append(batch([{ type: 0, term, index: last + 2, data: Buffer.alloc(0) }], hardState));
    await replay.wal.close();

    await withEtcd(dataDir, client, `http://127.0.0.1:${ports[1]}`, async () => {
      expect(await etcdctl(client, "get", "key7", "--print-value-only")).toBe("value7\n");
      await etcdctl(client, "put", "after", "all");
    });
    const again = await openWal(nodeDisk, directory, { index: last, term }, options);
    expect(again?.before).toEqual({ index: last, term });
    expect(again?.entries[0]).toMatchObject({ index: last + 1, term });
    expect(again?.entries.some(({ data }) => Buffer.from(data).includes("after"))).toBe(true);
    await again?.wal.close();
  });
});

async function findEtcd(): Promise<string | undefined> {
  const named = process.env["ETCD_BIN"];
  if (named !== undefined) return named;
  for (const directory of (process.env["PATH"] ?? "").split(":")) {
    const path = join(directory, "etcd");
    const found = await fs.access(path, fs.constants.X_OK).then(
      () => true,
      () => false,
    );
    if (found) return path;
  }
  return undefined;
}

async function etcdctl(endpoint: string, ...args: string[]): Promise<string> {
  const { stdout } = await promisify(execFile)(`${etcd}ctl`, ["--endpoints", endpoint, ...args]);
  return stdout;
}

async function withEtcd(dataDir: string, client: string, peer: string, use: () => Promise<void>): Promise<void> {
  const child = spawn(
    etcd as string,
    [
      ["--data-dir", dataDir],
      ["--listen-client-urls", client],
      ["--advertise-client-urls", client],
      ["--listen-peer-urls", peer],
      ["--initial-advertise-peer-urls", peer],
      ["--initial-cluster", `default=${peer}`],
    ].flat(),
    { stdio: ["ignore", "ignore", "pipe"] },
  );
  children.push(child);
  const log: string[] = [];
  child.stderr.on("data", (chunk: Buffer) => log.push(chunk.toString()));
  const ended = new Promise<void>((resolve) => child.once("exit", () => resolve()));
  try {
    for (let attempt = 0; ; attempt++) {
      try {
        await etcdctl(client, "endpoint", "health");
        break;
      } catch (error) {
        if (attempt === 20 || child.exitCode !== null) throw new Error(log.join(""), { cause: error });
        await new Promise((resolve) => setTimeout(resolve, 250));
      }
    }
    await use();
  } finally {
    child.kill("SIGTERM");
    await ended;
  }
}

async function freePorts(count: number): Promise<number[]> {
  const servers = Array.from({ length: count }, () => createServer());
  const ports: number[] = [];
  for (const server of servers) {
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const address = server.address();
    if (address !== null && typeof address === "object") ports.push(address.port);
  }
  for (const server of servers) await new Promise((resolve) => server.close(resolve));
  return ports;
}
