import { type ClientHttp2Session, connect as connectHttp2 } from "node:http2";
import { request as httpsRequest } from "node:https";
import { connect } from "node:net";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { createAuthority } from "../tls/certificates.ts";
import { createSecured, type Secured } from "../tls/secured.ts";
import { Cluster, freePorts, MemberProcess, quorate } from "./cluster.ts";
import { EtcdctlSession, hasEtcdctl, run } from "./etcdctl.ts";
import { until } from "./until.ts";

const REJECTED = "rejected connection on client endpoint";

if (!hasEtcdctl) console.warn("SKIPPED: etcdctl is not on PATH, so nobody asks a member over TLS");

/** One member whose clients come over TLS, started with the flags that the README shows. */
describe.skipIf(!hasEtcdctl).each(["http2", "grpc-js"])("T-1: a member behind TLS, --rpc-transport=%s", (transport) => {
  let secured: Secured;
  let cluster: Cluster;
  let member: MemberProcess;
  let url: string;
  let client: { readonly cert: string; readonly key: string };

  const flagsOf = (): string[] => ["--cacert", secured.paths.trustedCaFile, "--cert", client.cert, "--key", client.key];
  const etcdctl = (...args: string[]) => run("etcdctl", [`--endpoints=${url}`, ...args], { env: { ETCDCTL_API: "3" } });
  const rejections = (): number => member.log.split(REJECTED).length - 1;

  beforeAll(async () => {
    secured = createSecured();
    client = secured.files.write("client", secured.client);
    const [port, peer] = (await freePorts(2)) as [number, number];
    url = `https://127.0.0.1:${port}`;
    const dataDir = join(secured.files.directory, "data");
    const { certFile, keyFile, trustedCaFile } = secured.paths;
    member = new MemberProcess("default", dataDir, port, peer, [
      `--data-dir=${dataDir}`,
      `--listen-client-urls=${url}`,
      `--advertise-client-urls=${url}`,
      `--listen-peer-urls=http://127.0.0.1:${peer}`,
      `--initial-advertise-peer-urls=http://127.0.0.1:${peer}`,
      `--initial-cluster=default=http://127.0.0.1:${peer}`,
      `--cert-file=${certFile}`,
      `--key-file=${keyFile}`,
      `--trusted-ca-file=${trustedCaFile}`,
      `--rpc-transport=${transport}`,
    ]);
    cluster = new Cluster([member], secured.files.directory);
    member.start();
    await member.ready();
    await member.logged("serving client traffic securely");
  });
  afterAll(() => cluster?.destroy());

  test("etcdctl puts, gets and watches, and finds its address among the members", async () => {
    const watch = new EtcdctlSession([url], ...flagsOf(), "watch", "k");
    const put = await etcdctl(...flagsOf(), "put", "k", "v");
    expect([put.code, put.stdout, put.stderr]).toEqual([0, "OK\n", ""]);
    const get = await etcdctl(...flagsOf(), "get", "k", "--print-value-only");
    expect(get.stdout).toBe("v\n");
    // The watch may have come behind that put.
    for (let n = 0; !watch.output.includes("k\n"); n++) {
      expect(n).toBeLessThan(100);
      await etcdctl(...flagsOf(), "put", "k", `${n}`);
    }
    await watch.until(/PUT\nk\n/);
    await watch.stop();
    expect((await etcdctl(...flagsOf(), "member", "list")).stdout).toContain(url);
    expect((await etcdctl(...flagsOf(), "endpoint", "health", "--cluster")).code).toBe(0);
    expect(member.log).not.toContain(REJECTED);
  });

  test("a client without a certificate, or with one of somebody else, is refused and logged", async () => {
    const stranger = secured.files.write("stranger", createAuthority().issue("stranger", "clientAuth"));
    const ca = ["--cacert", secured.paths.trustedCaFile];
    for (const shown of [[], ["--cert", stranger.cert, "--key", stranger.key]]) {
      const before = rejections();
      const put = await etcdctl(...ca, ...shown, "--command-timeout=2s", "put", "k", "refused");
      expect(put.code).not.toBe(0);
      await until("the refusal is logged", () => rejections() > before);
    }
    const lines = member.log.split("\n").filter((line) => line.includes(REJECTED));
    expect(JSON.parse(lines[0] ?? "")).toMatchObject({
      level: "warn",
      "remote-addr": expect.stringMatching(/^127\.0\.0\.1:\d+$/),
      "server-name": "",
      error: "peer did not return a certificate",
    });
    expect(lines.at(-1)).toContain("UNABLE_TO_VERIFY_LEAF_SIGNATURE");
    expect((await etcdctl(...flagsOf(), "get", "k", "--print-value-only")).stdout).not.toContain("refused");
  });

  test("a client that trusts another authority does not talk to it", async () => {
    const other = secured.files.text("other-ca.crt", createAuthority("other").cert);
    const shown = ["--cacert", other, "--cert", client.cert, "--key", client.key];
    const put = await etcdctl(...shown, "--command-timeout=2s", "put", "k", "refused");
    expect(put.code).not.toBe(0);
    expect(put.stderr).toContain("certificate signed by unknown authority");
  });

  test("/health with HTTP/1.1 and with HTTP/2, as curl asks", async () => {
    const shown = { ca: secured.authority.cert, cert: secured.client.cert, key: secured.client.key };
    const healthy = '{"health":"true","reason":""}';
    const first = await new Promise<[number | undefined, string]>((resolve, reject) => {
      const request = httpsRequest(`${url}/health`, { ...shown, agent: false }, (response) => {
        let body = "";
        response.setEncoding("utf8").on("data", (text: string) => {
          body += text;
        });
        response.on("end", () => resolve([response.statusCode, body]));
      });
      request.on("error", reject);
      request.end();
    });
    expect(first).toEqual([200, healthy]);
    const session: ClientHttp2Session = connectHttp2(url, shown);
    const second = await new Promise<string>((resolve, reject) => {
      session.on("error", reject);
      const request = session.request({ ":path": "/health" });
      let body = "";
      request.setEncoding("utf8").on("data", (text: string) => {
        body += text;
      });
      request.on("end", () => resolve(body));
    });
    session.destroy();
    expect(second).toBe(healthy);
  });

  test("half a handshake is closed within 10 s; plain text and garbage harm nobody", async () => {
    const startedAt = Date.now();
    const closed = (bytes: Buffer): Promise<number> =>
      new Promise((resolve) => {
        const socket = connect({ host: "127.0.0.1", port: member.clientPort }, () => socket.write(bytes));
        socket.on("error", () => undefined);
        socket.on("close", () => resolve(Date.now() - startedAt));
        socket.resume();
      });
    const slow = Array.from({ length: 50 }, () => closed(Buffer.from([0x16, 3, 1, 2, 0, 1])));
    const wrong = [closed(Buffer.from("GET /health HTTP/1.1\r\n\r\n")), closed(Buffer.alloc(5_000, 0xff))];
    expect((await etcdctl(...flagsOf(), "put", "k", "meanwhile")).stdout).toBe("OK\n");
    await Promise.all(wrong);
    for (const took of await Promise.all(slow)) expect(took).toBeGreaterThan(9_000);
    expect(Date.now() - startedAt).toBeLessThan(40_000);
    expect((await etcdctl(...flagsOf(), "get", "k", "--print-value-only")).stdout).toBe("meanwhile\n");
  });

  test("certificates that are replaced, all of another authority, serve without a restart", async () => {
    const former = flagsOf();
    const next = createAuthority("next");
    secured.files.write("server", next.issue("server", "serverAuth"));
    const nextCa = secured.files.text("ca.crt", next.cert);
    const own = secured.files.write("next-client", next.issue("client", "clientAuth"));
    const put = await etcdctl("--cacert", nextCa, "--cert", own.cert, "--key", own.key, "put", "k", "rotated");
    expect([put.code, put.stdout, put.stderr]).toEqual([0, "OK\n", ""]);
    expect((await etcdctl(...former, "--command-timeout=2s", "get", "k")).code).not.toBe(0);
    expect(member.log).toContain("client TLS files have changed and are in use");
  });
});

test("T-1: a member whose certificate is not there does not start, says why, and leaves no directory behind", async () => {
  const { files, paths } = createSecured();
  const [port, peer] = (await freePorts(2)) as [number, number];
  const dataDir = join(files.directory, "data");
  const missing = join(files.directory, "none.crt");
  const url = `https://127.0.0.1:${port}`;
  const flags = [
    `--data-dir=${dataDir}`,
    `--listen-client-urls=${url}`,
    `--advertise-client-urls=${url}`,
    `--listen-peer-urls=http://127.0.0.1:${peer}`,
    `--cert-file=${missing}`,
    `--key-file=${paths.keyFile}`,
  ];
  const result = await run(quorate, flags);
  expect(result.code).toBe(1);
  expect(result.stderr).toContain(`cannot read --cert-file ${missing}: ENOENT`);
  expect((await run("ls", [dataDir])).code).not.toBe(0);
  files.remove();
});
