/**
 * Every command-line flag of etcd 3.6 and what Quorate does with it. The table is the one place
 * that knows them: parsing, environment, config file, usage text and refusals are all read off it.
 */
export type FlagKind = "text" | "bool" | "int" | "durationMs" | "urls";

export interface Flag {
  readonly name: string;
  readonly kind: FlagKind;
  readonly fallback: string;
  readonly help: string;
}

const flag = (name: string, kind: FlagKind, fallback: string, help: string): Flag => ({ name, kind, fallback, help });

export const flags: readonly Flag[] = [
  flag("name", "text", "default", "member name; the key of this member in --initial-cluster"),
  flag("data-dir", "text", "", "where this member keeps its data (default: NAME.etcd)"),
  flag("wal-dir", "text", "", "where the log lies (default: DATA-DIR/member/wal)"),
  flag("listen-peer-urls", "urls", "http://localhost:2380", "addresses to listen on for other members"),
  flag("listen-client-urls", "urls", "http://localhost:2379", "addresses to listen on for clients (gRPC and HTTP)"),
  flag("initial-advertise-peer-urls", "urls", "http://localhost:2380", "peer addresses told to the other members"),
  flag("advertise-client-urls", "urls", "http://localhost:2379", "client addresses told to clients"),
  flag("cert-file", "text", "", "certificate, in PEM, of the https:// addresses in --listen-client-urls"),
  flag("key-file", "text", "", "its private key, in PEM"),
  flag("client-cert-auth", "bool", "false", "clients of these must show a certificate that is trusted"),
  flag("trusted-ca-file", "text", "", "trusted authorities, in PEM; then clients must show a certificate"),
  flag("initial-cluster", "text", "", "all members: n1=url,n2=url (default: NAME=advertised peer URLs)"),
  flag("initial-cluster-state", "text", "new", "'new', or 'existing' to join the cluster it was added to"),
  flag("initial-cluster-token", "text", "etcd-cluster", "makes the ids of this cluster differ from others'"),
  flag("force-new-cluster", "bool", "false", "go on alone with this data: the other members are lost for good"),
  flag("heartbeat-interval", "int", "100", "milliseconds between a leader's heartbeats"),
  flag("election-timeout", "int", "1000", "milliseconds without a leader before an election"),
  flag("initial-election-tick-advance", "bool", "true", "shorten the first election timeout after a start"),
  flag("pre-vote", "bool", "true", "ask whether an election could be won before starting one"),
  flag("strict-reconfig-check", "bool", "true", "refuse membership changes that would cost the cluster its majority"),
  flag("max-learners", "int", "1", "learners in the cluster at most (the same on every member)"),
  flag("max-txn-ops", "int", "128", "operations in one transaction at most"),
  flag("max-request-bytes", "int", "1572864", "bytes of one request at most"),
  flag("max-concurrent-streams", "int", "4294967295", "concurrent gRPC streams per connection at most"),
  flag("snapshot-catchup-entries", "int", "5000", "applied log entries kept in memory for slow followers"),
  flag("max-wals", "int", "5", "files of the log that are kept for members that were away (0: all)"),
  flag("wal-segment-bytes", "int", "64000000", "size of one file of the log (a flag of Quorate's own)"),
  flag("quota-backend-bytes", "int", "0", "bytes the state store may take; 0 is 2 GiB, negative is no limit"),
  flag("auto-disarm-nospace", "bool", "false", "Quorate's own: take the NOSPACE alarm back when there is room again"),
  flag("auto-compaction-mode", "text", "periodic", "'periodic' or 'revision'"),
  flag("auto-compaction-retention", "text", "0", "history to keep: 90m, 2 (hours) or a number of revisions; 0 is all"),
  flag("corrupt-check-time", "durationMs", "1m", "how often the leader compares the stores of all members; 0 is never"),
  flag("compact-hash-check-time", "durationMs", "1m", "how often it compares what compactions left; 0 is never"),
  flag("compaction-batch-limit", "int", "1000", "keys cleaned in one slice of a compaction"),
  flag("compaction-sleep-interval", "durationMs", "10ms", "pause between two slices of a compaction"),
  flag("watch-progress-notify-interval", "durationMs", "10m", "how often idle watchers with progress_notify hear"),
  flag("backend-batch-interval", "durationMs", "1500ms", "longest time before applied changes reach the state store"),
  flag("rpc-transport", "text", "http2", "Quorate's own: what serves gRPC, 'grpc-js' or 'http2' (faster, newer)"),
  flag("log-level", "text", "info", "debug, info, warn or error"),
  flag("log-outputs", "text", "default", "'default' or 'stderr', 'stdout'"),
  flag("log-format", "text", "json", "'json'"),
  flag("config-file", "text", "", "YAML file; every other flag and ETCD_* variable is then ignored"),
];

export const flagsByName: ReadonlyMap<string, Flag> = new Map(flags.map((flag) => [flag.name, flag]));

export function flagOf(name: string): Flag {
  const flag = flagsByName.get(name);
  if (flag === undefined) throw new Error(`no flag ${name} in the table`);
  return flag;
}

/** Known to etcd, without an effect here; accepted with a warning so that existing start scripts work. */
export const ignoredFlags: ReadonlySet<string> = new Set(
  (
    "logger backend-bbolt-freelist-type memory-mlock v2-deprecation discovery-fallback discovery-proxy " +
    "enable-distributed-tracing distributed-tracing-address distributed-tracing-service-name " +
    "distributed-tracing-instance-id distributed-tracing-sampling-rate cluster-active-size cluster-remove-delay " +
    "cluster-sync-interval force max-result-buffer max-retry-attempts peer-heartbeat-interval peer-election-timeout " +
    "retry-interval snapshot backend-batch-limit snapshot-count max-snapshots enable-pprof metrics enable-grpc-gateway " +
    "raft-read-timeout raft-write-timeout downgrade-check-time bootstrap-defrag-threshold-megabytes"
  ).split(" "),
);

/** Known to etcd and promised for a later release: setting one is refused, since ignoring it would break a promise. */
export const laterFlags: ReadonlySet<string> = new Set(
  (
    "listen-client-http-urls peer-cert-file peer-key-file peer-client-cert-auth " +
    "peer-trusted-ca-file auth-token bcrypt-cost auth-token-ttl listen-metrics-urls " +
    "client-cert-file client-key-file client-crl-file client-cert-allowed-hostname " +
    "auto-tls peer-client-cert-file peer-client-key-file peer-auto-tls peer-crl-file peer-cert-allowed-cn " +
    "peer-cert-allowed-hostname peer-skip-client-san-verification self-signed-cert-validity cipher-suites " +
    "tls-min-version tls-max-version cors host-whitelist grpc-keepalive-min-time grpc-keepalive-interval " +
    "grpc-keepalive-timeout discovery discovery-srv discovery-srv-name " +
    "warning-apply-duration warning-unary-request-duration unsafe-no-fsync socket-reuse-port socket-reuse-address " +
    "enable-log-rotation log-rotation-config-json feature-gates discovery-endpoints discovery-token " +
    "discovery-dial-timeout discovery-request-timeout discovery-keepalive-time discovery-keepalive-timeout " +
    "discovery-insecure-transport discovery-insecure-skip-tls-verify discovery-cert discovery-key discovery-cacert " +
    "discovery-user discovery-password"
  ).split(" "),
);

export function usage(): string {
  const lines = [
    "Usage: quorate [flags]",
    "       quorate restore FILE --data-dir DIR [flags]         from a snapshot file",
    "       quorate import ETCD-DATA-DIR --data-dir DIR [flags] from a stopped etcd",
    "       quorate inspect DATA-DIR...                         what members have",
    "       quorate rebuild --data-dir DIR --endpoints URLS     a damaged state store",
    "       (each with --help)",
    "",
    "  Starts one member. Flags and ETCD_* variables are etcd's.",
    "",
  ];
  for (const { name, kind, fallback, help } of flags) {
    lines.push(`  --${name}${fallback === "" ? "" : ` '${fallback}'`}${kind === "bool" ? " (true|false)" : ""}`);
    lines.push(`        ${help}`);
  }
  lines.push("  --version", "        print versions and exit", "  --help", "        print this and exit");
  return lines.join("\n");
}
