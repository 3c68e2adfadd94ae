/**
 * `npm test`: everything that proves this tree. Installs what is missing (packages, the build, etcdctl and etcd on a
 * Debian), then runs the static checks and every suite. Words after `--` go to vitest: npm test -- test/raft
 */
import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { delimiter, join } from "node:path";
import { ensure, root, run, say } from "./ensure.mjs";

ensure();

const has = (program) => spawnSync(program, ["version"], { stdio: "ignore" }).error === undefined;
const local = join(root, ".tools", "etcd", "usr", "bin");
if (!has("etcdctl") || !has("etcd")) {
  if (!existsSync(join(local, "etcdctl")) && existsSync("/etc/debian_version")) {
    say("fetching etcdctl and etcd for the tests (scripts/install-etcd.sh)");
    const { status } = spawnSync(join(root, "scripts", "install-etcd.sh"), { stdio: ["ignore", "ignore", "inherit"] });
    if (status !== 0) say("etcdctl could not be fetched: the suites that need it will say that they are skipped");
  }
  if (existsSync(join(local, "etcdctl"))) process.env.PATH = `${local}${delimiter}${process.env.PATH}`;
}
if (!has("etcdctl")) say("etcdctl is not on PATH: the suites that drive the cluster with it will be SKIPPED");

const vitest = (...words) => run(join(root, "node_modules", ".bin", "vitest"), ["run", ...words]);
const words = process.argv.slice(2);
if (words.length > 0) vitest(...words);
else {
  run("npm", ["run", "--silent", "check"]);
  vitest("--exclude", "test/timing/**");
  say("now the suites that measure time, with the machine to themselves");
  vitest("--no-file-parallelism", "test/timing");
}
