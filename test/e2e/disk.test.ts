import { createHash } from "node:crypto";
import { mkdtempSync, readdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { type Cluster, type MemberProcess, quorate, startCluster } from "./cluster.ts";
import { run } from "./etcdctl.ts";

describe("one member and its data directory", () => {
  let cluster: Cluster;
  let member: MemberProcess;

  beforeEach(async () => {
    cluster = await startCluster(1);
    member = cluster.member(0);
    for (let n = 0; n < 20; n++) await cluster.client(member).put(`key${n}`, `value${n}`);
  });
  afterEach(() => cluster.destroy());

  const walFile = (): string => {
    const directory = join(member.dataDir, "member", "wal");
    const name = readdirSync(directory)
      .filter((file) => file.endsWith(".wal"))
      .sort()[0];
    if (name === undefined) throw new Error("no log");
    return join(directory, name);
  };

  /** Position just behind the last byte that is not zero. */
  const endOf = (bytes: Buffer): number => {
    let end = bytes.length;
    while (end > 0 && bytes[end - 1] === 0) end--;
    return end;
  };

  /** Every file of the log, by its content. */
  const fingerprint = (): string[] => {
    const directory = join(member.dataDir, "member", "wal");
    return readdirSync(directory)
      .filter((name) => !name.startsWith("lock."))
      .sort()
      .map(
        (name) =>
          `${name} ${createHash("sha256")
            .update(readFileSync(join(directory, name)))
            .digest("hex")}`,
      );
  };

  test("X-3: kill -9 and restart: everything acknowledged is there", async () => {
    await member.kill();
    member.start();
    await cluster.ready([member]);
    for (let n = 0; n < 20; n++) {
      expect((await cluster.client(member).get(`key${n}`))?.value.toString()).toBe(`value${n}`);
    }
  });

  test("P-40: a flipped byte in the middle of the log: refused with file and offset, exit 1, nothing touched", async () => {
    await member.kill();
    const file = walFile();
    const bytes = readFileSync(file);
    const position = Math.floor(endOf(bytes) / 2);
    const damaged = Buffer.from(bytes);
    damaged[position] = (damaged[position] as number) ^ 0x40;
    writeFileSync(file, damaged);
    const before = fingerprint();

    member.start();
    expect(await member.exited()).toEqual({ code: 1, signal: null });
    expect(member.log).toContain(file.split("/").at(-1) as string);
    expect(member.log).toMatch(/offset \d+/);
    expect(fingerprint()).toEqual(before);

    writeFileSync(file, bytes);
    member.start();
    await cluster.ready([member]);
    expect((await cluster.client(member).get("key19"))?.value.toString()).toBe("value19");
  });

  test("P-40: a torn last write is cut off and said; what was acknowledged before it is there", async () => {
    await member.kill();
    const file = walFile();
    const bytes = readFileSync(file);
    const end = endOf(bytes);
    // The last write never got to the disk whole: the file ends inside it.
    writeFileSync(file, bytes.subarray(0, end - 3));
    member.start();
    await cluster.ready([member]);
    expect(member.log).toContain("cut off a torn write at the end of the log");
    for (let n = 0; n < 19; n++) {
      expect((await cluster.client(member).get(`key${n}`))?.value.toString()).toBe(`value${n}`);
    }
  });

  test("the state store is made anew from an uncut log when its directory was moved away", async () => {
    const before = await cluster.client(member).hashKv();
    await member.kill("SIGTERM");
    renameSync(join(member.dataDir, "member", "state"), join(cluster.directory, "moved-away"));
    member.start();
    await cluster.ready([member]);
    const after = await cluster.client(member).hashKv();
    expect([after.hash, after.header?.revision]).toEqual([before.hash, before.header?.revision]);
    expect((await cluster.client(member).get("key7"))?.value.toString()).toBe("value7");
  });

  test("a directory that can never be made is refused, not tried for ever", async () => {
    const result = await run(quorate, ["--data-dir=/proc/nowhere"], { timeoutMs: 30_000 });
    expect(result.code).toBe(1);
    expect(result.stderr).toContain("/proc/nowhere");
  });

  test("a second process on the same data directory is refused, and the first goes on", async () => {
    const second = await run(quorate, member.flags, { timeoutMs: 30_000 });
    expect(second.code).toBe(1);
    expect(second.stderr).toContain(String(member.pid));
    expect((await cluster.client(member).get("key0"))?.value.toString()).toBe("value0");
  });

  test("a member that lost its log refuses to start over", async () => {
    await member.kill("SIGTERM");
    const elsewhere = mkdtempSync(join(cluster.directory, "empty-"));
    const result = await run(quorate, [...member.flags, `--wal-dir=${elsewhere}`], { timeoutMs: 30_000 });
    expect(result.code).toBe(1);
    expect(result.stderr).toContain("there is no log in");
    expect(readdirSync(elsewhere)).toEqual([]);
  });

  test("O-4: SIGTERM and SIGINT stop gracefully and are raised again", async () => {
    expect(await member.kill("SIGTERM")).toEqual({ code: null, signal: "SIGTERM" });
    expect(member.log).toContain('"closed etcd server"');
    member.start();
    await cluster.ready([member]);
    expect(await member.kill("SIGINT")).toEqual({ code: null, signal: "SIGINT" });
  });

  test("section 5: directories are 0700, log files 0600", async () => {
    expect(statSync(join(member.dataDir, "member")).mode & 0o777).toBe(0o700);
    expect(statSync(walFile()).mode & 0o777).toBe(0o600);
  });
});

describe("B-1: a member of a cluster that lost its data directory", () => {
  test("is refused as long as the others know it, and they go on", async () => {
    const cluster = await startCluster(3);
    try {
      const [lost] = await cluster.followers();
      if (lost === undefined) throw new Error("no follower");
      await lost.kill();
      const flags = lost.flags.map((flag) => (flag.startsWith("--data-dir=") ? `${flag}-fresh` : flag));
      const result = await run(quorate, flags, { timeoutMs: 30_000 });
      expect(result.code).toBe(1);
      expect(result.stderr).toContain("has already been bootstrapped");
      await cluster.client(cluster.members.find((member) => member.running) as MemberProcess).put("on", "we go");
      lost.start();
      await cluster.ready([lost]);
      expect((await cluster.client(lost).get("on"))?.value.toString()).toBe("we go");
    } finally {
      await cluster.destroy();
    }
  });
});

describe("B-1: a member that lost its disk while the others were down", () => {
  test("does not help one that lags to an office, whoever starts first; what was acknowledged is there again", async () => {
    const cluster = await startCluster(3);
    try {
      const [lagging, lost] = (await cluster.followers()) as [MemberProcess, MemberProcess];
      const kept = await cluster.leader();
      await lagging.kill();
      for (let n = 0; n < 50; n++) await cluster.client(lost).put(`acknowledged/${n}`, "yes");
      await lost.kill();
      await kept.kill();
      rmSync(lost.dataDir, { recursive: true });

      lost.start();
      lagging.start();
      // Whether it asked before the other could answer or after: it ends, and ends again when it is started again.
      expect(await lost.exited()).toEqual({ code: 1, signal: null });
      expect(lost.log).toContain("has already been bootstrapped");
      lost.start();
      expect(await lost.exited()).toEqual({ code: 1, signal: null });
      expect(lost.log).toContain("has already been bootstrapped");

      kept.start();
      await cluster.ready([kept, lagging]);
      for (const member of [kept, lagging]) {
        const { count } = await cluster.client(member).range({ key: "acknowledged/", rangeEnd: "acknowledged0" });
        expect(count).toBe(50);
      }
    } finally {
      await cluster.destroy();
    }
  });
});

describe("O-1, O-4: the command line of one member", () => {
  test("--version and --help print and exit 0; mistakes exit 2 with usage, bad configuration exits 1", async () => {
    const version = await run(quorate, ["--version"]);
    expect([version.code, version.stdout.split("\n")[0]]).toEqual([0, "etcd Version: 3.6.14"]);
    // The engine tells its user of flags that it does not know.
    expect(version.stderr).toBe("");
    const help = await run(quorate, ["--help"]);
    expect(help.code).toBe(0);
    expect(Math.max(...help.stdout.split("\n").map((line) => line.length))).toBeLessThanOrEqual(80);
    const unknown = await run(quorate, ["--nonsense"]);
    expect([unknown.code, unknown.stderr.split("\n")[0]]).toEqual([2, "flag provided but not defined: -nonsense"]);
    const refused = await run(quorate, ["--peer-cert-file=x"]);
    expect([refused.code, refused.stderr.trim()]).toEqual([
      1,
      "--peer-cert-file is not supported yet by this version of Quorate: start without it",
    ]);
  });

  test("a data directory that cannot be made: exit 1, said by name", async () => {
    const file = join(mkdtempSync(join(tmpdir(), "quorate-file-")), "file");
    writeFileSync(file, "");
    const result = await run(quorate, [`--data-dir=${file}/below`], { timeoutMs: 30_000 });
    expect(result.code).toBe(1);
    expect(result.stderr).toContain(file);
  });
});
