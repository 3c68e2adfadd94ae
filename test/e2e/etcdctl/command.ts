import { spawn } from "node:child_process";
import type { Side } from "./side.ts";
import { wireText } from "./wire-text.ts";

export const FORMATS = ["simple", "json", "table", "protobuf", "fields"] as const;
export type Format = (typeof FORMATS)[number];

/** One way to type a subcommand. */
export interface Case {
  /** Separated by spaces, or one by one; `$name` as the side knows it, and `$format`. */
  readonly words: string | readonly string[];
  readonly input?: string;
  /** The command does not end by itself: it is told to end when it has printed this. */
  readonly until?: RegExp;
  /** Only in these, where others print the same, or in pieces that may come late. */
  readonly formats?: readonly Format[];
  /** All endpoints instead of the first member's. */
  readonly everywhere?: boolean;
  /** What has to be there; its own answers are not compared. */
  before?(side: Side): Promise<unknown>;
  /** Takes out what chance decides. */
  readonly mask?: (text: string, side: Side) => string;
}

export interface Subcommand {
  readonly name: string;
  /** Its output has a table; the others are asked for one once. */
  readonly hasTable?: boolean;
  readonly cases: readonly Case[];
}

/** How it ended and what it printed. */
export interface Answer {
  readonly typed: string;
  readonly code: number | string;
  readonly out: string;
  readonly err: string;
}

export const isUnsupported = ({ err, out }: Answer): boolean =>
  `${err}${out}`.includes("not supported as output format");

export const isPanic = ({ err }: Answer): boolean => err.startsWith("panic: ");

const LIMIT_MS = 30_000;

export async function type(
  side: Side,
  format: Format,
  { words, input, until, everywhere, mask }: Case,
): Promise<Answer> {
  const known = (text: string): string =>
    text.replace(/\$(\w+)/g, (whole, name: string) => (name === "format" ? format : side.words.get(name)) ?? whole);
  const typed = (typeof words === "string" ? words.split(" ") : words).map(known);
  const endpoints = everywhere === true ? side.endpoints : side.endpoints.slice(0, 1);
  const { code, stdout, stderr } = await run(
    [`--endpoints=${endpoints.join(",")}`, `--write-out=${format}`, ...typed],
    known(input ?? ""),
    until,
  );
  const bytes = format === "protobuf" ? wireText(stdout) : undefined;
  const text = bytes ?? stdout.toString(format === "protobuf" ? "latin1" : "utf8");
  // Its own log, and where it was when it panicked, tell addresses in its memory.
  const err = stderr.replace(/^\{"level".*\n/gm, "").replace(/\ngoroutine \d+ [\s\S]*$/, "");
  return {
    typed: `${typeof words === "string" ? words : words.join(" ")} --write-out=${format}`,
    code,
    out: mask === undefined ? text : mask(text, side),
    err: mask === undefined ? err : mask(err, side),
  };
}

function run(
  args: readonly string[],
  input: string,
  until: RegExp | undefined,
): Promise<{ readonly code: number | string; readonly stdout: Buffer; readonly stderr: string }> {
  return new Promise((resolve, reject) => {
    const child = spawn("etcdctl", args, { stdio: "pipe", env: { ...process.env, ETCDCTL_API: "3" } });
    const out: Buffer[] = [];
    let err = "";
    let isStopped = false;
    const limit = setTimeout(() => {
      child.kill("SIGKILL");
      reject(new Error(`etcdctl ${args.join(" ")} went on for ${LIMIT_MS} ms: ${Buffer.concat(out)}${err}`));
    }, LIMIT_MS);
    child.stdout.on("data", (more: Buffer) => {
      out.push(more);
      if (until === undefined || isStopped || !until.test(Buffer.concat(out).toString("latin1"))) return;
      isStopped = true;
      child.kill("SIGTERM");
    });
    child.stderr.setEncoding("utf8").on("data", (more: string) => {
      err += more;
    });
    child.on("error", reject);
    child.on("close", (code, signal) => {
      clearTimeout(limit);
      resolve({ code: code ?? signal ?? "", stdout: Buffer.concat(out), stderr: err });
    });
    // One that fails at once does not read what it is told.
    child.stdin.on("error", () => undefined);
    // A watch that is typed into ends with its input.
    if (until === undefined) child.stdin.end(input);
    else child.stdin.write(input);
  });
}
