import { describe, expect, test } from "vitest";
import { type Config, checkInitialCluster, parseConfig, requestTimeoutMs } from "../../src/config.ts";
import { ConfigError } from "../../src/flag-values.ts";
import { minLeaseTtlSeconds } from "../../src/server/restored-machine.ts";

const noFile = (path: string): string => {
  throw new Error(`no file ${path}`);
};

function config(argv: readonly string[], env: Record<string, string> = {}, file = noFile): Config {
  const parsed = parseConfig(argv, env, file);
  if (parsed.kind !== "run") throw new Error(`not a run: ${parsed.kind}`);
  return parsed.config;
}

function refused(argv: readonly string[], env: Record<string, string> = {}): ConfigError {
  try {
    parseConfig(argv, env, noFile);
  } catch (error) {
    if (error instanceof ConfigError) return error;
    throw error;
  }
  throw new Error(`accepted: ${argv.join(" ")}`);
}

describe("O-1: the command line", () => {
  test("without flags it is etcd's default member", () => {
    expect(config([])).toMatchObject({
      name: "default",
      dataDir: "default.etcd",
      walDir: "default.etcd/member/wal",
      listenClientUrls: ["http://localhost:2379"],
      listenPeerUrls: ["http://localhost:2380"],
      initialCluster: [{ name: "default", urls: ["http://localhost:2380"] }],
      initialClusterToken: "etcd-cluster",
      heartbeatMs: 100,
      electionMs: 1000,
      preVote: true,
      maxTxnOps: 128,
      maxRequestBytes: 1_572_864,
      compactionPauseMs: 10,
      progressNotifyMs: 600_000,
      rpcTransport: "http2",
    });
  });

  test("--rpc-transport is one of two, from the environment, too", () => {
    expect(config(["--rpc-transport=grpc-js"]).rpcTransport).toBe("grpc-js");
    expect(config([], { ETCD_RPC_TRANSPORT: "grpc-js" }).rpcTransport).toBe("grpc-js");
    expect(refused(["--rpc-transport=quic"])).toMatchObject({
      message: "--rpc-transport must be grpc-js or http2, not 'quic'",
      exitCode: 1,
    });
  });

  test("one dash or two, = or a word; a bool takes no word", () => {
    expect(config(["-name", "a"]).name).toBe("a");
    expect(config(["--name=a=b"]).name).toBe("a=b");
    expect(config(["--pre-vote=false"]).preVote).toBe(false);
    expect(config(["--pre-vote", "--name", "x"])).toMatchObject({ preVote: true, name: "x" });
    expect(refused(["--pre-vote", "false"])).toMatchObject({ message: "'false' is not a valid flag", exitCode: 1 });
  });

  test("an unknown flag or an unusable value: usage, exit 2", () => {
    expect(refused(["--no-such-flag=1"])).toMatchObject({ exitCode: 2 });
    expect(refused(["--no-such-flag=1"]).message).toMatch(/^flag provided but not defined: -no-such-flag\n\nUsage:/);
    expect(refused(["--heartbeat-interval=soon"]).message).toMatch(
      /^invalid value "soon" for flag -heartbeat-interval/,
    );
    expect(refused(["--heartbeat-interval=soon"]).exitCode).toBe(2);
    expect(refused(["--compaction-sleep-interval=10"]).exitCode).toBe(2);
    expect(refused(["--name"]).message).toMatch(/^flag needs an argument: -name/);
    expect(refused(["stray"])).toMatchObject({ message: "'stray' is not a valid flag", exitCode: 1 });
  });

  test("durations are Go's", () => {
    expect(config(["--compaction-sleep-interval=1m1.5s"]).compactionPauseMs).toBe(61_500);
    expect(config(["--compaction-sleep-interval=250us"]).compactionPauseMs).toBe(0.25);
  });

  test("--version and --help win", () => {
    expect(parseConfig(["--version"], {}, noFile).kind).toBe("version");
    expect(parseConfig(["-h"], {}, noFile).kind).toBe("help");
    expect(parseConfig(["--help", "--name=x"], {}, noFile).kind).toBe("help");
  });

  test("a flag that etcd has and Quorate not yet is refused by name; one without meaning is warned about", () => {
    expect(refused(["--peer-cert-file=x"]).message).toContain("--peer-cert-file is not supported yet");
    expect(refused([], { ETCD_AUTH_TOKEN: "jwt" }).message).toContain("--auth-token");
    expect(config(["--logger=zap"]).warnings).toEqual(["--logger has no effect in Quorate and is ignored"]);
    expect(refused(["--listen-peer-urls=https://127.0.0.1:1"]).message).toContain("https:// is not supported yet");
  });
});

describe("T-1: TLS for clients", () => {
  const at = ["--listen-client-urls=https://127.0.0.1:1", "--advertise-client-urls=https://a.example:1"];
  const pair = ["--cert-file=c.pem", "--key-file=k.pem"];

  test("https:// needs a certificate and its key; what is told is handed on", () => {
    expect(config([...at, ...pair])).toMatchObject({
      listenClientUrls: ["https://127.0.0.1:1"],
      advertiseClientUrls: ["https://a.example:1"],
      clientTls: { certFile: "c.pem", keyFile: "k.pem", trustedCaFile: undefined, clientCertRequired: false },
      warnings: [],
    });
    expect(refused(at)).toMatchObject({
      message:
        "TLS key/cert (--cert-file, --key-file) must be provided for client url https://127.0.0.1:1 with HTTPS scheme",
      exitCode: 1,
    });
    expect(refused([...at, "--cert-file=c.pem"]).message).toBe(
      "--cert-file is of no use without --key-file: give both",
    );
    expect(refused(["--key-file=k.pem"]).message).toContain("without --cert-file");
  });

  test("a scheme in upper case asks for TLS as one in lower case does", () => {
    const upper = ["--listen-client-urls=HTTPS://127.0.0.1:1", "--advertise-client-urls=https://a.example:1"];
    expect(config([...upper, ...pair, "--trusted-ca-file=ca.pem"])).toMatchObject({
      clientTls: { certFile: "c.pem", clientCertRequired: true },
      warnings: [],
    });
    expect(refused(upper).message).toContain("must be provided for client url HTTPS://127.0.0.1:1");
  });

  test("an authority, or --client-cert-auth, makes clients show a certificate", () => {
    expect(config([...at, ...pair, "--trusted-ca-file=ca.pem"])).toMatchObject({
      clientTls: { trustedCaFile: "ca.pem", clientCertRequired: true },
      warnings: [],
    });
    const public_ = config([...at, ...pair, "--client-cert-auth"]);
    expect(public_.clientTls).toMatchObject({ trustedCaFile: undefined, clientCertRequired: true });
    expect(public_.warnings).toEqual([expect.stringContaining("trusts every public certificate authority")]);
  });

  test("on http:// it has no effect, which is said; both kinds of URLs go together", () => {
    expect(config([...pair, "--client-cert-auth"])).toMatchObject({
      clientTls: undefined,
      warnings: [expect.stringContaining("ignoring key and cert files"), expect.stringContaining("client cert auth")],
    });
    const both = ["--listen-client-urls=https://127.0.0.1:1,http://127.0.0.1:2", "--advertise-client-urls=http://a:1"];
    expect(config([...both, ...pair]).warnings).toEqual([expect.stringContaining("for http://127.0.0.1:2")]);
    expect(config([...both, ...pair]).clientTls).toBeDefined();
  });

  test("O-2, O-3: from the environment, and from etcd's map in the configuration file", () => {
    const env = { ETCD_CERT_FILE: "c.pem", ETCD_KEY_FILE: "k.pem", ETCD_CLIENT_CERT_AUTH: "true" };
    expect(config(at, { ...env, ETCD_TRUSTED_CA_FILE: "ca.pem" }).clientTls).toEqual({
      certFile: "c.pem",
      keyFile: "k.pem",
      trustedCaFile: "ca.pem",
      clientCertRequired: true,
    });
    const file = (more: string): string =>
      "listen-client-urls: https://127.0.0.1:1\nadvertise-client-urls: https://127.0.0.1:1\n" +
      `client-transport-security:\n  cert-file: c.pem\n  key-file: k.pem\n  trusted-ca-file:\n${more}`;
    expect(config(["--config-file=x"], {}, () => file("  client-cert-auth: false\n  auto-tls: false\n"))).toMatchObject(
      {
        clientTls: { certFile: "c.pem", keyFile: "k.pem", trustedCaFile: undefined, clientCertRequired: false },
      },
    );
    expect(() => config(["--config-file=x"], {}, () => file("  auto-tls: true\n"))).toThrow(
      "client-transport-security: auto-tls is not supported yet",
    );
    for (const later of ["client-cert-file: c", "allowed-cn: [a]", "skip-client-san-verification: true"]) {
      expect(() => config(["--config-file=x"], {}, () => file(`  ${later}\n`))).toThrow("is not supported yet");
    }
    // Names of other flags are nothing to this map.
    const named = `name: right\n${file("  name: wrong\n  data-dir: /elsewhere\n  peer-auto-tls: true\n")}`;
    expect(config(["--config-file=x"], {}, () => named)).toMatchObject({
      name: "right",
      dataDir: "right.etcd",
      warnings: ["name", "data-dir", "peer-auto-tls"].map(
        (key) => `unknown key ${key} of client-transport-security in x is ignored`,
      ),
    });
    expect(() => config(["--config-file=x"], {}, () => "peer-transport-security:\n  cert-file: c\n")).toThrow(
      "peer-transport-security is not supported yet",
    );
  });
});

test("N-12: quota: 0 is 2 GiB, negative is none, more than 8 GiB is warned about", () => {
  expect(config([])).toMatchObject({ quotaBytes: 2_147_483_648, quotaTold: 2_147_483_648, autoDisarmNospace: false });
  expect(config(["--quota-backend-bytes", "-1"])).toMatchObject({ quotaBytes: undefined, quotaTold: -1 });
  expect(config(["--quota-backend-bytes=16777216"])).toMatchObject({ quotaBytes: 16_777_216, warnings: [] });
  const large = config([`--quota-backend-bytes=${9 * 2 ** 30}`]);
  expect([large.quotaBytes, large.warnings.length]).toEqual([9_663_676_416, 1]);
  expect(refused(["--quota-backend-bytes=1G"]).exitCode).toBe(2);
  expect(refused(["--max-txn-ops=-1"]).exitCode).toBe(2);
});

test("C-6: automatic compaction: a bare number counts hours or revisions, 0 is off", () => {
  const of = (retention: string, mode = "periodic"): unknown =>
    config([`--auto-compaction-mode=${mode}`, `--auto-compaction-retention=${retention}`]).autoCompaction;
  expect(config([]).autoCompaction).toEqual({ mode: "off" });
  expect(of("2")).toEqual({ mode: "periodic", periodMs: 7_200_000 });
  expect(of("1h30m")).toEqual({ mode: "periodic", periodMs: 5_400_000 });
  expect(of("0s")).toEqual({ mode: "off" });
  expect(of("1000", "revision")).toEqual({ mode: "revision", revisions: 1_000 });
  expect(of("0", "revision")).toEqual({ mode: "off" });
  expect(() => of("1h", "revision")).toThrow("counts revisions");
  expect(() => of("1ms")).toThrow("at least");
  expect(() => of("1", "hourly")).toThrow("unsupported compaction mode hourly");
});

test("O-5: membership", () => {
  expect(config([])).toMatchObject({ strictReconfigCheck: true, maxLearners: 1, initialClusterState: "new" });
  const flags = ["--strict-reconfig-check=false", "--max-learners=3", "--initial-cluster-state=existing"];
  expect(config(flags)).toMatchObject({ strictReconfigCheck: false, maxLearners: 3, initialClusterState: "existing" });
  expect(refused(["--initial-cluster-state=old"])).toMatchObject({ exitCode: 2 });
  expect(refused(["--max-learners=-1"])).toMatchObject({ exitCode: 2 });
});

test("G-6: a request may take 5 seconds and two election time-outs", () => {
  expect(requestTimeoutMs(config([]))).toBe(7_000);
  expect(requestTimeoutMs(config(["--election-timeout=2500"]))).toBe(10_000);
});

test("L-1: the least time-to-live is one and a half election time-outs, in whole ticks, rounded up to a second", () => {
  expect(minLeaseTtlSeconds(config([]))).toBe(2);
  expect(minLeaseTtlSeconds(config(["--election-timeout=5000"]))).toBe(8);
  expect(minLeaseTtlSeconds(config(["--heartbeat-interval=300", "--election-timeout=2000"]))).toBe(3);
  expect(minLeaseTtlSeconds(config(["--heartbeat-interval=10", "--election-timeout=50"]))).toBe(1);
});

test("G-9, G-10: one request may have 1.5 MiB, and a connection as many streams as HTTP/2 can count", () => {
  expect(config([])).toMatchObject({ maxRequestBytes: 1.5 * 1024 * 1024, maxConcurrentStreams: 2 ** 32 - 1 });
  expect(config(["--max-concurrent-streams=5"]).maxConcurrentStreams).toBe(5);
});

test("W-12: progress notifications come every ten minutes unless told otherwise, and never more often than every 100 ms", () => {
  expect(config([]).progressNotifyMs).toBe(600_000);
  expect(config(["--watch-progress-notify-interval=3s"]).progressNotifyMs).toBe(3_000);
  expect(config(["--watch-progress-notify-interval=1ms"]).progressNotifyMs).toBe(100);
});

describe("O-2: the environment", () => {
  test("ETCD_ variables stand for flags; empty ones for nothing; unknown ones are warned about", () => {
    expect(config([], { ETCD_NAME: "e", ETCD_HEARTBEAT_INTERVAL: "50" })).toMatchObject({ name: "e", heartbeatMs: 50 });
    expect(config([], { ETCD_NAME: "" }).name).toBe("default");
    expect(config([], { ETCD_NAEM: "e" }).warnings).toEqual(["unrecognized environment variable ETCD_NAEM"]);
  });

  test("a value that the flag cannot have is said by the variable's name, exit 1", () => {
    expect(refused([], { ETCD_HEARTBEAT_INTERVAL: "x" })).toMatchObject({
      message: 'invalid value "x" for ETCD_HEARTBEAT_INTERVAL: not a whole number',
      exitCode: 1,
    });
  });

  test("the same option twice is a conflict", () => {
    expect(refused(["--name=f"], { ETCD_NAME: "e" }).message).toBe(
      'conflicting environment variable "ETCD_NAME" is shadowed by corresponding command-line flag "--name" ' +
        "(either unset environment variable or disable flag)",
    );
  });
});

describe("O-3: the configuration file", () => {
  const file = (): string => "name: f\nheartbeat-interval: 20\ncompaction-sleep-interval: 5000000\nunknown-key: 1\n";
  test("all other flags and variables are ignored; durations are nanoseconds", () => {
    const read = config(["--config-file=x.yml", "--name=other"], { ETCD_NAME: "third" }, file);
    expect(read).toMatchObject({ name: "f", heartbeatMs: 20, compactionPauseMs: 5 });
    expect(read.warnings).toEqual(["unknown key unknown-key in x.yml is ignored"]);
  });
  test("a missing or unreadable one: exit 1", () => {
    expect(refused(["--config-file=x.yml"])).toMatchObject({ exitCode: 1 });
    expect(() => config(["--config-file=x"], {}, () => "- a\n- b\n")).toThrow(/must hold a map/);
  });
});

describe("O-5: validation", () => {
  test("the election time-out is at least five heartbeats", () => {
    expect(refused(["--heartbeat-interval=300"]).message).toMatch(/at least as 5 times/);
    expect(refused(["--election-timeout=50001"]).message).toMatch(/from 1 to 50000/);
  });
  test("listen-client-urls needs advertise-client-urls", () => {
    expect(refused(["--listen-client-urls=http://127.0.0.1:1"]).message).toContain(
      "--advertise-client-urls is required",
    );
  });
  test("listen URLs are IPs of this machine with a port", () => {
    expect(refused(["--listen-peer-urls=http://example.com:1"]).message).toContain("expected IP in URL for binding");
    expect(refused(["--listen-peer-urls=http://127.0.0.1"]).message).toContain("host:port");
    expect(refused(["--listen-peer-urls=nonsense"]).message).toContain("not a URL such as");
    expect(refused(["--listen-peer-urls=nonsense"]).exitCode).toBe(2);
    expect(refused(["--listen-peer-urls=http://127.0.0.1:99999"]).message).toContain("99999 is no port number");
    expect(config(["--listen-peer-urls=http://[::1]:1"]).listenPeerUrls).toEqual(["http://[::1]:1"]);
  });
  test("initial-cluster holds this member with its own URLs, and none twice", () => {
    const urls = "--initial-advertise-peer-urls=http://127.0.0.1:1";
    expect(() => checkInitialCluster(config([urls]))).not.toThrow();
    expect(() => checkInitialCluster(config([urls, "--initial-cluster=b=http://127.0.0.1:1"]))).toThrow(
      /couldn't find local name "default"/,
    );
    expect(() => checkInitialCluster(config([urls, "--initial-cluster=default=http://127.0.0.1:2"]))).toThrow(
      /missing from --initial-advertise-peer-urls/,
    );
    const twice = "--initial-cluster=default=http://127.0.0.1:1,b=http://127.0.0.1:1";
    expect(() => checkInitialCluster(config([urls, twice]))).toThrow(/same peer URL twice/);
    expect(refused(["--initial-cluster=broken"]).message).toContain("not of the form name=http://host:port");
  });
});
