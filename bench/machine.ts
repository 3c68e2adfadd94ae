/** What the figures were taken on. */
import { spawnSync } from "node:child_process";
import { statfsSync } from "node:fs";
import { cpus, loadavg, release, totalmem, type } from "node:os";
import { root } from "../test/e2e/cluster.ts";
import { etcdVersion } from "../test/e2e/etcdctl.ts";

export interface Machine {
  readonly cpu: string;
  readonly cores: number;
  readonly memoryBytes: number;
  readonly kernel: string;
  readonly fileSystem: string;
  readonly node: string;
  readonly etcd: string | undefined;
  /** Of Quorate; undefined outside a work tree. */
  readonly commit: string | undefined;
  readonly date: string;
  /** Processes that wanted to run in the last minute, before the first measurement. */
  readonly load: number;
}

const FILE_SYSTEMS: Readonly<Record<number, string>> = {
  61267: "ext4",
  1481003842: "xfs",
  2435016766: "btrfs",
  16914836: "tmpfs (a sync costs nothing there)",
  2035054128: "overlay",
  801189825: "zfs",
};

export function machine(dataDirectory: string): Machine {
  const [first] = cpus();
  const fileSystem = statfsSync(dataDirectory).type;
  return {
    cpu: first?.model ?? "unknown",
    cores: cpus().length,
    memoryBytes: totalmem(),
    kernel: `${type()} ${release()}`,
    fileSystem: FILE_SYSTEMS[fileSystem] ?? `type 0x${fileSystem.toString(16)}`,
    node: process.version,
    etcd: etcdVersion,
    commit: commitOf(),
    date: new Date().toISOString().slice(0, 10),
    load: loadavg()[0] ?? 0,
  };
}

function commitOf(): string | undefined {
  const { status, stdout } = spawnSync("git", ["describe", "--always", "--dirty", "--exclude=*"], {
    cwd: root,
    encoding: "utf8",
  });
  return status === 0 ? stdout.trim() : undefined;
}
