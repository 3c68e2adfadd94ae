import { parseArgs } from "node:util";
import { parse as parseYaml } from "yaml";
import {
  type AutoCompactionConfig,
  type ClientTlsConfig,
  ConfigError,
  checkListenUrl,
  FlagValueError,
  type PeerSpec,
  parseAutoCompaction,
  parseBool,
  parseClientTls,
  parseDurationMs,
  parseInitialCluster,
  parseInteger,
  parseUrls,
  splitOnce,
} from "./flag-values.ts";
import { flagOf, flagsByName, ignoredFlags, laterFlags, usage } from "./flags.ts";

/** Everything a member is told at its start. Frozen. Milliseconds and bytes unless a name says otherwise. */
export interface Config {
  readonly name: string;
  readonly dataDir: string;
  readonly walDir: string;
  readonly listenPeerUrls: readonly string[];
  readonly listenClientUrls: readonly string[];
  /** Undefined while every client URL is http://. */
  readonly clientTls: ClientTlsConfig | undefined;
  readonly advertisePeerUrls: readonly string[];
  readonly advertiseClientUrls: readonly string[];
  readonly initialCluster: readonly PeerSpec[];
  readonly initialClusterState: "new" | "existing";
  readonly initialClusterToken: string;
  readonly forceNewCluster: boolean;
  readonly heartbeatMs: number;
  readonly electionMs: number;
  readonly initialElectionTickAdvance: boolean;
  readonly preVote: boolean;
  readonly strictReconfigCheck: boolean;
  readonly maxLearners: number;
  readonly maxTxnOps: number;
  readonly maxRequestBytes: number;
  readonly maxConcurrentStreams: number;
  readonly windowEntries: number;
  /** Files of the log that are kept for followers that were away; 0: all. */
  readonly keepSegments: number;
  readonly walSegmentBytes: number;
  readonly compactionBatchKeys: number;
  readonly compactionPauseMs: number;
  readonly progressNotifyMs: number;
  readonly backendFlushMs: number;
  /** Undefined: no limit. */
  readonly quotaBytes: number | undefined;
  /** As it was given, 0 replaced by what it stands for. */
  readonly quotaTold: number;
  readonly autoDisarmNospace: boolean;
  readonly autoCompaction: AutoCompactionConfig;
  /** 0: off. */
  readonly corruptCheckMs: number;
  readonly compactHashCheckMs: number;
  readonly rpcTransport: "grpc-js" | "http2";
  readonly logLevel: "debug" | "info" | "warn" | "error";
  readonly logOutput: "stderr" | "stdout";
  /** Said once the logger is there. */
  readonly warnings: readonly string[];
}

/** N-12. */
const DEFAULT_QUOTA_BYTES = 2 * 1024 ** 3;
const MAX_ADVISED_QUOTA_BYTES = 8 * 1024 ** 3;

/** Limits that no flag moves, each with its reason. */
export const limits = {
  /** One MsgApp: etcd's figure; one message should not hold a peer's stream for long. */
  raftMessageBytes: 1 << 20,
  /** MsgApps under way to one follower. On a LAN four are as good; a longer line keeps more of them under way. */
  raftInflight: 16,
  /** A follower that keeps up hears of a commit at the latest so long after it; under load with the entries behind it. */
  commitNewsMs: 3,
  /** How long a leader's proposals gather, at the longest, for the write of those before them. */
  gatherMs: 5,
  raftInflightBytes: 16 << 20,
  /** Entries handed to apply at once. */
  raftCommittedBytes: 1 << 20,
  /** In the log and not applied: beyond it a leader takes no proposals, and they wait in the (bounded) queue of their member. */
  raftUncommittedBytes: 64 << 20,
  /** Applied entries kept in memory for followers, in bytes; older ones are read from the log on disk. */
  windowBytes: 64 << 20,
  /** Apply works at most this long in one turn, so that heartbeats and reads get theirs. */
  applyTurnMs: 10,
  /** A member may take back its own NOSPACE alarm below this share of its quota, and looks that often. */
  disarmShare: 0.9,
  disarmCheckMs: 1_000,
  /** The comparison of all stores takes at most this share of the time, however often it is asked for. */
  corruptCheckShare: 0.05,
  /** Before a difference is asked for a second time. */
  corruptAskAgainMs: 3_000,
  /** A member that has not applied so far yet is asked for its hash again. */
  hashRetryMs: 250,
  /** The hash of a large store takes its time. */
  hashTimeoutMs: 120_000,
  /** G-8: committed but not applied. */
  backlogEntries: 5_000,
  /** Requests that wait for their entry, and the bytes of their entries. */
  pendingProposals: 50_000,
  pendingProposalBytes: 128 << 20,
  /**
   * Given to raft by this member and not applied yet. Far below what a peer's queue (64 MiB) and the leader
   * (raftUncommittedBytes) take, so that those of several members fit together.
   */
  submittedProposalBytes: 8 << 20,
  /** Linearizable reads that wait for their round. */
  pendingReads: 50_000,
  /** Staged and not flushed: beyond the first a flush starts at once, beyond the second apply waits for it. */
  flushAtBytes: 8 << 20,
  stagedBytes: 128 << 20,
  /** Each reads the whole state; the next has to wait for a follower's next sign of life. */
  outgoingSnapshots: 2,
  /** What the log has behind a snapshot that was taken is kept this long at most, for its receiver to go on from there. */
  snapshotHoldMs: 300_000,
  /** From a snapshot that could not be sent to the next attempt. */
  snapshotRetryMs: 3_000,
  /** HashKV calls that wait for their turn: one is worked on at a time. */
  pendingHashes: 64,
  /** Maintenance.Snapshot calls under way: each reads the whole store twice, and keeps what it reads from being given back. */
  openDatabases: 2,
  /** A client that took less than so much of its snapshot while it was waited for so long loses its place to others. */
  databasePaceBytes: 1 << 20,
  databasePaceMs: 60_000,
  /** L-8 */
  leaseScanMs: 500,
  leaseExpiriesPerScan: 500,
  leaseRevokesInFlight: 16,
  leaseRevokeRetryMs: 3_000,
  /** P-34 */
  versionPollMs: 4_000,
  /** X-1: a read round that got no answer is asked again. */
  readRetryMs: 500,
  /** Bodies of peer HTTP requests other than raft's (P-36). */
  peerBodyBytes: 64 << 10,
  /** One watch stream: a client that reads at all empties 4 MiB in well under a second; others cost no more than this. */
  watchStreamBytes: 4 << 20,
  /** Ten thousand watches of one key on one stream get one event each without anybody reading history. */
  watchStreamResponses: 16_384,
  /** Two or three revisions of a hundred watchers: few who read at once ever have so many before them. */
  watchMergeFromResponses: 256,
  /** Then several revisions come at once, as from history, but no more than a client can use soon. */
  watchMergedBytes: 64 << 10,
  watchQueuedBytes: 256 << 20,
  watchers: 1_000_000,
  watcherKeyBytes: 256 << 20,
  /** W-7. */
  watchSliceRevisions: 1_000,
  /** etcd answers 6 MB of history in one response (V-6); more would hold the loop for too long. */
  watchSliceBytes: 8 << 20,
  watchSliceWatchers: 512,
  /** Responses this much larger than a request are split for watches that asked for fragments (W-13). */
  watchFragmentOverheadBytes: 512 << 10,
  /** Client connections of this member, where it may have as many files open (open-files.ts). */
  clientConnections: 10_000,
  /** gRPC receive limit above maxRequestBytes (G-9). */
  grpcOverheadBytes: 512 << 10,
} as const;

export type ParsedConfig =
  | { readonly kind: "run"; readonly config: Config }
  | { readonly kind: "version" }
  | { readonly kind: "help"; readonly text: string };

/** Of client-transport-security in the configuration file (operations.md section 1): flags of ours, and the others. */
const CLIENT_TLS_KEYS: ReadonlySet<string> = new Set(["cert-file", "key-file", "client-cert-auth", "trusted-ca-file"]);
const LATER_CLIENT_TLS_KEYS: ReadonlySet<string> = new Set([
  "client-cert-file",
  "client-key-file",
  "auto-tls",
  "allowed-cn",
  "allowed-hostname",
  "skip-client-san-verification",
]);

const envName = (flag: string): string => `ETCD_${flag.toUpperCase().replaceAll("-", "_")}`;

/** Throws ConfigError. `readFile` is for --config-file. */
export function parseConfig(
  argv: readonly string[],
  env: Readonly<Record<string, string | undefined>>,
  readFile: (path: string) => string,
): ParsedConfig {
  const given = parseCommandLine(argv);
  if (given.has("help")) return { kind: "help", text: usage() };
  if (given.has("version")) return { kind: "version" };
  const warnings: string[] = [];

  const configFile = given.get("config-file") ?? env["ETCD_CONFIG_FILE"] ?? "";
  if (configFile !== "") return { kind: "run", config: build(fromFile(configFile, readFile, warnings), warnings) };

  const fromEnv = new Set<string>();
  const known = new Set([...flagsByName.keys(), ...ignoredFlags, ...laterFlags]);
  for (const name of known) {
    const value = env[envName(name)];
    if (value === undefined || value === "") continue;
    if (given.has(name)) {
      throw new ConfigError(
        `conflicting environment variable "${envName(name)}" is shadowed by corresponding command-line flag ` +
          `"--${name}" (either unset environment variable or disable flag)`,
      );
    }
    given.set(name, value);
    fromEnv.add(name);
  }
  const envNames = new Set([...known].map(envName));
  for (const [name, value] of Object.entries(env)) {
    const special = ["ETCD_UNSUPPORTED_ARCH", "ETCD_CONFIG_FILE", "ETCD_BIN"].includes(name);
    if (name.startsWith("ETCD_") && value !== "" && !special && !envNames.has(name)) {
      warnings.push(`unrecognized environment variable ${name}`);
    }
  }
  try {
    return { kind: "run", config: build(given, warnings) };
  } catch (error) {
    if (!(error instanceof FlagValueError) || !fromEnv.has(error.flag)) throw error;
    throw new ConfigError(`invalid value "${error.value}" for ${envName(error.flag)}: ${error.why}`);
  }
}

/** One or two dashes, `--flag value`, `--flag=value`; a bool never takes the next word (O-1). */
function parseCommandLine(argv: readonly string[]): Map<string, string> {
  const normal: string[] = [];
  let expectsValue = false;
  for (const word of argv) {
    if (expectsValue || !word.startsWith("-") || word === "-" || word === "--") {
      normal.push(word);
      expectsValue = false;
      continue;
    }
    const [name = "", value] = splitOnce(word.replace(/^--?/, ""), "=");
    const bare = name === "h" ? "help" : name;
    if (value !== undefined) normal.push(`--${bare}=${value}`);
    else if (bare === "help" || bare === "version" || flagsByName.get(bare)?.kind === "bool")
      normal.push(`--${bare}=true`);
    else {
      normal.push(`--${bare}`);
      expectsValue = true;
    }
  }
  const names = ["help", "version", ...flagsByName.keys(), ...ignoredFlags, ...laterFlags];
  const options = Object.fromEntries(names.map((name) => [name, { type: "string" as const }]));
  const parsed = parseArgs({ args: normal, options, strict: false, allowPositionals: true, tokens: true });
  const given = new Map<string, string>();
  for (const token of parsed.tokens) {
    if (token.kind === "positional") throw new ConfigError(`'${token.value}' is not a valid flag`);
    if (token.kind !== "option") continue;
    if (!(token.name in options)) {
      throw new ConfigError(`flag provided but not defined: -${token.name}\n\n${usage()}`, 2);
    }
    if (token.value === undefined) throw new ConfigError(`flag needs an argument: -${token.name}\n\n${usage()}`, 2);
    given.set(token.name, token.value);
  }
  return given;
}

function fromFile(path: string, readFile: (path: string) => string, warnings: string[]): Map<string, string> {
  let parsed: unknown;
  try {
    parsed = parseYaml(readFile(path));
  } catch (cause) {
    throw new ConfigError(`cannot read --config-file ${path}: ${cause instanceof Error ? cause.message : cause}`);
  }
  if (parsed === null || typeof parsed !== "object" || Array.isArray(parsed)) {
    throw new ConfigError(`--config-file ${path} must hold a map of flag names to values`);
  }
  const given = new Map<string, string>();
  for (const [name, value] of Object.entries(parsed)) {
    if (value === null || value === "") continue;
    if (name === "client-transport-security" && typeof value === "object" && !Array.isArray(value)) {
      for (const [key, flag] of clientTlsOf(value, path, warnings)) given.set(key, flag);
      continue;
    }
    if (name === "client-transport-security" || name === "peer-transport-security") {
      throw new ConfigError(`${name} is not supported yet by this version of Quorate: remove it from ${path}`);
    }
    if (!flagsByName.has(name) && !ignoredFlags.has(name) && !laterFlags.has(name)) {
      warnings.push(`unknown key ${name} in ${path} is ignored`);
      continue;
    }
    const duration = flagsByName.get(name)?.kind === "durationMs" && typeof value === "number";
    if (Array.isArray(value)) given.set(name, value.join(","));
    else given.set(name, duration ? `${value}ns` : String(value));
  }
  return given;
}

/** etcd's map of the same names as its flags, and of these alone; what is empty or false is not given. */
function clientTlsOf(map: object, path: string, warnings: string[]): [flag: string, value: string][] {
  return Object.entries(map).flatMap(([name, value]): [string, string][] => {
    if (value === null || value === "" || value === false || (Array.isArray(value) && value.length === 0)) return [];
    if (CLIENT_TLS_KEYS.has(name)) return [[name, String(value)]];
    if (LATER_CLIENT_TLS_KEYS.has(name)) {
      throw new ConfigError(
        `client-transport-security: ${name} is not supported yet by this version of Quorate: remove it`,
      );
    }
    warnings.push(`unknown key ${name} of client-transport-security in ${path} is ignored`);
    return [];
  });
}

function build(given: ReadonlyMap<string, string>, warnings: string[]): Config {
  for (const name of given.keys()) {
    if (laterFlags.has(name)) {
      throw new ConfigError(`--${name} is not supported yet by this version of Quorate: start without it`);
    }
    if (ignoredFlags.has(name)) warnings.push(`--${name} has no effect in Quorate and is ignored`);
  }
  const raw = (name: string): string => given.get(name) ?? flagOf(name).fallback;
  const int = (name: string, min: number, max: number): number => parseInteger(flagOf(name), raw(name), min, max);
  const bool = (name: string): boolean => parseBool(flagOf(name), raw(name));
  const ms = (name: string): number => parseDurationMs(flagOf(name), raw(name));
  const urls = (name: string): string[] => parseUrls(name, raw(name), ["http:"]);
  const clientUrls = (name: string): string[] => parseUrls(name, raw(name), ["http:", "https:"]);

  const name = raw("name");
  const listenPeerUrls = urls("listen-peer-urls");
  const listenClientUrls = clientUrls("listen-client-urls");
  for (const [flag, list] of [
    ["listen-peer-urls", listenPeerUrls],
    ["listen-client-urls", listenClientUrls],
  ] as const) {
    for (const url of list) checkListenUrl(flag, url);
  }
  const clientTls = parseClientTls(
    {
      certFile: raw("cert-file"),
      keyFile: raw("key-file"),
      trustedCaFile: raw("trusted-ca-file"),
      clientCertAuth: bool("client-cert-auth"),
    },
    listenClientUrls,
    warnings,
  );
  if (given.has("listen-client-urls") && !given.has("advertise-client-urls")) {
    throw new ConfigError("--advertise-client-urls is required when --listen-client-urls is set explicitly");
  }
  const advertisePeerUrls = urls("initial-advertise-peer-urls");
  const initialCluster = given.has("initial-cluster")
    ? parseInitialCluster(raw("initial-cluster"))
    : [{ name, urls: [...advertisePeerUrls].sort() }];
  const dataDir = raw("data-dir") === "" ? `${name}.etcd` : raw("data-dir");

  const heartbeatMs = int("heartbeat-interval", 1, 50_000);
  const electionMs = int("election-timeout", 1, 50_000);
  if (5 * heartbeatMs > electionMs) {
    throw new ConfigError(
      `--election-timeout[${electionMs}ms] should be at least as 5 times as --heartbeat-interval[${heartbeatMs}ms]`,
    );
  }
  const state = raw("initial-cluster-state");
  if (state !== "new" && state !== "existing") {
    throw new FlagValueError("initial-cluster-state", state, "neither new nor existing");
  }
  const quotaTold =
    int("quota-backend-bytes", -Number.MAX_SAFE_INTEGER, Number.MAX_SAFE_INTEGER) || DEFAULT_QUOTA_BYTES;
  if (quotaTold > MAX_ADVISED_QUOTA_BYTES) {
    warnings.push(
      `--quota-backend-bytes ${quotaTold} is above ${MAX_ADVISED_QUOTA_BYTES}, the largest that is advised`,
    );
  }
  const rpcTransport = raw("rpc-transport");
  if (rpcTransport !== "grpc-js" && rpcTransport !== "http2") {
    throw new ConfigError(`--rpc-transport must be grpc-js or http2, not '${rpcTransport}'`);
  }
  const logLevel = raw("log-level");
  if (logLevel !== "debug" && logLevel !== "info" && logLevel !== "warn" && logLevel !== "error") {
    throw new ConfigError(`--log-level must be debug, info, warn or error, not '${logLevel}'`);
  }
  const logOutput = raw("log-outputs") === "default" ? "stderr" : raw("log-outputs");
  if (logOutput !== "stderr" && logOutput !== "stdout") {
    throw new ConfigError(`--log-outputs must be default, stderr or stdout, not '${logOutput}'`);
  }
  if (raw("log-format") !== "json") {
    throw new ConfigError(`--log-format must be 'json', not '${raw("log-format")}'`);
  }
  return Object.freeze({
    name,
    dataDir,
    walDir: raw("wal-dir") === "" ? `${dataDir}/member/wal` : raw("wal-dir"),
    listenPeerUrls,
    listenClientUrls,
    clientTls,
    advertisePeerUrls,
    advertiseClientUrls: clientUrls("advertise-client-urls"),
    initialCluster,
    initialClusterState: state,
    initialClusterToken: raw("initial-cluster-token"),
    forceNewCluster: bool("force-new-cluster"),
    heartbeatMs,
    electionMs,
    initialElectionTickAdvance: bool("initial-election-tick-advance"),
    preVote: bool("pre-vote"),
    strictReconfigCheck: bool("strict-reconfig-check"),
    maxLearners: int("max-learners", 0, 1_000),
    maxTxnOps: int("max-txn-ops", 1, 1_000_000),
    maxRequestBytes: int("max-request-bytes", 1, 256 << 20),
    maxConcurrentStreams: int("max-concurrent-streams", 1, 4_294_967_295),
    windowEntries: int("snapshot-catchup-entries", 1, 10_000_000),
    keepSegments: int("max-wals", 0, 1_000_000),
    walSegmentBytes: int("wal-segment-bytes", 4_096, 1 << 30),
    compactionBatchKeys: int("compaction-batch-limit", 1, 1_000_000),
    compactionPauseMs: ms("compaction-sleep-interval"),
    progressNotifyMs: Math.max(100, ms("watch-progress-notify-interval")),
    backendFlushMs: Math.max(1, ms("backend-batch-interval")),
    quotaBytes: quotaTold < 0 ? undefined : quotaTold,
    quotaTold,
    autoDisarmNospace: bool("auto-disarm-nospace"),
    autoCompaction: parseAutoCompaction(raw("auto-compaction-mode"), raw("auto-compaction-retention")),
    corruptCheckMs: ms("corrupt-check-time"),
    compactHashCheckMs: ms("compact-hash-check-time"),
    rpcTransport,
    logLevel,
    logOutput,
    warnings,
  } satisfies Config);
}

/**
 * What only matters while there is no data yet (O-5): this member must be in --initial-cluster, of a new cluster with
 * exactly its advertised URLs, and no URL may stand there twice. (A running one knows its URLs since it was added.)
 */
export function checkInitialCluster(config: Config): void {
  const own = config.initialCluster.find((peer) => peer.name === config.name);
  if (own === undefined) {
    throw new ConfigError(
      `couldn't find local name "${config.name}" in the initial cluster configuration: add ` +
        `${config.name}=${config.advertisePeerUrls.join(`,${config.name}=`)} to --initial-cluster`,
    );
  }
  const advertised = [...config.advertisePeerUrls].sort();
  if (config.initialClusterState === "new" && own.urls.join() !== advertised.join()) {
    throw new ConfigError(
      `--initial-cluster has ${own.name}=${own.urls.join()} but missing from --initial-advertise-peer-urls=${advertised.join()}`,
    );
  }
  const all = config.initialCluster.flatMap((peer) => peer.urls);
  if (new Set(all).size !== all.length) {
    throw new ConfigError(`--initial-cluster holds the same peer URL twice: ${all.join()}`);
  }
}

/** G-6. */
export function requestTimeoutMs(config: Config): number {
  return 5_000 + 2 * config.electionMs;
}
