import type { IncomingMessage, ServerResponse } from "node:http";
import type { Env } from "../env.ts";
import type { Logger } from "../log.ts";
import { type CallLimits, limitsOf } from "../server/call-limits.ts";
import type { Server } from "../server/server.ts";
import { ETCD_API_VERSION, QUORATE_VERSION, STORAGE_VERSION } from "../version.ts";
import { type Check, createHealthChecks, textOf } from "./checks.ts";
import type { HttpHandler } from "./http-server.ts";

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
export function createRoutes(server: Server, options: RouteOptions): HttpHandler {
  const { env, logger } = options;
  const routes = buildRoutes(server, logger);
  return async (request, response) => {
    const { path, query } = targetOf(request);
    const origin = allowedOrigin(options.cors, request.headers.origin);
    if (origin !== undefined) {
      response.setHeader("Access-Control-Allow-Methods", "POST, GET, OPTIONS, PUT, DELETE");
      response.setHeader("Access-Control-Allow-Origin", origin);
      response.setHeader("Access-Control-Allow-Headers", "accept, content-type, authorization");
    }
    // None of these endpoints reads a body: the connection ends instead of waiting for one.
    if (hasBody(request)) response.setHeader("Connection", "close");
    if (request.method === "OPTIONS") {
      response.writeHead(200).end();
      return;
    }
    const route = routes.get(path);
    const gone = new AbortController();
    response.once("close", () => gone.abort());
    const limits = limitsOf(gone.signal, env.now() + options.requestTimeoutMs);
    send(response, await answer(route, request, query, limits));
  };
}

async function answer(
  route: Route | undefined,
  request: IncomingMessage,
  query: URLSearchParams,
  limits: CallLimits,
): Promise<Answer> {
  if (route === undefined) return { status: 404, type: TEXT, body: "404 page not found\n" };
  if (request.method !== "GET") return { status: 405, type: TEXT, body: "Method Not Allowed\n", allow: "GET" };
  return route(query, limits);
}

function send(response: ServerResponse, { status, type, body, allow }: Answer): void {
  if (response.destroyed) return;
  response.writeHead(status, {
    "Content-Type": type,
    "Content-Length": Buffer.byteLength(body),
    ...(type === TEXT && { "X-Content-Type-Options": "nosniff" }),
    ...(allow !== undefined && { Allow: allow }),
  });
  response.end(body);
}

function buildRoutes(server: Server, logger: Logger): ReadonlyMap<string, Route> {
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
    logger.warn({ reason }, "serving /health false");
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
        logger,
      );
    });
    for (const [name, check] of all) {
      const path = `${root}/${name}`;
      routes.set(path, (query, limits) => runChecks(path, [[name, check]], query, limits, logger));
    }
  }
  return routes;
}

async function runChecks(
  path: string,
  checks: readonly (readonly [name: string, check: Check])[],
  query: URLSearchParams,
  limits: CallLimits,
  logger: Logger,
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
    logger.warn({ path, reason: report }, "health check failed");
    // What etcd sends: the report as an error page, which adds a line break of its own.
    return { status: 503, type: TEXT, body: `${report}\n` };
  }
  return { status: 200, type: TEXT, body: query.has("verbose") ? `${report}ok\n` : "ok\n" };
}

function targetOf(request: IncomingMessage): { readonly path: string; readonly query: URLSearchParams } {
  const url = request.url ?? "/";
  const at = url.indexOf("?");
  return at < 0
    ? { path: url, query: new URLSearchParams() }
    : { path: url.slice(0, at), query: new URLSearchParams(url.slice(at + 1)) };
}

function allowedOrigin(cors: readonly string[], origin: string | undefined): string | undefined {
  if (cors.includes("*")) return "*";
  return origin !== undefined && cors.includes(origin) ? origin : undefined;
}

function hasBody(request: IncomingMessage): boolean {
  const length = request.headers["content-length"];
  return request.headers["transfer-encoding"] !== undefined || (length !== undefined && length !== "0");
}
