/** Streams that each renew one lease, the next time as soon as the last is answered. */
import { decode, encode } from "../proto/codec.ts";
import * as pb from "../proto/generated/etcdserverpb.ts";
import { rpcs } from "../proto/generated/services.ts";
import { type Connection, OK, type Receiver } from "./connection.ts";
import { inTime, type Load, MAX_FAULTS } from "./load.ts";
import { Meter, nowUs } from "./meter.ts";

/** Longer than any run. */
const TTL_SECONDS = 3_600;
const FIRST_ID = 1_000_000;
const CHECK_EVERY = 16;

export async function startKeepAlive(connections: readonly Connection[], streamsPerConnection: number): Promise<Load> {
  const meter = new Meter();
  let isStopped = false;
  let open = 0;
  let granted = 0;
  const count = connections.length * streamsPerConnection;
  const leases = Array.from({ length: count }, (_, i) => ({
    id: BigInt(FIRST_ID + i),
    connection: connections[i % connections.length] as Connection,
  }));
  for (const { id, connection } of leases) {
    const request = encode(pb.LeaseGrantRequest, { ID: id, TTL: TTL_SECONDS });
    connection.unary(rpcs.LeaseLeaseGrant.path, request, {
      message: () => undefined,
      ended(status, detail) {
        if (status === OK) granted++;
        else meter.failed(status, detail);
      },
    });
  }
  await inTime(() => granted + meter.faultCount >= count);
  if (granted < count) throw new Error(`${granted} of ${count} leases were granted`);

  const start = ({ id, connection }: (typeof leases)[number]): (() => void) => {
    const request = encode(pb.LeaseKeepAliveRequest, { ID: id });
    let sentUs = 0;
    let renewals = 0;
    let isOver = false;
    const renew = (atUs: number): void => {
      if (isStopped || isOver || meter.faultCount >= MAX_FAULTS || stream === undefined) return;
      open++;
      sentUs = atUs;
      connection.send(stream, request);
    };
    const receiver: Receiver = {
      message(bytes, start, end, atUs) {
        open--;
        meter.latency.record(atUs - sentUs);
        if (renewals++ % CHECK_EVERY === 0) {
          const problem = problemOf(bytes.subarray(start, end), id);
          if (problem !== undefined) meter.problem(problem);
        }
        renew(atUs);
      },
      ended(status, detail) {
        isOver = true;
        if (!isStopped) meter.failed(status, detail === "" ? "of a keep-alive" : detail);
      },
    };
    const stream = connection.stream(rpcs.LeaseLeaseKeepAlive.path, receiver);
    renew(nowUs());
    return () => {
      if (stream !== undefined) connection.cancel(stream);
    };
  };
  const cancels = leases.map(start);

  return {
    meter,
    async stop() {
      isStopped = true;
      if (!(await inTime(() => open === 0 || meter.faultCount > 0)))
        meter.failed("no answer in time", `${open} renewals`);
      for (const cancel of cancels) cancel();
    },
  };
}

function problemOf(body: Buffer, id: bigint): string | undefined {
  try {
    const { ID, TTL } = decode(pb.LeaseKeepAliveResponse, body);
    if (ID !== id) return `lease ${ID} is renewed for ${id}`;
    return TTL === TTL_SECONDS ? undefined : `lease ${id} is renewed for ${TTL} s`;
  } catch (error) {
    return `a renewal cannot be decoded: ${error}`;
  }
}
