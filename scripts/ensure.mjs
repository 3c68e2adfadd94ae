/**
 * Makes `npm start` and `npm test` work on a fresh clone: checks Node, installs packages when the lock file asks for
 * others than are there, builds when a source is newer than the build. Runs before any package is installed, so it is
 * plain JavaScript on Node's own modules.
 */
import { spawn, spawnSync } from "node:child_process";
import { existsSync, readdirSync, statSync, writeFileSync } from "node:fs";
import { delimiter, dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

export const root = join(dirname(fileURLToPath(import.meta.url)), "..");
const NEEDED = [20, 19];

export function ensure() {
  const [major = 0, minor = 0] = process.versions.node.split(".").map(Number);
  if (major < NEEDED[0] || (major === NEEDED[0] && minor < NEEDED[1])) {
    fail(`Quorate needs Node ${NEEDED.join(".")} or newer; this is ${process.versions.node}. Get one from nodejs.org.`);
  }
  // npm writes this when an installation has ended, whoever asked for it.
  const installed = join(root, "node_modules", ".package-lock.json");
  if (newest([join(root, "package-lock.json"), join(root, "package.json")]) > timeOf(installed)) {
    say("installing packages (npm ci)");
    run("npm", ["ci", "--no-audit", "--no-fund"]);
  }
  const built = join(root, "dist", ".quorate-built");
  const sources = ["proto", "raft", "storage", "src", "scripts", "tsconfig.json", "tsconfig.build.json"];
  if (newest(sources.map((name) => join(root, name))) > timeOf(built)) {
    say("building");
    run("npm", ["run", "--silent", "build"]);
    writeFileSync(built, "");
  }
}

/** etcdctl and etcd on PATH: those of the machine, or on a Debian the ones out of its packages. */
export function ensureEtcd() {
  const has = (program, word = "version") => spawnSync(program, [word], { stdio: "ignore" }).error === undefined;
  const local = join(root, ".tools", "etcd", "usr", "bin");
  if (!has("etcdctl") || !has("etcd")) {
    if (!existsSync(join(local, "etcdctl")) && existsSync("/etc/debian_version")) {
      say("fetching etcdctl and etcd for the tests (scripts/install-etcd.sh)");
      const { status } = spawnSync(join(root, "scripts", "install-etcd.sh"), {
        stdio: ["ignore", "ignore", "inherit"],
      });
      if (status !== 0) say("etcdctl could not be fetched: the suites that need it will say that they are skipped");
    }
    if (existsSync(join(local, "etcdctl"))) process.env.PATH = `${local}${delimiter}${process.env.PATH}`;
  }
  if (!has("etcdctl")) say("etcdctl is not on PATH: the suites that drive the cluster with it will be SKIPPED");
  if (!has(process.env.ETCD_BIN || "etcd", "--version")) {
    say("there is no etcd on PATH or in ETCD_BIN: what is compared with it will be SKIPPED");
  }
}

export function run(command, args, options = {}) {
  const { status, error, signal } = spawnSync(command, args, { cwd: root, stdio: "inherit", ...options });
  if (error) fail(`cannot run ${command}: ${error.message}`);
  if (signal) fail(`${command} was ended by ${signal}`);
  if (status !== 0) process.exit(status ?? 1);
}

/** Like run, for a program that takes others down with it: a signal is handed on, and its end waited for. */
export function runToItsEnd(command, args) {
  const child = spawn(command, args, { cwd: root, stdio: "inherit" });
  for (const signal of ["SIGINT", "SIGTERM"]) process.on(signal, () => child.kill(signal));
  child.on("error", (error) => fail(`cannot run ${command}: ${error.message}`));
  child.on("exit", (status) => process.exit(status ?? 2));
}

export function say(text) {
  process.stderr.write(`quorate: ${text}\n`);
}

function fail(text) {
  say(text);
  process.exit(1);
}

function timeOf(path) {
  return existsSync(path) ? statSync(path).mtimeMs : 0;
}

/** Time of the newest file below the paths; directories count too, so that a removed file is noticed. */
function newest(paths) {
  let time = 0;
  for (const path of paths) {
    if (!existsSync(path)) continue;
    const stat = statSync(path);
    time = Math.max(time, stat.mtimeMs);
    if (stat.isDirectory()) time = Math.max(time, newest(readdirSync(path).map((name) => join(path, name))));
  }
  return time;
}
