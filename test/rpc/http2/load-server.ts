/** The server of load.ts, in a process of its own: tells its port, then its CPU microseconds whenever it is asked. */
import { PutResponse } from "../../../proto/generated/etcdserverpb.ts";
import { rpcs } from "../../../proto/generated/services.ts";
import { unary } from "../../../src/rpc/rpc.ts";
import { openPort } from "../harness.ts";

const echo = unary(rpcs.KVPut, async ({ value }) => PutResponse.create({ prevKv: value }));
const transport = process.argv[2] === "http2" ? "http2" : "grpc-js";
// The client of load.ts answers no pings.
const { port } = await openPort([echo], { transport, grpc: { deadSweepMs: 600_000 } });
process.on("message", () => {
  const { user, system } = process.cpuUsage();
  process.send?.(user + system);
});
process.on("disconnect", () => process.exit(0));
process.send?.(port);
