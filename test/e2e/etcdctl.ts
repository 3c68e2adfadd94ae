import { type ChildProcess, execFile, spawn, spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { delimiter, join } from "node:path";

/** True when the stock etcdctl is on PATH; `npm test` puts it there where it can. */
export const hasEtcdctl = spawnSync("etcdctl", ["version"], { stdio: "ignore" }).status === 0;

/** True when the stock etcdutl is on PATH, which comes with etcdctl. */
export const hasEtcdutl = spawnSync("etcdutl", ["version"], { stdio: "ignore" }).status === 0;

const named = process.env["ETCD_BIN"] || "etcd";

/** Of the stock server that is compared with: the one that ETCD_BIN names, else the one on PATH. */
export const etcdVersion = /etcd Version: (\S+)/.exec(
  spawnSync(named, ["--version"], { encoding: "utf8" }).stdout ?? "",
)?.[1];

/** Where it is; undefined where there is none. */
export const etcdBinary = etcdVersion === undefined ? undefined : pathOf(named);
if (etcdBinary === undefined && named !== "etcd") console.warn(`ETCD_BIN names no etcd that runs: ${named}`);

function pathOf(program: string): string {
  if (program.includes("/")) return program;
  const places = (process.env["PATH"] ?? "").split(delimiter).map((place) => join(place, program));
  return places.find((place) => existsSync(place)) ?? program;
}

export interface CommandResult {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs a command to its end; never rejects for a non-zero exit. */
export function run(
  command: string,
  args: readonly string[],
  options: { timeoutMs?: number; env?: NodeJS.ProcessEnv; cwd?: string } = {},
) {
  return new Promise<CommandResult>((resolve, reject) => {
    execFile(
      command,
      [...args],
      {
        timeout: options.timeoutMs ?? 30_000,
        env: { ...process.env, ...options.env },
        maxBuffer: 64 << 20,
        ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
      },
      (error, stdout, stderr) => {
        if (error !== null && typeof error.code !== "number") reject(error);
        else resolve({ code: error === null ? 0 : Number(error.code), stdout, stderr });
      },
    );
  });
}

/** etcdctl against these endpoints; fails the test on a non-zero exit. Returns stdout. */
export async function etcdctl(endpoints: readonly string[], ...args: string[]): Promise<string> {
  const result = await tryEtcdctl(endpoints, ...args);
  if (result.code !== 0)
    throw new Error(`etcdctl ${args.join(" ")}: exit ${result.code}\n${result.stdout}${result.stderr}`);
  return result.stdout;
}

export function tryEtcdctl(endpoints: readonly string[], ...args: string[]): Promise<CommandResult> {
  return run("etcdctl", [`--endpoints=${endpoints.join(",")}`, ...args], { env: { ETCDCTL_API: "3" } });
}

/** A long-running etcdctl (watch, lease keep-alive) whose output can be waited for. */
export class EtcdctlSession {
  readonly #child: ChildProcess;
  #output = "";
  #wake: (() => void)[] = [];
  readonly ended: Promise<number>;

  constructor(endpoints: readonly string[], ...args: string[]) {
    this.#child = spawn("etcdctl", [`--endpoints=${endpoints.join(",")}`, ...args], {
      stdio: ["pipe", "pipe", "pipe"],
      env: { ...process.env, ETCDCTL_API: "3" },
    });
    for (const stream of [this.#child.stdout, this.#child.stderr]) {
      stream?.setEncoding("utf8").on("data", (text: string) => {
        this.#output += text;
        for (const wake of this.#wake.splice(0)) wake();
      });
    }
    this.ended = new Promise((resolve) => this.#child.on("exit", (code) => resolve(code ?? -1)));
  }

  get output(): string {
    return this.#output;
  }

  /** Resolves when the output holds what is asked for. */
  async until(expected: string | RegExp, timeoutMs = 20_000): Promise<string> {
    const deadline = Date.now() + timeoutMs;
    const found = (): boolean =>
      typeof expected === "string" ? this.#output.includes(expected) : expected.test(this.#output);
    while (!found()) {
      const left = deadline - Date.now();
      if (left <= 0) throw new Error(`etcdctl never printed ${expected}; it printed:\n${this.#output}`);
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, Math.min(left, 250));
        this.#wake.push(() => {
          clearTimeout(timer);
          resolve();
        });
      });
    }
    return this.#output;
  }

  type(text: string): void {
    this.#child.stdin?.write(text);
  }

  async stop(): Promise<void> {
    this.#child.kill("SIGTERM");
    await this.ended;
  }
}
