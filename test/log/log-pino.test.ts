import { execFileSync, spawn } from "node:child_process";
import { closeSync, constants, mkdtempSync, openSync, readFileSync, readSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { createPinoLog } from "../../src/log-pino.ts";

let directory: string;
const fds: number[] = [];
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "quorate-log-"));
});
afterEach(() => {
  for (const fd of fds.splice(0)) closeSync(fd);
  rmSync(directory, { recursive: true });
});
const path = (): string => join(directory, "log");
function openFile(flags: string | number = "w"): number {
  const fd = openSync(path(), flags);
  fds.push(fd);
  return fd;
}
/** A pipe with both ends in this process; neither end ever blocks. */
function openPipe(): number {
  execFileSync("mkfifo", [path()]);
  return openFile(constants.O_RDWR | constants.O_NONBLOCK);
}
const linesOf = (text: string): Record<string, unknown>[] =>
  text
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => JSON.parse(line) as Record<string, unknown>);

describe("log lines", () => {
  it("have etcd's shape: level, ts, msg, then the fields", async () => {
    const log = createPinoLog({ level: "info", fd: openFile() });
    log.logger.info({ "member-id": "8e9e05c52164694d", took: "3ms" }, "ready to serve client requests");
    log.logger.warn({ id: 0xcf9n, negative: -1n, nested: { id: 5n } }, "ids");
    log.logger.error({ error: new TypeError("no good") }, "größer\n");
    log.logger.debug({}, "not at this level");
    await log.flush(5_000);
    const text = readFileSync(path(), "utf8");
    expect(text.split("\n")[0]).toMatch(
      /^\{"level":"info","ts":"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z","msg":"ready to serve client requests","member-id":"8e9e05c52164694d","took":"3ms"\}$/,
    );
    expect(linesOf(text).slice(1)).toMatchObject([
      { level: "warn", msg: "ids", id: "cf9", negative: "ffffffffffffffff", nested: { id: 5 } },
      { level: "error", msg: "größer\n", error: "TypeError: no good" },
    ]);
  });

  it("come out whole and in order, however many", async () => {
    const log = createPinoLog({ level: "info", fd: openFile(), maxBufferedBytes: 64 << 20 });
    for (let i = 0; i < 20_000; i++) log.logger.info({ i }, "line");
    await log.flush(20_000);
    expect(linesOf(readFileSync(path(), "utf8")).map((line) => line["i"])).toEqual(
      Array.from({ length: 20_000 }, (_, i) => i),
    );
    expect(log.dropped).toBe(0);
  });
});

describe("a reader that does not read", () => {
  it("costs lines and a bounded buffer, never time; what was dropped is told afterwards", async () => {
    const fd = openPipe();
    const log = createPinoLog({ level: "info", fd, maxBufferedBytes: 100_000 });
    const startedAt = performance.now();
    const filler = "x".repeat(1_000);
    for (let i = 0; i < 2_000; i++) log.logger.info({ i, filler }, "line");
    expect(performance.now() - startedAt).toBeLessThan(1_000);
    await log.flush(100);
    const { dropped } = log;
    expect(dropped).toBeGreaterThan(1_500);

    let text = "";
    const chunk = Buffer.alloc(1 << 20);
    const endAt = Date.now() + 10_000;
    while (!text.includes("dropped log lines") && Date.now() < endAt) {
      try {
        text += chunk.toString("utf8", 0, readSync(fd, chunk));
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== "EAGAIN") throw error;
      }
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
    const lines = linesOf(text);
    expect(lines.at(-1)).toMatchObject({ level: "warn", lines: dropped });
    expect(lines.length - 1).toBe(2_000 - dropped);
  });
});

describe("at exit", () => {
  const program = (body: string): string => `
    import { createPinoLog } from ${JSON.stringify(new URL("../../src/log-pino.ts", import.meta.url).pathname)};
    const log = createPinoLog({ level: "info", fd: 2 });
    ${body}
  `;
  function run(body: string, onStderr: "read" | "close" | "ignore"): Promise<{ code: number | null; stderr: string }> {
    return new Promise((resolve) => {
      const child = spawn(process.execPath, ["--import", "tsx", "--input-type=module", "-e", program(body)], {
        stdio: ["ignore", "ignore", "pipe"],
      });
      let stderr = "";
      if (onStderr === "read") child.stderr.on("data", (chunk) => (stderr += chunk));
      if (onStderr === "close") child.stderr.destroy();
      child.on(onStderr === "read" ? "close" : "exit", (code) => resolve({ code, stderr }));
    });
  }

  it("the last lines still come out", async () => {
    const { code, stderr } = await run(
      `for (let i = 0; i < 50; i++) log.logger.info({ i }, "line"); process.exit(3);`,
      "read",
    );
    expect(code).toBe(3);
    // The first one is on its way by then, and may come after the others.
    const others = linesOf(stderr).filter(({ i }) => i !== 0);
    expect(others.map(({ i }) => i)).toEqual(Array.from({ length: 49 }, (_, at) => at + 1));
  });

  it("a reader that is gone or stuck does not keep the process", async () => {
    const body = `for (let i = 0; i < 3000; i++) log.logger.info({ i, filler: "x".repeat(1000) }, "line"); setTimeout(() => process.exit(3), 200);`;
    expect((await run(body, "close")).code).toBe(3);
    expect((await run(body, "ignore")).code).toBe(3);
  });
});
