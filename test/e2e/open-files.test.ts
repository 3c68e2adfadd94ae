import { mkdtemp, rm } from "node:fs/promises";
import { connect, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { ApiClient } from "./client.ts";
import { Cluster, freePorts, MemberProcess, memberAt, quorate } from "./cluster.ts";
import { run } from "./etcdctl.ts";
import { until } from "./until.ts";

const LIMIT = 256;
/** More on each port than the process may have files. */
const SILENT = 300;
const VALUE = "v".repeat(200_000);

/** A member whose process may have few files open. */
async function limitedMember(): Promise<Cluster> {
  const directory = await mkdtemp(join(tmpdir(), "quorate-files-"));
  const [client = 0, peer = 0] = await freePorts(2);
  const place = { name: "m1", client, peer };
  // Small files of the log, and a store that is flushed all the time: both open files while the ports are full.
  const flags = ["--wal-segment-bytes=1000000", "--backend-batch-interval=20ms"];
  const { name, dataDir, flags: words } = memberAt(directory, place, `m1=http://127.0.0.1:${peer}`, flags, quorate);
  const command = ["-c", `ulimit -n ${LIMIT} && exec "$0" "$@"`, quorate, ...words];
  return new Cluster([new MemberProcess(name, dataDir, client, peer, command, "/bin/sh")], directory);
}

function silent(port: number): Socket {
  const socket = connect(port, "127.0.0.1");
  // The member may close or reset it: that is what is looked at.
  socket.on("error", () => undefined);
  socket.resume();
  return socket;
}

function connectedOrClosed(socket: Socket): Promise<void> {
  return new Promise((resolve) => {
    socket.once("connect", () => resolve());
    socket.once("close", () => resolve());
  });
}

describe("connections that take every file that a process may have open", () => {
  test("do not end a member: who is served stays so, and others are again when they have gone", async () => {
    const cluster = await limitedMember();
    const member = cluster.members[0] as MemberProcess;
    const client = new ApiClient(member.endpoint);
    const sockets: Socket[] = [];
    try {
      member.start();
      await cluster.ready();
      expect(member.log).toContain('"open-files":256,"client-connections":49,"peer-connections":49');
      await client.put("before", "1");
      for (const port of [member.clientPort, member.peerPort]) {
        for (let i = 0; i < SILENT; i++) sockets.push(silent(port));
      }
      await Promise.all(sockets.map(connectedOrClosed));
      await until("both ports refuse", () => {
        return [`"limit":49,"refused":1`, "refused a peer connection"].every((words) => member.log.includes(words));
      });
      for (let i = 0; i < 40; i++) await client.put(`during/${i}`, VALUE);
      for (const socket of sockets) socket.destroy();
      await until("a new client is served", async () => {
        const other = new ApiClient(member.endpoint);
        try {
          return (await other.get("during/39"))?.value.length === VALUE.length;
        } catch {
          return false;
        } finally {
          other.close();
        }
      });
      expect(member.running).toBe(true);
    } finally {
      client.close();
      for (const socket of sockets) socket.destroy();
      await cluster.destroy();
    }
  });

  test("a limit that leaves nobody to serve is refused at the start, with what to do", async () => {
    const directory = await mkdtemp(join(tmpdir(), "quorate-files-"));
    const start = `ulimit -n 170 && exec "$0" --data-dir "$1"`;
    const { code, stderr } = await run("/bin/sh", ["-c", start, quorate, join(directory, "data")]);
    await rm(directory, { recursive: true, force: true });
    expect(code).toBe(1);
    expect(stderr).toContain("this process may have only 170 files open, and a member needs 190: raise it (ulimit -n");
  });
});
