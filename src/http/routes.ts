import type { Env } from "../env.ts";
import type { Logger } from "../log.ts";
import { QuietLog } from "../quiet-log.ts";
import type { PlainAnswer, PlainHandler, PlainRequest } from "../rpc/plain-http.ts";
import { type CallLimits, limitsOf } from "../server/call-limits.ts";
import type { Server } from "../server/server.ts";
import { ETCD_API_VERSION, QUORATE_VERSION, STORAGE_VERSION } from "../version.ts";
import { type Check, createHealthChecks, textOf } from "./checks.ts";

export interface RouteOptions {
  readonly env: Env;
  readonly logger: Logger;
  /** G-6; a check that takes longer has failed. */
  readonly requestTimeoutMs: number;
  /** Origins that browsers may call from; "*" is all. */
  readonly cors: readonly string[];
}

interface Answer {
  readonly status: number;
  readonly type: string;
  readonly body: string;
  readonly allow?: string;
}

type Route = (query: URLSearchParams, limits: CallLimits) => Promise<Answer>;

const TEXT = "text/plain; charset=utf-8";

/** The plain HTTP endpoints of the client port (operations.md section 3). */
export function createRoutes(server: Server, options: RouteOptions): PlainHandler {
  const { env, logger } = options;
  const routes = buildRoutes(server, new QuietLog(env, logger));
  return async (request, gone) => {
    const { path, query } = targetOf(request);
    const origin = allowedOrigin(options.cors, request.origin);
    const cors: Record<string, string> =
      origin === undefined
        ? {}
        : {
            "access-control-allow-methods": "POST, GET, OPTIONS, PUT, DELETE",
            "access-control-allow-origin": origin,
            "access-control-allow-headers": "accept, content-type, authorization",
          };
    if (request.method === "OPTIONS") return { status: 200, headers: cors, body: "" };
    const limits = limitsOf(gone, env.now() + options.requestTimeoutMs);
    return told(await answer(routes.get(path), request, query, limits), cors);
  };
}

async function answer(
  route: Route | undefined,
  request: PlainRequest,
  query: URLSearchParams,
  limits: CallLimits,
): Promise<Answer> {
  if (route === undefined) return { status: 404, type: TEXT, body: "404 page not found\n" };
  if (request.method !== "GET") return { status: 405, type: TEXT, body: "Method Not Allowed\n", allow: "GET" };
  return route(query, limits);
}

function told({ status, type, body, allow }: Answer, cors: Readonly<Record<string, string>>): PlainAnswer {
  const headers = {
    ...cors,
    "content-type": type,
    ...(type === TEXT && { "x-content-type-options": "nosniff" }),
    ...(allow !== undefined && { allow }),
  };
  return { status, headers, body };
}

function buildRoutes(server: Server, quietLog: QuietLog): ReadonlyMap<string, Route> {
  const checks = createHealthChecks(server);
  const routes = new Map<string, Route>();

  routes.set("/version", async () => {
    const { version } = server.state.cluster;
    const body = JSON.stringify({
      etcdserver: ETCD_API_VERSION,
      etcdcluster: version ?? "not_decided",
      storage: version === undefined ? "unknown" : STORAGE_VERSION,
      quorate: QUORATE_VERSION,
    });
    return { status: 200, type: "application/json", body };
  });

  routes.set("/health", async (query, limits) => {
    const serializable = query.get("serializable") === "true";
    const reason = await checks.health({ serializable, exclude: new Set(query.getAll("exclude")) }, limits);
    const body = JSON.stringify({ health: reason === "" ? "true" : "false", reason });
    if (reason === "") return { status: 200, type: TEXT, body };
    quietLog.warn({ reason }, "serving /health false");
    return { status: 503, type: TEXT, body: `${body}\n` };
  });

  for (const [root, all] of [
    ["/livez", checks.livez],
    ["/readyz", checks.readyz],
  ] as const) {
    routes.set(root, (query, limits) => {
      const excluded = new Set(query.getAll("exclude"));
      return runChecks(
        root,
        [...all].filter(([name]) => !excluded.has(name)),
        query,
        limits,
        quietLog,
      );
    });
    for (const [name, check] of all) {
      const path = `${root}/${name}`;
      routes.set(path, (query, limits) => runChecks(path, [[name, check]], query, limits, quietLog));
    }
  }
  return routes;
}

async function runChecks(
  path: string,
  checks: readonly (readonly [name: string, check: Check])[],
  query: URLSearchParams,
  limits: CallLimits,
  quietLog: QuietLog,
): Promise<Answer> {
  let failed = false;
  const lines = await Promise.all(
    checks.map(async ([name, check]) => {
      try {
        await check(limits);
        return `[+]${name} ok\n`;
      } catch (error) {
        failed = true;
        return `[-]${name} failed: ${textOf(error)}\n`;
      }
    }),
  );
  const report = lines.join("");
  if (failed) {
    quietLog.warn({ path, reason: report }, "health check failed");
    // What etcd sends: the report as an error page, which adds a line break of its own.
    return { status: 503, type: TEXT, body: `${report}\n` };
  }
  return { status: 200, type: TEXT, body: query.has("verbose") ? `${report}ok\n` : "ok\n" };
}

function targetOf({ target }: PlainRequest): { readonly path: string; readonly query: URLSearchParams } {
  const at = target.indexOf("?");
  return at < 0
    ? { path: target, query: new URLSearchParams() }
    : { path: target.slice(0, at), query: new URLSearchParams(target.slice(at + 1)) };
}

function allowedOrigin(cors: readonly string[], origin: string | undefined): string | undefined {
  if (cors.includes("*")) return "*";
  return origin !== undefined && cors.includes(origin) ? origin : undefined;
}
