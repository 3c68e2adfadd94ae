import { request as httpRequest } from "node:http";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { AlarmRequestAlarmAction, AlarmType } from "../../proto/generated/etcdserverpb.ts";
import { errors } from "../../src/api/errors.ts";
import { createRoutes } from "../../src/http/routes.ts";
import { env, openPort, type Port, RawClient, recordingLogger } from "../rpc/harness.ts";
import { FakeServer } from "../services/fake-server.ts";

let fake: FakeServer;
let port: Port;
async function open(cors: readonly string[] = ["*"]): Promise<void> {
  const routes = createRoutes(fake.server, { env, logger: recordingLogger(), requestTimeoutMs: 7_000, cors });
  port = await openPort([], { http: routes });
}
beforeEach(async () => {
  fake = await FakeServer.open();
  await open();
});
afterEach(() => port.close());

interface Reply {
  readonly status: number;
  readonly body: string;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
}

function get(path: string, method = "GET", headers: Record<string, string> = {}, body = ""): Promise<Reply> {
  return new Promise((resolve, reject) => {
    const request = httpRequest({ host: "127.0.0.1", port: port.port, path, method, headers }, (response) => {
      let text = "";
      response.setEncoding("utf8").on("data", (chunk: string) => {
        text += chunk;
      });
      response.on("end", () => resolve({ status: response.statusCode ?? 0, body: text, headers: response.headers }));
    });
    request.on("error", reject);
    request.end(body);
  });
}

const activate = (type: number): void => {
  const action = AlarmRequestAlarmAction.ACTIVATE;
  fake.session.answer({ alarm: { action, alarm: type, memberID: fake.server.memberId } });
};

describe("/version", () => {
  it("tells etcd's versions and Quorate's own", async () => {
    const { status, body, headers } = await get("/version");
    expect(status).toBe(200);
    expect(headers["content-type"]).toBe("application/json");
    expect(body).toMatch(
      /^\{"etcdserver":"3.6.14","etcdcluster":"3.6.0","storage":"3.6.0","quorate":"\d+\.\d+\.\d+"\}$/,
    );
  });

  it("says so while the cluster version is not decided", async () => {
    fake.version = undefined;
    expect((await get("/version")).body).toContain('"etcdcluster":"not_decided","storage":"unknown"');
  });
});

describe("/health", () => {
  const healthy = '{"health":"true","reason":""}';
  const sick = (reason: string): string => `${JSON.stringify({ health: "false", reason })}\n`;

  it("is true after a linearizable read", async () => {
    const { status, body, headers } = await get("/health");
    expect([status, body, headers["content-type"]]).toEqual([200, healthy, "text/plain; charset=utf-8"]);
    expect(fake.asked).toEqual(["readBarrier"]);
  });

  it("tells of a missing leader, and of a failed read; serializable skips both", async () => {
    fake.barrierError = errors.timeout;
    expect(await get("/health")).toMatchObject({
      status: 503,
      body: sick("RANGE ERROR:etcdserver: request timed out"),
    });
    fake.status.leader = 0n;
    expect(await get("/health")).toMatchObject({ status: 503, body: sick("RAFT NO LEADER") });
    expect(await get("/health?serializable=true")).toMatchObject({ status: 200, body: healthy });
    expect(await get("/health?serializable=yes")).toMatchObject({ status: 503 });
  });

  it("tells of alarms, save those excluded", async () => {
    activate(AlarmType.CORRUPT);
    activate(AlarmType.NOSPACE);
    expect(await get("/health")).toMatchObject({ status: 503, body: sick("ALARM NOSPACE") });
    expect(await get("/health?exclude=NOSPACE")).toMatchObject({ status: 503, body: sick("ALARM CORRUPT") });
    expect(await get("/health?exclude=NOSPACE&exclude=CORRUPT")).toMatchObject({ status: 200, body: healthy });
    expect(await get("/health?serializable=true")).toMatchObject({ status: 503 });
  });
});

describe("/livez and /readyz", () => {
  it("are ok on a member that works", async () => {
    expect(await get("/livez")).toMatchObject({ status: 200, body: "ok\n" });
    expect(await get("/readyz")).toMatchObject({ status: 200, body: "ok\n" });
    expect((await get("/livez?verbose")).body).toBe("[+]serializable_read ok\nok\n");
    const lines = (await get("/readyz?verbose")).body.split("\n").filter((line) => line !== "");
    expect(lines.slice(0, -1).sort()).toEqual([
      "[+]data_corruption ok",
      "[+]linearizable_read ok",
      "[+]non_learner ok",
      "[+]serializable_read ok",
    ]);
    expect(lines.at(-1)).toBe("ok");
  });

  it("readyz lists what failed; livez does not need a quorum", async () => {
    fake.barrierError = errors.timeout;
    const { status, body } = await get("/readyz");
    expect(status).toBe(503);
    expect(body).toContain("[-]linearizable_read failed: etcdserver: request timed out\n");
    expect(body).toContain("[+]serializable_read ok\n");
    expect(await get("/readyz?exclude=linearizable_read")).toMatchObject({ status: 200, body: "ok\n" });
    expect(await get("/livez")).toMatchObject({ status: 200 });
  });

  it("NOSPACE does not fail readyz, CORRUPT and being a learner do", async () => {
    activate(AlarmType.NOSPACE);
    expect(await get("/readyz")).toMatchObject({ status: 200 });
    activate(AlarmType.CORRUPT);
    expect((await get("/readyz")).body).toContain("[-]data_corruption failed: alarm activated: CORRUPT\n");
    fake.members = fake.members.map((member) => ({ ...member, isLearner: true }));
    expect((await get("/readyz/non_learner")).body).toBe("[-]non_learner failed: not supported for learner\n\n");
  });

  it("serve single checks; unknown ones are not found", async () => {
    expect(await get("/readyz/serializable_read")).toMatchObject({ status: 200, body: "ok\n" });
    expect((await get("/livez/serializable_read?verbose")).body).toBe("[+]serializable_read ok\nok\n");
    expect(await get("/livez/linearizable_read")).toMatchObject({ status: 404, body: "404 page not found\n" });
  });
});

describe("everything else", () => {
  it("is not found, and other methods are not allowed", async () => {
    for (const path of ["/", "/metrics", "/v3/kv/range", "/health/", "/%00", "//"]) {
      expect(await get(path)).toMatchObject({ status: 404, body: "404 page not found\n" });
    }
    for (const method of ["POST", "PUT", "DELETE"]) {
      const { status, body, headers } = await get("/health", method);
      expect([status, body, headers["allow"]]).toEqual([405, "Method Not Allowed\n", "GET"]);
    }
    expect((await get("/version", "HEAD")).status).toBe(405);
  });

  it("every answer carries the CORS headers; OPTIONS is 200 everywhere", async () => {
    for (const reply of [await get("/version"), await get("/nowhere"), await get("/nowhere", "OPTIONS")]) {
      expect(reply.headers).toMatchObject({
        "access-control-allow-methods": "POST, GET, OPTIONS, PUT, DELETE",
        "access-control-allow-origin": "*",
        "access-control-allow-headers": "accept, content-type, authorization",
      });
    }
    expect(await get("/nowhere", "OPTIONS")).toMatchObject({ status: 200, body: "" });
  });

  it("only origins that are allowed get CORS headers", async () => {
    await port.close();
    await open(["https://ok.example"]);
    const allowed = await get("/version", "GET", { origin: "https://ok.example" });
    expect(allowed.headers["access-control-allow-origin"]).toBe("https://ok.example");
    const other = await get("/version", "GET", { origin: "https://other.example" });
    expect(other.headers["access-control-allow-origin"]).toBeUndefined();
    expect(other.status).toBe(200);
  });

  it("does not wait for, or keep, a body that nobody asked for", async () => {
    const client = new RawClient(port.port);
    client.socket.write("GET /version HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000000\r\n\r\nabc");
    await client.closed;
    expect(String(client.received)).toMatch(/^HTTP\/1.1 200 OK\r\n/);
    expect(String(client.received)).toMatch(/\r\nConnection: close\r\n/i);
    expect((await get("/version")).status).toBe(200);
  });

  it("answers 500 when a handler throws, and says why in the log only", async () => {
    await port.close();
    port = await openPort([], {
      http: () => {
        throw new Error("secret");
      },
    });
    expect(await get("/")).toMatchObject({ status: 500, body: "Internal Server Error\n" });
    expect(JSON.stringify(port.logger.lines)).toContain("secret");
  });
});
