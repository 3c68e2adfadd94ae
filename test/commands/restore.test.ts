import { createHash } from "node:crypto";
import { cp, mkdir, mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { encode } from "../../proto/codec.ts";
import { KeyValue } from "../../proto/generated/mvccpb.ts";
import { commands } from "../../src/commands/commands.ts";
import { type Config, parseConfig } from "../../src/config.ts";
import { PeerCallError } from "../../src/peer/transport.ts";
import { bootstrap } from "../../src/server/bootstrap.ts";
import type { Backend } from "../../storage/backend.ts";
import { planBolt, writeBolt } from "../../storage/bbolt/writer.ts";
import type { Disk } from "../../storage/disk.ts";
import { openLevelBackend } from "../../storage/level-backend.ts";
import { createMemoryBackend } from "../../storage/memory-backend.ts";
import { nodeDisk, readOnlyNodeDisk } from "../../storage/node-disk.ts";
import { CONF_STATE, CONSISTENT_INDEX, encodeUint64, memberKey, revisionKey, TERM } from "../../storage/schema.ts";
import { memberJson } from "../../storage/stored-json.ts";

const ROWS = 500;
const PEERS = "a=http://127.0.0.1:1,b=http://127.0.0.1:2";

let root: string;
let file: string;
let bytes: Buffer;
let out: string;
let err: string;
let interrupt: AbortController;
let disk: Disk;
let openBackend: (path: string) => Promise<Backend>;

beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), "quorate-restore-"));
  file = join(root, "saved.db");
  const backend = createMemoryBackend();
  for (let i = 0; i < ROWS; i++) {
    const kv = { key: `k${i % 300}`, value: Buffer.alloc(200, i), version: 1, lease: 0n };
    const pair = KeyValue.create({ ...kv, createRevision: i + 2, modRevision: i + 2 });
    backend.put("key", revisionKey(i + 2, 0), encode(KeyValue, pair));
  }
  backend.put("meta", CONSISTENT_INDEX, encodeUint64(1_000));
  backend.put("meta", TERM, encodeUint64(9));
  backend.put("meta", CONF_STATE, Buffer.from('{"voters":[7],"auto_leave":false}'));
  const record = { id: 7n, name: "old", peerURLs: ["http://old:1"], clientURLs: ["http://old:2"], isLearner: false };
  backend.put("members", memberKey(7n), Buffer.from(memberJson(record)));
  const snapshot = backend.snapshot();
  const chunks: Buffer[] = [];
  for await (const chunk of writeBolt(await planBolt(snapshot), snapshot)) chunks.push(Buffer.from(chunk));
  const data = Buffer.concat(chunks);
  bytes = Buffer.concat([data, createHash("sha256").update(data).digest()]);
  await writeFile(file, bytes);
  out = "";
  err = "";
  interrupt = new AbortController();
  disk = nodeDisk;
  openBackend = (path) => openLevelBackend(path);
});
afterEach(() => rm(root, { recursive: true, force: true }));

async function typed(...[word = "", ...words]: string[]): Promise<number> {
  const run = await commands.get(word)?.();
  if (run === undefined) throw new Error(`no command ${word}`);
  return await run(words, {
    disk,
    readOnlyDisk: readOnlyNodeDisk,
    openBackend: (path) => openBackend(path),
    now: () => performance.now(),
    out: (text) => {
      out += text;
    },
    err: (text) => {
      err += text;
    },
    interruption: () => interrupt.signal,
    wallTime: () => "2026-11-26T12:00:00.000Z",
    openSource: (endpoint) => {
      throw new Error(`asked ${endpoint}`);
    },
  });
}

/** Small, for a log takes its room when it is made. */
const ofA = (dir: string): string[] => [
  `--data-dir=${dir}`,
  "--name=a",
  `--initial-cluster=${PEERS}`,
  "--initial-advertise-peer-urls=http://127.0.0.1:1",
];

function configOf(dir: string): Config {
  const parsed = parseConfig([...ofA(dir), "--listen-peer-urls=http://127.0.0.1:1"], {}, () => "");
  if (parsed.kind !== "run") throw new Error(`parsed as ${parsed.kind}`);
  return parsed.config;
}

/** What a start would do up to where peers are needed. */
async function started(dir: string) {
  const silent = { debug: () => undefined, info: () => undefined, warn: () => undefined, error: () => undefined };
  return await bootstrap(configOf(dir), {
    disk: nodeDisk,
    log: silent,
    openBackend: (path) => openLevelBackend(path),
    askPeer: () => Promise.reject(new PeerCallError("nobody there", false)),
    resolveHost: async (host) => host,
  });
}

async function left(): Promise<string[]> {
  return (await readdir(root)).filter((name) => !name.endsWith(".db"));
}

describe("quorate restore", () => {
  test("N-9: the content is there, the old cluster is not; the log begins behind the founding of the new one", async () => {
    const dir = join(root, "a");
    expect(await typed("restore", file, ...ofA(dir))).toBe(0);
    expect(out).toMatch(/revision 501, 300 keys, 0 leases; member [0-9a-f]+ \(a\) of 2 in cluster [0-9a-f]+\n$/);
    const { machine, restored, isFounding, memberId, wal, backend, unlock } = await started(dir);
    expect(isFounding).toBe(true);
    expect(machine.mvcc.currentRevision).toBe(501);
    expect(machine.cluster.members().map(({ name, clientURLs }) => [name, clientURLs])).toEqual(
      expect.arrayContaining([
        ["a", []],
        ["b", []],
      ]),
    );
    expect(machine.cluster.members()).toHaveLength(2);
    expect(machine.cluster.member(memberId)?.name).toBe("a");
    expect(machine.confState.voters).toHaveLength(2);
    expect(restored).toMatchObject({
      applied: 2,
      before: { index: 2, term: 1 },
      entries: [],
      storedFrom: 3,
      hardState: { term: 1, vote: 0n, commit: 2 },
    });
    await wal.close();
    await backend.close();
    await unlock();
  });

  test("one file, one cluster; another content, another cluster", async () => {
    const clusterOf = async (name: string, source: string, ...more: string[]): Promise<string | undefined> => {
      out = "";
      const flags = [
        "--initial-cluster",
        PEERS,
        `--initial-advertise-peer-urls=http://127.0.0.1:${name === "a" ? 1 : 2}`,
      ];
      const dir = join(root, `${name}${Math.random()}`);
      expect(await typed("restore", source, `--data-dir=${dir}`, `--name=${name}`, ...flags, ...more)).toBe(0);
      return / in cluster ([0-9a-f]+)/.exec(out)?.[1];
    };
    const first = await clusterOf("a", file);
    expect(await clusterOf("b", file)).toBe(first);
    const raw = join(root, "raw.db");
    await writeFile(raw, bytes.subarray(0, -32));
    expect(await clusterOf("b", raw, "--skip-hash-check")).toBe(first);
    expect(await clusterOf("b", file, "--bump-revision=5", "--mark-compacted")).not.toBe(first);
    expect(await clusterOf("b", file, "--initial-cluster-token=other")).not.toBe(first);
  });

  test("files that are damaged, cut short or something else are refused, and leave nothing behind", async () => {
    const flipped = (at: number): Buffer => {
      const copy = Buffer.from(bytes);
      copy[at] = (copy[at] as number) ^ 1;
      return copy;
    };
    const header = 4 * 4096 + 8;
    const cases: readonly (readonly [string, Buffer, RegExp, ...string[]])[] = [
      ["a byte of a value", flipped(9_000), /^Error: expected sha256 [0-9a-f]{64}, got [0-9a-f]{64}: .* is damaged/],
      ["a byte of the hash", flipped(bytes.length - 1), /^Error: expected sha256 /],
      [
        "cut within",
        bytes.subarray(0, bytes.length - 5_000),
        /^Error: snapshot missing hash but --skip-hash-check=false/,
      ],
      ["cut by pages", bytes.subarray(0, bytes.length - 8_192), /^Error: expected sha256 /],
      ["the hash is gone", bytes.subarray(0, -32), /^Error: snapshot missing hash/],
      ["cut, not checked", bytes.subarray(0, -8_192), /^Error: the database file is cut short/, "--skip-hash-check"],
      ["a page, not checked", flipped(header), /^Error: the database file is damaged: page \d+/, "--skip-hash-check"],
      ["text", Buffer.alloc(5_120, "text"), /^Error: the file of 5120 bytes is no bbolt database/, "--skip-hash-check"],
      ["empty", Buffer.alloc(0), /^Error: the file of 0 bytes is no bbolt database/, "--skip-hash-check"],
    ];
    for (const [what, content, message, ...flags] of cases) {
      err = "";
      const path = join(root, "bad.db");
      await writeFile(path, content);
      const code = await typed("restore", path, ...ofA(join(root, "deep", "a")), ...flags);
      expect([what, code, err]).toEqual([what, 1, expect.stringMatching(message)]);
      expect([what, await left()]).toEqual([what, []]);
    }
    err = "";
    expect(await typed("restore", join(root, "nothing"), ...ofA(join(root, "a")))).toBe(1);
    expect(err).toMatch(/^Error: open .*nothing: no such file or directory\n$/);
  });

  test("a bbolt file of somebody else, and rows that no store has", async () => {
    const write = async (fill: (backend: Backend) => void): Promise<string> => {
      const backend = createMemoryBackend();
      fill(backend);
      const snapshot = backend.snapshot();
      const path = join(root, "odd.db");
      const chunks: Buffer[] = [];
      for await (const chunk of writeBolt(await planBolt(snapshot), snapshot)) chunks.push(Buffer.from(chunk));
      await writeFile(path, Buffer.concat(chunks));
      return path;
    };
    const odd = await write((backend) => backend.put("key", "nonsense", Buffer.from("x")));
    expect(await typed("restore", odd, "--skip-hash-check", ...ofA(join(root, "a")))).toBe(1);
    expect(err).toContain("a stored row has no revision for a key");
    expect(await left()).toEqual([]);
  });

  test("what holds something is left alone", async () => {
    const dir = join(root, "a");
    await mkdir(dir);
    await writeFile(join(dir, "precious"), "1");
    expect(await typed("restore", file, ...ofA(dir))).toBe(1);
    expect(err).toBe(`Error: data-dir "${dir}" not empty or could not be read: choose another one\n`);
    expect(await readdir(dir)).toEqual(["precious"]);
    err = "";
    expect(await typed("restore", file, ...ofA(join(root, "b")), `--wal-dir=${dir}`)).toBe(1);
    expect(err).toBe(`Error: wal-dir "${dir}" not empty: choose another one\n`);
    expect(await left()).toEqual(["a"]);
  });

  test("an empty directory serves, and is empty again after a failure; so does an empty --wal-dir", async () => {
    const dir = join(root, "a");
    const wal = join(root, "wal");
    await mkdir(dir);
    await mkdir(wal);
    openBackend = () => Promise.reject(new Error("no room"));
    expect(await typed("restore", file, ...ofA(dir), `--wal-dir=${wal}`)).toBe(1);
    disk = {
      ...nodeDisk,
      syncDirectory: (path) => (path === wal ? Promise.reject(new Error("EIO")) : nodeDisk.syncDirectory(path)),
    };
    openBackend = (path) => openLevelBackend(path);
    expect(await typed("restore", file, ...ofA(dir), `--wal-dir=${wal}`)).toBe(1);
    expect(err).toBe("Error: no room\nError: EIO\n");
    expect([await readdir(dir), await readdir(wal)]).toEqual([[], []]);
    disk = nodeDisk;
    expect(await typed("restore", file, ...ofA(dir), `--wal-dir=${wal}`)).toBe(0);
    await expect(started(dir)).rejects.toThrow("give this member its log back (--wal-dir)");
  });

  test("who is interrupted removes what was made", async () => {
    openBackend = async (path) => {
      interrupt.abort(new Error("interrupted (SIGINT)"));
      return openLevelBackend(path);
    };
    expect(await typed("restore", file, ...ofA(join(root, "a")))).toBe(1);
    expect([err, await left()]).toEqual(["Error: interrupted (SIGINT)\n", []]);
  });

  test("killed at any step: neither a start nor a second restore takes what is there for something else", async () => {
    const dir = join(root, "a");
    const steps: string[] = [];
    const seen: string[] = [];
    const look = async (what: string): Promise<void> => {
      const shape = (await readdir(dir, { recursive: true }).catch(() => []))
        .filter((name) => /^member(\/(state[^/]*|wal(\/.*\.wal)?))?$/.test(name))
        .sort()
        .join();
      if (seen.at(-1) === shape) return;
      seen.push(shape);
      const copy = join(root, `step${steps.length}.db`);
      await cp(dir, copy, { recursive: true, filter: (path) => !path.includes("/lock.") }).catch(() => undefined);
      steps.push(`${what}: ${shape}`);
    };
    disk = new Proxy(nodeDisk, {
      get: (target, name) => {
        const value: unknown = Reflect.get(target, name);
        if (typeof value !== "function") return value;
        return async (...args: unknown[]) => {
          await look(`before ${String(name)}`);
          return value.apply(target, args);
        };
      },
    });
    openBackend = async (path) => {
      const backend = await openLevelBackend(path);
      await look("the state is opened");
      return backend;
    };
    expect(await typed("restore", file, ...ofA(dir))).toBe(0);
    const shapes = steps.map((step) => step.replace(/^.*: /, "").replace(/[0-9a-f]{16}/g, "N"));
    expect(shapes).toEqual([
      "",
      "member",
      "member,member/state.new",
      "member,member/state-N-N",
      "member,member/state-N-N,member/wal",
      "member,member/state-N-N,member/wal,member/wal/N-N.wal",
      "member,member/state,member/wal,member/wal/N-N.wal",
    ]);
    disk = nodeDisk;
    openBackend = (path) => openLevelBackend(path);
    for (const [i, shape] of shapes.entries()) {
      const copy = join(root, `step${i}.db`);
      if (shape === "") continue;
      err = "";
      const code = await typed("restore", file, ...ofA(copy));
      expect([shape, code, err]).toEqual([shape, 1, expect.stringContaining(`data-dir "${copy}"`)]);
      const isUndecided = /state[.-]/.test(shape);
      if (isUndecided) expect(err).toContain("holds what a restore left that was interrupted");
      if (isUndecided && !shape.endsWith(".wal")) {
        await expect(started(copy)).rejects.toThrow("remove the directory and restore it again");
        expect((await readdir(join(copy, "member"))).some((name) => /^state[.-]/.test(name))).toBe(true);
        continue;
      }
      if (!shape.endsWith(".wal")) continue;
      const { machine, wal, backend, unlock } = await started(copy);
      expect([shape, machine.mvcc.currentRevision]).toEqual([shape, 501]);
      await wal.close();
      await backend.close();
      await unlock();
    }
  });
});

describe("what is typed", () => {
  test("the words that are commands", () => {
    expect([...commands.keys()]).toEqual(["restore", "import", "inspect", "rebuild"]);
  });

  test("--help says what there is", async () => {
    expect(await typed("restore", "--help")).toBe(0);
    expect(out).toMatch(/^Usage: quorate restore FILE --data-dir DIR \[flags\]\n[\s\S]*--skip-hash-check\n/);
    out = "";
    expect(await typed("import", "-h")).toBe(0);
    expect(out).toMatch(/^Usage: quorate import ETCD-DATA-DIR[\s\S]*--etcd-wal-dir\n/);
    expect(out).not.toContain("--skip-hash-check");
  });

  test("as etcdutl has it: texts and exit codes", async () => {
    const dir = join(root, "a");
    const cases: readonly (readonly [readonly string[], number, string])[] = [
      [["restore"], 1, 'required flag(s) "data-dir" not set'],
      [["restore", `--data-dir=${dir}`], 128, "snapshot restore requires exactly one argument"],
      [["restore", file, "more", `--data-dir=${dir}`], 128, "snapshot restore requires exactly one argument"],
      [["import", `--data-dir=${dir}`], 128, "import requires exactly one argument, the data directory of an etcd"],
      [["restore", file, "--nonsense"], 1, "unknown flag: --nonsense (--help says which there are)"],
      [["import", file, "--skip-hash-check"], 1, "unknown flag: --skip-hash-check (--help says which there are)"],
      [["restore", file, "--data-dir"], 1, "flag needs an argument: --data-dir"],
      [["restore", file, ...ofA(dir), "--bump-revision=5"], 128, "--mark-compacted required if --bump-revision > 0"],
      [
        ["restore", file, ...ofA(dir), "--mark-compacted"],
        128,
        "--mark-compacted has a meaning only with --bump-revision > 0",
      ],
      [
        ["restore", file, ...ofA(dir), "--bump-revision=-1", "--mark-compacted"],
        1,
        'invalid argument "-1" for "--bump-revision" flag: not a whole number from 0 to 2^53 - 1',
      ],
      [
        ["restore", file, ...ofA(dir), `--bump-revision=${Number.MAX_SAFE_INTEGER}`, "--mark-compacted"],
        1,
        "--bump-revision 9007199254740991 raises revision 501 beyond 2^53 - 1: choose a smaller one",
      ],
      [
        ["restore", file, `--data-dir=${dir}`, "--name", "x"],
        1,
        'couldn\'t find local name "x" in the initial cluster configuration: add x=http://localhost:2380 to --initial-cluster',
      ],
      [
        ["restore", file, `--data-dir=${dir}`, "--initial-cluster=default=http://localhost:1"],
        1,
        "--initial-cluster has default=http://localhost:1 but missing from --initial-advertise-peer-urls=http://localhost:2380",
      ],
    ];
    for (const [words, code, message] of cases) {
      err = "";
      expect([words, await typed(...words), err]).toEqual([words, code, `Error: ${message}\n`]);
    }
    expect(await left()).toEqual([]);
  });
});
