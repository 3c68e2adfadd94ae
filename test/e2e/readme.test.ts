import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { root } from "./cluster.ts";
import { etcdBinary, hasEtcdctl, run } from "./etcdctl.ts";
import { typeSession } from "./readme-session.ts";

/** Every command of README.md, on a clean clone with nothing installed. */
const readme = readFileSync(join(root, "README.md"), "utf8");
const blocks = [...readme.matchAll(/```sh\n([\s\S]*?)```/g)].map((match) => (match[1] as string).trim());
const inline = [
  ...readme.matchAll(/`((?:npm |UPDATE_SCRIPTS=1 npm |bin\/quorate |docker |scripts\/[a-z-]+\.sh)[^`]*)`/g),
].map((m) => m[1] as string);

let directory: string;
let clone: string;
let base: number;

/**
 * A first client port such that it and those 20000 and 30000 above it, and the peer ports behind them, are free, and stay
 * so: none is one that freePorts() gives to other tests, or the kernel to outgoing connections (from 32768 on).
 */
async function freeBasePort(): Promise<number> {
  for (let attempt = 0; attempt < 100; attempt++) {
    const port = 2_001 + Math.floor(Math.random() * 760);
    const wanted = [0, 1, 20_000, 20_001, 30_000, 30_001].map((step) => port + step);
    const free = await Promise.all(wanted.map(isFree));
    if (free.every(Boolean)) return port;
  }
  throw new Error("no free ports");
}

function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.on("error", () => resolve(false));
    server.listen(port, "127.0.0.1", () => server.close(() => resolve(true)));
  });
}

class Start {
  readonly #child: ChildProcess;
  output = "";
  readonly exit: Promise<number | null>;

  constructor(args: readonly string[]) {
    const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith("npm_")));
    // Its own process group, like a terminal's foreground job: Ctrl-C goes to all of it.
    this.#child = spawn("npm", ["start", "--", ...args], {
      cwd: clone,
      env,
      stdio: ["ignore", "pipe", "pipe"],
      detached: true,
    });
    for (const stream of [this.#child.stdout, this.#child.stderr]) {
      stream?.setEncoding("utf8").on("data", (text: string) => {
        this.output += text;
      });
    }
    this.exit = new Promise((resolve) => this.#child.on("exit", resolve));
  }

  async until(text: string | RegExp): Promise<void> {
    const deadline = Date.now() + 240_000;
    const found = (): boolean => (typeof text === "string" ? this.output.includes(text) : text.test(this.output));
    while (!found()) {
      if (this.#child.exitCode !== null) throw new Error(`npm start ended before it printed ${text}:\n${this.output}`);
      if (Date.now() > deadline) throw new Error(`npm start never printed ${text}:\n${this.output}`);
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }

  /** npm itself ends by the signal, as in a shell; what counts is what our program said before that. */
  async ctrlC(): Promise<void> {
    process.kill(-(this.#child.pid as number), "SIGINT");
    await this.exit;
  }

  async kill(): Promise<void> {
    process.kill(-(this.#child.pid as number), "SIGKILL");
    await this.exit;
  }

  async end(): Promise<void> {
    if (this.#child.exitCode === null && this.#child.signalCode === null) await this.ctrlC();
  }
}

const started: Start[] = [];
function start(args: readonly string[]): Start {
  const running = new Start(args);
  started.push(running);
  return running;
}

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "quorate-readme-"));
  clone = join(directory, "clone");
  execFileSync("git", ["clone", "--quiet", root, clone]);
  base = await freeBasePort();
});

afterAll(async () => {
  await Promise.all(started.map((running) => running.end()));
  await rm(directory, { recursive: true, force: true });
});

describe("README.md on a clean clone", () => {
  test("holds no command that this file does not run", () => {
    expect(blocks.map((block) => block.split("\n")[0])).toEqual([
      "npm start",
      "npm test",
      "export ETCDCTL_API=3 ETCDCTL_ENDPOINTS=127.0.0.1:2379,127.0.0.1:22379,127.0.0.1:32379",
      // What these three do with containers is tried by test/docker.
      "docker compose up",
      "docker compose rm --stop --force quorate2",
      "scripts/base-image.sh",
      "npm ci && npm run build",
      // Tried by test/e2e/tls.test.ts with other ports and files.
      "bin/quorate --listen-client-urls https://127.0.0.1:2379 --advertise-client-urls https://127.0.0.1:2379 \\",
      // Tried by test/e2e/membership.test.ts with other ports.
      "etcdctl member add quorate4 --peer-urls=http://127.0.0.1:42380",
      // Tried by test/e2e/maintenance.test.ts in pieces.
      "etcdctl del --prefix /old/",
      // Tried by test/e2e/backup.test.ts with other ports.
      "ETCDCTL_ENDPOINTS=127.0.0.1:2379 etcdctl snapshot save backup.db",
      "bin/quorate import /var/lib/etcd --data-dir data/new1 --name new1 \\",
      // Tried by test/e2e/disaster.test.ts with other ports.
      "bin/quorate rebuild --data-dir data/quorate1 --endpoints http://127.0.0.1:22379,http://127.0.0.1:32379",
      "etcdctl member remove $(etcdctl member list | awk -F', ' '$3 == \"quorate1\" { print $1 }')",
      "bin/quorate --force-new-cluster --name quorate1 --data-dir data/quorate1 ...",
    ]);
    expect([...new Set(inline)].sort()).toEqual(
      [
        // These with containers are tried by test/docker; .ci/run calls the last of them.
        "docker compose down",
        "docker compose down --volumes",
        "docker compose start",
        "docker compose stop quorate1",
        "docker compose up --build",
        "docker compose logs",
        // With a file: test/e2e/backup.test.ts.
        "bin/quorate restore",
        "bin/quorate inspect DATA-DIR...",
        "npm run simulate -- --seed 57",
        "npm run facts",
        "npm run oracle -- --seeds 2 --ops 100",
        // At full scale it takes minutes; test/stress runs the same on a small one.
        "npm run stress",
        // test/bench runs the same for a second each.
        "npm run bench",
        "npm run bench -- --workload put-1000,range-ser --rounds 1",
        "npm run test:docker",
        "scripts/with-engine.sh npm run test:docker",
        "scripts/kill-leader.sh",
        "npm start",
        "npm start -- --members 1 --data-dir ./one --base-port 4001",
        "npm run check",
        "npm run format",
        "npm run generate",
        "npm test -- test/raft",
        "UPDATE_SCRIPTS=1 npm test -- test/raft",
      ].sort(),
    );
  });

  test("npm start installs, builds and runs three members; the session works; Ctrl-C stops it; its data is found again", async () => {
    expect(existsSync(join(clone, "node_modules"))).toBe(false);
    const first = start(["--base-port", String(base)]);
    await first.until("Ready. Try in another terminal:");
    expect(first.output).toMatch(/quorate1 {2}127\.0\.0\.1:\d+ +127\.0\.0\.1:\d+ +(leader|follower) +data\/quorate1/);
    expect(first.output.match(/ leader +data/g)).toHaveLength(1);
    const printed = first.output.slice(first.output.indexOf("MEMBER"));
    expect(
      Math.max(
        ...printed
          .split("\n")
          .filter((line) => !line.includes(" | "))
          .map((line) => line.length),
      ),
    ).toBeLessThanOrEqual(80);

    if (hasEtcdctl) await typeSession([base, base + 20_000, base + 30_000]);
    else console.warn("SKIPPED: etcdctl is not on PATH, so the README's session cannot be typed");

    await first.ctrlC();
    expect(first.output).toContain("stopped; the data is kept for the next start");
    expect(first.output).not.toContain("ended by itself");

    const second = start(["--base-port", String(base)]);
    await second.until("Ready. Try in another terminal:");
    if (hasEtcdctl) {
      const found = await run("etcdctl", [`--endpoints=127.0.0.1:${base}`, "get", "owner", "--print-value-only"]);
      expect(found.stdout).toBe("bob\n");
    }
    await second.ctrlC();
    expect(second.output).toContain("stopped; the data is kept for the next start");
  });

  test("npm start -- --members 1 --data-dir ./one --base-port ...; a port in use is said", async () => {
    const one = start(["--members", "1", "--data-dir", "./one", "--base-port", String(base)]);
    await one.until("Ready. Try in another terminal:");
    expect(existsSync(join(clone, "one", "quorate1"))).toBe(true);
    const again = start(["--members", "1", "--data-dir", "./two", "--base-port", String(base)]);
    expect(await again.exit).toBe(1);
    expect(again.output).toContain(`port ${base}, ${base + 1} of 127.0.0.1 is in use`);
    await one.ctrlC();
    expect(one.output).toContain("stopped; the data is kept for the next start");
  });

  test("when npm start is killed, its members stop by themselves and their data is found again", async () => {
    const args = ["--members", "1", "--data-dir", "./one", "--base-port", String(base)];
    const killed = start(args);
    await killed.until("Ready. Try in another terminal:");
    await killed.kill();
    const deadline = Date.now() + 60_000;
    while (!(await isFree(base)) || !(await isFree(base + 1))) {
      if (Date.now() > deadline) throw new Error("the member still runs");
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    const again = start(args);
    await again.until("Ready. Try in another terminal:");
    await again.ctrlC();
  });

  test("when nobody reads what npm start prints any more, it stops its members and ends", async () => {
    const args = ["start", "--", "--members", "1", "--data-dir", "./one", "--base-port", String(base)];
    const piped = await run("bash", ["-c", `cd ${clone} && npm ${args.join(" ")} | head -n 6; echo ended`], {
      timeoutMs: 120_000,
    });
    expect(piped.stdout).toMatch(/quorate1 \| [\s\S]*\nended\n$/);
    expect([await isFree(base), await isFree(base + 1)]).toEqual([true, true]);
  });

  test("scripts/kill-leader.sh kills the leader; npm start starts it again", async () => {
    const none = await run(join(clone, "scripts", "kill-leader.sh"), ["--local"]);
    expect([none.code, none.stderr]).toEqual([1, "no cluster runs here: npm start, or docker compose up\n"]);
    const three = start(["--base-port", String(base)]);
    await three.until("Ready. Try in another terminal:");
    const killed = await run(join(clone, "scripts", "kill-leader.sh"), ["--local"], { timeoutMs: 90_000 });
    expect(killed.stdout).toMatch(
      /^killed (quorate\d), the leader of term \d+\nquorate\d leads term \d+ and answers after [\d.]+ s\nnpm start starts \1 again 5 s after its end\n$/,
    );
    const name = killed.stdout.split(/[ ,]/)[1];
    await three.until(`${name} | was ended by SIGKILL; it is started again in 5 s`);
    await three.until(new RegExp(`was ended by SIGKILL[\\s\\S]*${name} \\| [^\n]*ready to serve client requests`));
    const json = await run(join(clone, "scripts", "kill-leader.sh"), ["--json"], { timeoutMs: 90_000 });
    expect(JSON.parse(json.stdout)).toMatchObject({ killed: expect.any(String), leader: expect.any(String) });
    await three.ctrlC();
    expect(three.output).toContain("stopped; the data is kept for the next start");
  });

  test("npm ci && npm run build, bin/quorate --version, --help", async () => {
    const block = blocks.find((text) => text.startsWith("npm ci")) as string;
    const result = await run("bash", ["-euc", `cd ${clone} && ${block}`], { timeoutMs: 240_000 });
    expect(result.stderr).not.toContain("error");
    expect(result.code).toBe(0);
    expect(result.stdout).toContain("etcd Version: 3.6.14");
    expect(result.stdout).toContain("Usage: quorate [flags]");
  });

  test("npm run check, format, generate, simulate, facts, oracle and npm test -- test/raft change nothing in the clone", async () => {
    for (const command of [
      "npm run check",
      "npm run format",
      "npm run generate",
      "npm test -- test/raft/scripts.test.ts",
      "UPDATE_SCRIPTS=1 npm test -- test/raft/scripts.test.ts",
      "npm run simulate -- --seed 57",
      "npm run facts",
      ...(etcdBinary === undefined ? [] : ["npm run oracle -- --seeds 2 --ops 100"]),
    ]) {
      const result = await run("bash", ["-euc", `cd ${clone} && ${command}`], { timeoutMs: 240_000 });
      expect(result.code, `${command}\n${result.stdout}\n${result.stderr}`).toBe(0);
    }
    expect(
      execFileSync("git", ["status", "--porcelain", "--untracked-files=no"], { cwd: clone, encoding: "utf8" }),
    ).toBe("");
  }, 600_000);
}, 600_000);
