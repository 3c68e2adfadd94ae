import { rmSync } from "node:fs";
import { connect as connectHttp2 } from "node:http2";
import { request as httpsRequest } from "node:https";
import { type ConnectionOptions, connect as connectTls, type TLSSocket } from "node:tls";
import { afterAll, afterEach, describe, expect, it } from "vitest";
import { rpcs } from "../../proto/generated/services.ts";
import { TlsFiles } from "../../src/http/tls-files.ts";
import { type Port, type PortOptions, recordingLogger, until } from "../rpc/harness.ts";
import { type CertificateFiles, createAuthority } from "../tls/certificates.ts";
import { createSecured, type Secured } from "../tls/secured.ts";
import { clientPorts, echo, stillServes } from "./client-port.ts";

const REJECTED = "rejected connection on client endpoint";
const { KVRange } = rpcs;
const { open: openAny, raw } = clientPorts();
const sockets: TLSSocket[] = [];
const directories: CertificateFiles[] = [];
afterEach(() => {
  for (const socket of sockets.splice(0)) socket.destroy();
});
afterAll(() => {
  for (const files of directories) files.remove();
});

function secure(): Secured {
  const secured = createSecured();
  directories.push(secured.files);
  return secured;
}
const shared = secure();

const open = (options: PortOptions = {}): Promise<Port> =>
  openAny([echo], { transport: "http2", secured: shared, ...options });
const shown = ({ authority, client }: Secured = shared): ConnectionOptions => ({
  ca: authority.cert,
  cert: client.cert,
  key: client.key,
});
const rejections = (port: Port): object[] =>
  port.logger.lines.filter(({ level, msg }) => level === "warn" && msg === REJECTED).map(({ fields }) => fields);

/** Resolves with what came, when the server closed the connection; a client of TLS 1.3 is refused after its handshake. */
function closedBy(port: Port, options: ConnectionOptions): Promise<string> {
  return new Promise((resolve) => {
    const socket = connectTls({ host: "127.0.0.1", port: port.port, ...options });
    sockets.push(socket);
    let outcome = "closed";
    socket.on("error", (error: NodeJS.ErrnoException) => {
      outcome = error.code ?? error.message;
    });
    socket.on("close", () => resolve(outcome));
    socket.resume();
  });
}

function secured(port: Port, options: ConnectionOptions): Promise<TLSSocket> {
  return new Promise((resolve, reject) => {
    const socket = connectTls({ host: "127.0.0.1", port: port.port, ...options }, () => resolve(socket));
    sockets.push(socket);
    socket.on("error", reject);
  });
}

function get(port: Port, path: string): Promise<[status: number | undefined, version: string, body: string]> {
  return new Promise((resolve, reject) => {
    const request = httpsRequest({ host: "127.0.0.1", port: port.port, path, agent: false, ...shown() }, (response) => {
      let body = "";
      response.setEncoding("utf8").on("data", (text: string) => {
        body += text;
      });
      response.on("end", () => resolve([response.statusCode, response.httpVersion, body]));
    });
    request.on("error", reject);
    request.end();
  });
}

describe("T-1: what is spoken behind TLS", () => {
  it("ALPN: h2 before http/1.1; without it the first bytes decide; who offers neither is refused", async () => {
    const port = await open();
    const chosen = async (protocols?: string[]): Promise<unknown> =>
      (await secured(port, { ...shown(), ...(protocols && { ALPNProtocols: protocols }) })).alpnProtocol;
    expect(await chosen(["h2"])).toBe("h2");
    expect(await chosen(["http/1.1", "h2"])).toBe("h2");
    expect(await chosen(["http/1.1"])).toBe("http/1.1");
    expect(await chosen()).toBe(false);
    expect(await closedBy(port, { ...shown(), ALPNProtocols: ["spdy/3"] })).toBe(
      "ERR_SSL_TLSV1_ALERT_NO_APPLICATION_PROTOCOL",
    );
    expect(rejections(port)).toMatchObject([{ error: "no application protocol" }]);
  });

  it("HTTP/1.1 and gRPC without ALPN", async () => {
    const port = await open();
    expect(await get(port, "/")).toEqual([200, "1.1", "plain http\n"]);
    const socket = await secured(port, shown());
    const session = connectHttp2("https://127.0.0.1", { createConnection: () => socket });
    const request = session.request({ ":method": "POST", ":path": KVRange.path, "content-type": "application/grpc" });
    request.end(Buffer.alloc(5));
    const headers = await new Promise<Record<string, unknown>>((resolve) => request.on("response", resolve));
    expect(headers["content-type"]).toBe("application/grpc");
    session.destroy();
  });

  it("plain endpoints over HTTP/2: methods, headers, bodies that nobody reads, faults", async () => {
    const seen: object[] = [];
    const port = await open({
      http: async (request) => {
        seen.push([request.method, request.target, request.origin]);
        if (request.target === "/fault") throw new TypeError("secret of the house");
        return { status: 404, headers: { "x-c": "ü" }, body: "b".repeat(200_000) };
      },
    });
    const session = port.connect();
    const ask = (head: Record<string, string>, body?: Buffer): Promise<[Record<string, unknown>, number]> =>
      new Promise((resolve, reject) => {
        const request = session.request(head, { endStream: body === undefined });
        let headers: Record<string, unknown> = {};
        let bytes = 0;
        request.on("response", (got) => {
          headers = got;
        });
        request.on("data", (chunk: Buffer) => {
          bytes += chunk.length;
        });
        request.on("end", () => resolve([headers, bytes]));
        request.on("error", reject);
        if (body !== undefined) request.end(body);
      });
    const [headers, bytes] = await ask({ ":path": "/a?b=c", origin: "http://a" });
    expect([headers[":status"], headers["content-length"], bytes]).toEqual([404, "200000", 200_000]);
    const [posted] = await ask({ ":method": "POST", ":path": "/p" }, Buffer.alloc(100_000));
    expect(posted[":status"]).toBe(404);
    expect(await ask({ ":method": "HEAD", ":path": "/h" })).toMatchObject([{ "content-length": "200000" }, 0]);
    const [fault] = await ask({ ":path": "/fault" });
    expect(fault[":status"]).toBe(500);
    expect(port.logger.lines.find(({ level }) => level === "error")?.fields).toMatchObject({ url: "/fault" });
    expect(seen).toEqual([
      ["GET", "/a?b=c", "http://a"],
      ["POST", "/p", undefined],
      ["HEAD", "/h", undefined],
      ["GET", "/fault", undefined],
    ]);
    session.destroy();
    await stillServes(port);
  });
});

describe("T-1: who is refused", () => {
  it("clients without a certificate, with one of somebody else, for servers, or out of date", async () => {
    const port = await open();
    const { authority } = shared;
    const ca = authority.cert;
    const { cert, key } = createAuthority().issue("stranger", "clientAuth");
    const server = authority.issue("server", "serverAuth");
    const old = authority.issue("old", "clientAuth", -1);
    const refusals: [ConnectionOptions, string][] = [
      [{ ca }, "peer did not return a certificate"],
      [{ ca, cert, key }, "the client's certificate is refused: UNABLE_TO_VERIFY_LEAF_SIGNATURE"],
      [{ ca, cert: server.cert, key: server.key }, "the client's certificate is refused: INVALID_PURPOSE"],
      [{ ca, cert: old.cert, key: old.key }, "the client's certificate is refused: CERT_HAS_EXPIRED"],
    ];
    for (const maxVersion of ["TLSv1.3", "TLSv1.2"] as const) {
      for (const [options, error] of refusals) {
        const before = rejections(port).length;
        await closedBy(port, { ...options, maxVersion });
        await until(() => rejections(port).length > before);
        const logged = { "remote-addr": expect.stringMatching(/^127\.0\.0\.1:\d+$/), "server-name": "", error };
        expect(rejections(port).slice(before)).toEqual([logged]);
      }
    }
    expect(await closedBy(port, { ca })).toBe("ERR_SSL_TLSV13_ALERT_CERTIFICATE_REQUIRED");
    await until(() => port.listener.connectionCount === 0);
    await stillServes(port);
  });

  it("TLS 1.1, plain text and garbage, with one line each; who only looks whether the port is open has none", async () => {
    const port = await open();
    for (const bytes of [
      "GET /health HTTP/1.1\r\nHost: x\r\n\r\n",
      "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
      "\xff".repeat(999),
    ]) {
      const before = rejections(port).length;
      const client = raw(port);
      client.socket.write(bytes, "latin1");
      await client.closed;
      await until(() => rejections(port).length === before + 1);
      expect(String(client.received)).not.toContain("HTTP");
    }
    raw(port).socket.end();
    raw(port).socket.resetAndDestroy();
    await until(() => port.listener.connectionCount === 0);
    expect(rejections(port).length).toBe(3);
    const old = { minVersion: "TLSv1.1", maxVersion: "TLSv1.1", ciphers: "ALL@SECLEVEL=0" } as const;
    expect(await closedBy(port, { ...shown(), ...old })).toBe("ERR_SSL_TLSV1_ALERT_PROTOCOL_VERSION");
    await until(() => rejections(port).length === 4);
    await stillServes(port);
  });

  it("handshakes that do not end, whether nothing comes or a byte at a time; silence after one", async () => {
    const port = await open({ handshakeTimeoutMs: 300 });
    const silent = raw(port);
    const dripping = raw(port);
    dripping.socket.setNoDelay(true);
    // The head of a long record, and its bytes one by one: none of them ends the record.
    dripping.socket.write(Buffer.from([0x16, 3, 1, 0x20, 0]));
    const drip = setInterval(() => dripping.socket.write(Buffer.from([1])), 20);
    const startedAt = Date.now();
    const idle = await secured(port, shown());
    const idleClosed = new Promise((resolve) => idle.on("close", resolve));
    await Promise.all([silent.closed, dripping.closed, idleClosed]);
    clearInterval(drip);
    expect(Date.now() - startedAt).toBeGreaterThanOrEqual(250);
    await until(() => port.listener.connectionCount === 0);
    expect(rejections(port)).toEqual(
      Array(2).fill(expect.objectContaining({ error: "TLS handshake timeout", "remote-addr": expect.any(String) })),
    );
  });

  it("connections beyond the limit, also while the others are only half way through their handshakes", async () => {
    const port = await open({ maxConnections: 20 });
    const halves = Array.from({ length: 20 }, () => {
      const client = raw(port);
      client.socket.write(Buffer.from([0x16, 3, 1, 2, 0, 1]));
      return client;
    });
    await until(() => port.listener.connectionCount === 20);
    const more = Array.from({ length: 200 }, () => raw(port));
    await Promise.all(more.map(({ closed }) => closed));
    expect(port.listener.connectionCount).toBe(20);
    expect(port.logger.lines.filter(({ msg }) => msg.includes("too many are open")).length).toBe(1);
    for (const { socket } of halves) socket.destroy();
    await until(() => port.listener.connectionCount === 0);
    await stillServes(port);
  });
});

describe("T-1: files that change while a member runs", () => {
  const subjectSeen = async (port: Port, ca: string, from: Secured): Promise<string> => {
    const socket = await secured(port, { ...shown(from), ca });
    const { subject } = socket.getPeerCertificate();
    socket.destroy();
    return String(subject["CN"]);
  };

  it("a new certificate serves the next handshake, and connections that are there stay", async () => {
    const own = secure();
    const port = await open({ secured: own });
    await stillServes(port);
    expect(await subjectSeen(port, own.authority.cert, own)).toBe("server");
    own.files.write("server", own.authority.issue("renewed", "serverAuth"));
    expect(await subjectSeen(port, own.authority.cert, own)).toBe("renewed");
    await stillServes(port);
  });

  it("a new authority is asked about the next client, also about one that would resume its session", async () => {
    const own = secure();
    const port = await open({ secured: own });
    for (const maxVersion of ["TLSv1.3", "TLSv1.2"] as const) {
      own.files.text("ca.crt", own.authority.cert);
      const first = await secured(port, { ...shown(own), maxVersion, ALPNProtocols: ["http/1.1"] });
      let session = first.getSession();
      first.on("session", (given) => {
        session = given;
      });
      first.write("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
      await new Promise((resolve) => first.once("data", resolve));
      first.destroy();
      const again = await secured(port, { ...shown(own), maxVersion, ...(session && { session }) });
      expect(again.isSessionReused()).toBe(false);
      again.destroy();
      const before = rejections(port).length;
      own.files.text("ca.crt", createAuthority("another").cert);
      await closedBy(port, { ...shown(own), maxVersion, ...(session && { session }) });
      await until(() => rejections(port).length === before + 1);
    }
  });

  it("files that do not fit together or are gone: those before them stay in use, and that is said once", async () => {
    const own = secure();
    const port = await open({ secured: own });
    const warnings = (): string[] =>
      port.logger.lines.filter(({ level }) => level === "warn").map(({ fields }) => JSON.stringify(fields));
    const renewed = own.authority.issue("renewed", "serverAuth");
    own.files.text("server.crt", renewed.cert);
    for (let i = 0; i < 3; i++) expect(await subjectSeen(port, own.authority.cert, own)).toBe("server");
    expect(warnings()).toEqual([expect.stringContaining("does not belong to the first certificate")]);
    own.files.text("server.key", renewed.key);
    expect(await subjectSeen(port, own.authority.cert, own)).toBe("renewed");
    own.files.text("ca.crt", "");
    expect(await subjectSeen(port, own.authority.cert, own)).toBe("renewed");
    expect(warnings().slice(1)).toEqual([expect.stringContaining("ca.crt holds no certificate")]);
    own.files.remove();
    expect(await subjectSeen(port, own.authority.cert, own)).toBe("renewed");
    expect(warnings().slice(2)).toEqual([expect.stringContaining("cannot read --cert-file")]);
  });
});

describe("T-1: files that go away again and again", () => {
  it("are warned about once each time", () => {
    const { files, open: openFiles, authority } = secure();
    const logger = recordingLogger();
    const tls = openFiles(logger);
    const first = tls.current();
    for (let i = 1; i <= 3; i++) {
      files.text("ca.crt", "");
      for (let n = 0; n < 3; n++) expect(tls.current()).toBe(first);
      files.text("ca.crt", authority.cert);
      expect(tls.current()).toBe(first);
      rmSync(`${files.directory}/ca.crt`);
      for (let n = 0; n < 3; n++) expect(tls.current()).toBe(first);
      files.text("ca.crt", authority.cert);
      expect(tls.current()).toBe(first);
      expect(logger.lines.map(({ level }) => level)).toEqual(
        Array(2 * i)
          .fill(["warn", "info"])
          .flat(),
      );
    }
  });
});

describe("T-1: files that cannot serve at the start", () => {
  it("are named, with what they should be", () => {
    const { files, paths, authority } = secure();
    const refusal = (changed: Partial<typeof paths>): string => {
      try {
        new TlsFiles({ ...paths, ...changed }, recordingLogger());
      } catch (thrown) {
        return thrown instanceof Error ? thrown.message : String(thrown);
      }
      return "accepted";
    };
    expect(refusal({})).toBe("accepted");
    const missing = `${files.directory}/none.pem`;
    expect(refusal({ certFile: missing })).toBe(
      `cannot read --cert-file ${missing}: ENOENT: no such file or directory, open '${missing}': ` +
        "name a PEM file that this member may read",
    );
    expect(refusal({ keyFile: files.directory })).toContain(`cannot read --key-file ${files.directory}: EISDIR`);
    const text = files.text("text.pem", "not PEM\n");
    expect(refusal({ certFile: text })).toContain(`--cert-file ${text} holds no certificate`);
    expect(refusal({ keyFile: text })).toContain(`--key-file ${text} must hold a private key in PEM`);
    expect(refusal({ trustedCaFile: text })).toContain(`--trusted-ca-file ${text} holds no certificate`);
    const torn = files.text("torn.pem", authority.cert.replace(/\n.{20}/, "\n"));
    expect(refusal({ trustedCaFile: torn })).toContain(`${torn}: its certificate number 1 is damaged`);
    const two = authority.cert + createAuthority("second").cert;
    const cut = files.text("cut.pem", two.slice(0, -120));
    const without = `--trusted-ca-file ${cut} holds a certificate without its end`;
    expect(refusal({ trustedCaFile: cut })).toContain(without);
    files.text("cut.pem", two.slice(authority.cert.length, -120) + authority.cert);
    expect(refusal({ trustedCaFile: cut })).toContain(without);
    files.text("cut.pem", two);
    expect(refusal({ trustedCaFile: cut })).toBe("accepted");
    const other = files.write("other", authority.issue("other", "serverAuth"));
    expect(refusal({ keyFile: other.key })).toBe(
      `--key-file ${other.key} does not belong to the first certificate of --cert-file ${paths.certFile}: name a pair`,
    );
  });
});
