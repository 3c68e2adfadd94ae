import { lookup } from "node:dns/promises";
import { readFileSync } from "node:fs";
import { setTimeout as delay } from "node:timers/promises";
import type { Backend } from "../storage/backend.ts";
import { openLevelBackend } from "../storage/level-backend.ts";
import { nodeDisk, readOnlyNodeDisk } from "../storage/node-disk.ts";
import { commands, type Run } from "./commands/commands.ts";
import { type Config, limits, parseConfig, requestTimeoutMs } from "./config.ts";
import { ConfigError } from "./flag-values.ts";
import { type ClientListener, type ClientTls, listenClient } from "./http/client-listener.ts";
import { createHttpServer, httpDefaults } from "./http/http-server.ts";
import { createRoutes } from "./http/routes.ts";
import { TlsFiles } from "./http/tls-files.ts";
import type { Logger } from "./log.ts";
import { createPinoLog } from "./log-pino.ts";
import { createNodeEnv } from "./node-env.ts";
import { type ConnectionRoom, connectionRoom, openFilesLimit } from "./open-files.ts";
import { PeerHttpClient } from "./peer/http-client.ts";
import { openPeerTransport } from "./peer/http-transport.ts";
import { DEFAULT_PEER_LIMITS } from "./peer/limits.ts";
import { NameLookup } from "./peer/name-lookup.ts";
import type { PeerResponse } from "./peer/transport.ts";
import { createGrpcJsServer, grpcJsDefaults } from "./rpc/grpc-js-server.ts";
import { grpcStateSource } from "./rpc/grpc-state-source.ts";
import { createHttp2Server, http2Defaults } from "./rpc/http2/http2-server.ts";
import { bootstrap } from "./server/bootstrap.ts";
import { hexId } from "./server/ids.ts";
import { type Member, startMember } from "./server/member.ts";
import { clusterService } from "./services/cluster.ts";
import { guardHandlers } from "./services/guard.ts";
import { healthService } from "./services/health.ts";
import { kvService } from "./services/kv.ts";
import { leaseService } from "./services/lease.ts";
import { maintenanceService } from "./services/maintenance.ts";
import { watchService } from "./services/watch.ts";
import { ETCD_API_VERSION, QUORATE_VERSION } from "./version.ts";

/** Running calls get this long when the member stops, and when it starts anew from a snapshot. */
const STOP_GRACE_MS = 5_000;
const REPLACE_GRACE_MS = 500;
/** A disk that hangs must not keep a stopping member for ever; everything acknowledged is synced already. */
const STOP_LIMIT_MS = 20_000;
const LOG_FLUSH_MS = 2_000;
const HANDSHAKE_TIMEOUT_MS = 10_000;

async function main(): Promise<void> {
  const words = process.argv.slice(2);
  const run = await commands.get(words[0] ?? "")?.();
  if (run !== undefined) return await command(run, words.slice(1));
  let config: Config;
  try {
    const parsed = parseConfig(words, process.env, (path) => readFileSync(path, "utf8"));
    if (parsed.kind === "help") return print(`${parsed.text}\n`);
    if (parsed.kind === "version") return print(versionText());
    config = parsed.config;
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    process.stderr.write(`${error.message}\n`);
    process.exitCode = error.exitCode;
    return;
  }
  const log = createPinoLog({ level: config.logLevel, fd: config.logOutput === "stdout" ? 1 : 2 });
  try {
    await runMember(config, log.logger, async (ending) => {
      await log.flush(LOG_FLUSH_MS);
      endProcess(ending);
    });
  } catch (error) {
    log.logger.error({ error: messageOf(error), advice: adviceFor(error) }, "failed to start the member");
    await log.flush(LOG_FLUSH_MS);
    process.exit(1);
  }
}

/** One that is not a member's life: it does its work and ends. */
async function command(run: Run, words: readonly string[]): Promise<void> {
  let ending: Ending = 0;
  const interruption = (): AbortSignal => {
    const interrupted = new AbortController();
    for (const signal of ["SIGINT", "SIGTERM"] as const) {
      process.on(signal, () => {
        ending = signal;
        interrupted.abort(new Error(`interrupted (${signal})`));
      });
    }
    return interrupted.signal;
  };
  const code = await run(words, {
    disk: nodeDisk,
    readOnlyDisk: readOnlyNodeDisk,
    openBackend: (path) => openLevelBackend(path),
    openSource: grpcStateSource,
    now: () => performance.now(),
    wallTime: () => new Date().toISOString(),
    out: print,
    err: (text) => process.stderr.write(text),
    interruption,
  });
  if (code === 0 || ending === 0) process.exitCode = code;
  else endProcess(ending);
}

/** An exit code, or the signal that ended a graceful stop. */
type Ending = number | NodeJS.Signals;

/** O-4: after a graceful stop the signal is raised again, so that a shell sees what ended it; pid 1 just ends. */
function endProcess(ending: Ending): void {
  if (typeof ending === "number" || process.pid === 1) process.exit(typeof ending === "number" ? ending : 0);
  process.removeAllListeners(ending);
  process.kill(process.pid, ending);
}

/**
 * Starts the member and returns; `exit` ends the process later. A member that took a snapshot from its leader is stopped
 * and started again within the process: so there is one way to come by a state, the one that every start takes.
 */
async function runMember(config: Config, log: Logger, exit: (ending: Ending) => Promise<void>): Promise<void> {
  for (const warning of config.warnings) log.warn({}, warning);
  log.info(
    {
      name: config.name,
      "data-dir": config.dataDir,
      "quorate-version": QUORATE_VERSION,
      "etcd-version": ETCD_API_VERSION,
      "listen-client-urls": config.listenClientUrls,
      "listen-peer-urls": config.listenPeerUrls,
    },
    "starting etcd server",
  );
  const edge = { clientTls: openClientTls(config, log), room: roomForConnections(log) };

  let ended = false;
  const onFatal = (reason: unknown): void => {
    if (ended) return;
    ended = true;
    log.error({ error: messageOf(reason), stack: stackOf(reason) }, "this member cannot go on and stops");
    void exit(1);
  };
  process.on("uncaughtException", onFatal);
  process.on("unhandledRejection", onFatal);

  /** The member as it runs now; undefined between two of its lives. */
  let life: Life | undefined;
  /** The end of the one before, when that is under way. */
  let formerEnd: Promise<void> | undefined;
  let isStopping = false;
  const stopGracefully = (ending: Ending): void => {
    if (isStopping) return;
    isStopping = true;
    (async () => {
      await formerEnd;
      await life?.member.handOver();
      await life?.end(STOP_GRACE_MS);
      if (ending === 0) log.warn({ "data-dir": config.dataDir }, "data-dir used by this member must be removed");
      log.info({ name: config.name }, "closed etcd server");
      ended = true;
      await exit(ending);
    })().catch(onFatal);
  };
  const startAnew = (): void => {
    const replaced = life;
    if (isStopping || replaced === undefined) return;
    log.info({}, "restarting from a database snapshot");
    life = undefined;
    (async () => {
      formerEnd = replaced.end(REPLACE_GRACE_MS);
      await formerEnd;
      formerEnd = undefined;
      if (!isStopping) await live();
    })().catch(onFatal);
  };
  let isFirst = true;
  const live = async (): Promise<void> => {
    // What is forced is forced once: who starts anew from a snapshot has a leader, and others beside it.
    const own = isFirst ? config : { ...config, forceNewCluster: false };
    isFirst = false;
    life = await startLife(own, log, edge, { onFatal, onRemoved: () => stopGracefully(0), onReplaced: startAnew });
    await life.serve();
  };

  const stop = (signal: NodeJS.Signals): void => {
    if (!isStopping) log.info({ signal }, "received signal; shutting down");
    stopGracefully(signal);
  };
  process.on("SIGTERM", () => stop("SIGTERM"));
  process.on("SIGINT", () => stop("SIGINT"));
  // Only when a launcher started this member with a channel: it has gone without a word, so nobody would ever stop us.
  process.once("disconnect", () => stop("SIGTERM"));
  await live();
}

/** From reading its disk to the end of its work: a process has one such life, and another after each snapshot. */
interface Life {
  readonly member: Member;
  /** Resolves when it serves clients, or when it ended before it could. */
  serve(): Promise<void>;
  /** Everything is on the disk and nothing runs any more. Calls that run get `graceMs`. Rejects when the disk hangs. */
  end(graceMs: number): Promise<void>;
}

interface LifeEvents {
  readonly onFatal: (reason: unknown) => void;
  readonly onRemoved: () => void;
  readonly onReplaced: () => void;
}

async function startLife(config: Config, log: Logger, edge: Edge, events: LifeEvents): Promise<Life> {
  const env = createNodeEnv();
  const openBackend = (path: string): Promise<Backend> => openLevelBackend(path, { onFailure: events.onFatal });
  const askPeer = (url: string, path: string, timeoutMs: number): Promise<PeerResponse> =>
    peerClient.call(url, { method: "GET", path, timeoutMs });
  const peerClient = new PeerHttpClient(env, DEFAULT_PEER_LIMITS.responseBytes, new NameLookup(env), {
    perHost: DEFAULT_PEER_LIMITS.callSockets,
    total: Number.POSITIVE_INFINITY,
    kept: true,
  });
  const booted = await bootstrap(config, { disk: nodeDisk, log, openBackend, askPeer, resolveHost });
  peerClient.close();
  const member: Member = await startMember(config, booted, {
    env,
    log,
    disk: nodeDisk,
    openBackend: (path) => openLevelBackend(path),
    createTransport: (identity, callbacks) =>
      openPeerTransport({
        env,
        logger: log,
        identity,
        listenUrls: config.listenPeerUrls,
        callbacks,
        limits: { connections: edge.room.peers, callSockets: edge.room.calls },
      }),
    ...events,
  });
  log.info(
    {
      "member-id": hexId(booted.memberId),
      "cluster-id": hexId(booted.clusterId),
      "applied-index": member.server.status().appliedIndex,
    },
    "joined the cluster's peers",
  );

  const stopping = new AbortController();
  let listener: ClientListener | undefined;
  return {
    member,
    async serve() {
      try {
        await member.ready;
      } catch (error) {
        // An end before readiness is told by whoever caused it.
        if (stopping.signal.aborted) return;
        throw error;
      }
      if (stopping.signal.aborted) return;
      const opened = await serveClients(config, member, log, edge, stopping.signal);
      if (stopping.signal.aborted) return await opened.close(0);
      listener = opened;
      log.info({}, "ready to serve client requests");
      for (const { host, port, secure } of listener.addresses) {
        log.info(
          { traffic: "grpc+http", address: `${host}:${port}` },
          secure
            ? "serving client traffic securely"
            : "serving client traffic insecurely; this is strongly discouraged!",
        );
      }
    },
    async end(graceMs) {
      stopping.abort();
      await listener?.close(graceMs);
      const inTime = await Promise.race([member.stop().then(() => true), delay(STOP_LIMIT_MS, false, { ref: false })]);
      if (!inTime) throw new Error(`the disk did not finish its work within ${STOP_LIMIT_MS} ms of the stop`);
    },
  };
}

/** What all of a process's lives have in common towards those that connect. */
interface Edge {
  readonly clientTls: ClientTls | undefined;
  readonly room: ConnectionRoom;
}

/** Throws when the process may have too few files open for a member. */
function roomForConnections(log: Logger): ConnectionRoom {
  const wanted = {
    clients: limits.clientConnections,
    peers: DEFAULT_PEER_LIMITS.connections,
    calls: DEFAULT_PEER_LIMITS.callSockets,
  };
  const openFiles = openFilesLimit();
  const room = connectionRoom(openFiles, wanted);
  if (room.clients < wanted.clients) {
    log.warn(
      { "open-files": openFiles, "client-connections": room.clients, "peer-connections": room.peers },
      `few open files: with more than ${openFiles} (ulimit -n) this member would take more connections`,
    );
  }
  return room;
}

/** Throws for files that cannot serve: before anything else is begun. */
function openClientTls({ clientTls }: Config, logger: Logger): ClientTls | undefined {
  if (clientTls === undefined) return undefined;
  return { files: new TlsFiles(clientTls, logger), clientCertRequired: clientTls.clientCertRequired };
}

async function serveClients(
  config: Config,
  { server }: Member,
  logger: Logger,
  { clientTls, room }: Edge,
  stopping: AbortSignal,
): Promise<ClientListener> {
  const env = createNodeEnv();
  const streams = { env, electionMs: config.electionMs, stopping };
  const handlers = guardHandlers(server, [
    ...kvService(server, { env, maxTxnOps: config.maxTxnOps }),
    ...watchService(server, { ...streams, progressNotifyMs: config.progressNotifyMs }),
    ...leaseService(server, streams),
    ...clusterService(server),
    ...maintenanceService(server, {
      ...streams,
      databasePace: { bytes: limits.databasePaceBytes, waitMs: limits.databasePaceMs },
    }),
    ...healthService(),
  ]);
  const plain = createRoutes(server, { env, logger, requestTimeoutMs: requestTimeoutMs(config), cors: ["*"] });
  const rpcOptions = {
    maxReceiveBytes: config.maxRequestBytes + limits.grpcOverheadBytes,
    maxConcurrentStreams: config.maxConcurrentStreams,
    plain,
    env,
    logger,
  };
  const rpc =
    config.rpcTransport === "http2"
      ? createHttp2Server(handlers, { ...http2Defaults, ...rpcOptions })
      : createGrpcJsServer(handlers, { ...grpcJsDefaults, ...rpcOptions });
  const http = createHttpServer(plain, httpDefaults, logger);
  return await listenClient(config.listenClientUrls, rpc, http, {
    maxConnections: room.clients,
    handshakeTimeoutMs: HANDSHAKE_TIMEOUT_MS,
    ...(clientTls !== undefined && { tls: clientTls }),
    env,
    logger,
  });
}

/** One address, an IPv4 one if there is any, as etcd's resolver gives it. */
async function resolveHost(host: string): Promise<string> {
  return (await lookup(host.replace(/^\[(.*)\]$/, "$1"), { order: "ipv4first" })).address;
}

/** O-1: etcd's four lines, and one of our own. */
function versionText(): string {
  return [
    `etcd Version: ${ETCD_API_VERSION}`,
    "Git SHA: none",
    `Go Version: none (Node ${process.versions.node})`,
    `Go OS/Arch: ${process.platform}/${process.arch}`,
    `Quorate Version: ${QUORATE_VERSION}`,
    "",
  ].join("\n");
}

function print(text: string): void {
  process.stdout.write(text);
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

function adviceFor(error: unknown): string | undefined {
  const code = error instanceof Error && "code" in error ? error.code : undefined;
  switch (code) {
    case "EADDRINUSE":
      return "another process listens there: stop it, or choose other --listen-client-urls or --listen-peer-urls";
    case "EADDRNOTAVAIL":
      return "this machine has no such address: choose one of its own for the --listen-...-urls";
    case "EACCES":
    case "EPERM":
    case "EROFS":
    case "ENOTDIR":
      return "this member needs a directory of its own that it may write to: see --data-dir and --wal-dir";
    case "EMFILE":
      return "raise the limit of open files (ulimit -n)";
    case "ENOSPC":
      return "the disk is full: this member needs room for its state, and 64 MB at a time for its log";
    default:
      return undefined;
  }
}

function stackOf(error: unknown): string | undefined {
  return error instanceof Error ? error.stack : undefined;
}

await main();
