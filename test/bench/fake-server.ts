/** A server of one member that does what the workloads ask for, by Node's own HTTP/2; or, when it is told so, does not. */
import { once } from "node:events";
import * as http2 from "node:http2";
import type { AddressInfo } from "node:net";
import { type Codec, decode, encode } from "../../proto/codec.ts";
import * as pb from "../../proto/generated/etcdserverpb.ts";
import * as mvccpb from "../../proto/generated/mvccpb.ts";
import { rpcs } from "../../proto/generated/services.ts";

export type Fault =
  | "refuses puts"
  | "answers puts with nothing"
  | "answers puts twice"
  | "gives revisions again"
  | "gives other values"
  | "gives no values"
  | "denies comparisons"
  | "goes back when it reads"
  | "tells an event twice"
  | "tells other events"
  | "ends watches"
  | "renews other leases"
  | "renews for a moment"
  | "leaves one key out"
  | "breaks connections";

export interface FakeServer {
  readonly url: string;
  misbehave(how: Fault): void;
  close(): Promise<void>;
}

const ID = 7n;

export async function startFakeServer(): Promise<FakeServer> {
  const pairs = new Map<string, mvccpb.KeyValue>();
  const watches: { readonly key: string; readonly id: bigint; readonly stream: http2.ServerHttp2Stream }[] = [];
  const sessions = new Set<http2.ServerHttp2Session>();
  let revision = 1;
  let fault: Fault | undefined;

  const has = (what: Fault): boolean => fault === what;
  const header = (): pb.ResponseHeader => ({ clusterId: 1n, memberId: ID, revision, raftTerm: 2 });

  const put = ({ key, value }: pb.PutRequest): void => {
    if (!(has("gives revisions again") && revision % 2 === 0)) revision++;
    const before = pairs.get(key);
    const pair = mvccpb.KeyValue.create({
      key,
      value: Buffer.from(value),
      createRevision: before?.createRevision ?? revision,
      modRevision: revision,
      version: (before?.version ?? 0) + 1,
    });
    pairs.set(key, pair);
    tell(pair);
  };

  const tell = (pair: mvccpb.KeyValue): void => {
    const told = has("tells other events") ? { ...pair, value: Buffer.from("nobody wrote this") } : pair;
    const event = encode(mvccpb.Event, mvccpb.Event.create({ kv: encode(mvccpb.KeyValue, told) }));
    for (const { key, id, stream } of watches) {
      if (key !== pair.key) continue;
      if (has("ends watches")) {
        end(stream);
        continue;
      }
      const response = pb.WatchResponse.create({ header: header(), watchId: id, events: [event] });
      send(stream, pb.WatchResponse, response);
      if (has("tells an event twice")) send(stream, pb.WatchResponse, response);
    }
  };

  const range = ({ key, rangeEnd }: pb.RangeRequest): pb.RangeResponse => {
    const isAsked = (one: string): boolean => (rangeEnd === "" ? one === key : one >= key && one < rangeEnd);
    const keys = rangeEnd === "" ? [key].filter((one) => pairs.has(one)) : [...pairs.keys()].filter(isAsked).sort();
    if (has("leaves one key out") && keys.length > 1) keys.pop();
    const found = has("gives no values") ? [] : keys;
    const kvs = found.map((one) => {
      const pair = pairs.get(one) as mvccpb.KeyValue;
      const value = has("gives other values") ? Buffer.from(pair.value).reverse() : pair.value;
      return encode(mvccpb.KeyValue, { ...pair, value });
    });
    if (has("goes back when it reads")) revision--;
    return pb.RangeResponse.create({ header: header(), kvs, count: kvs.length });
  };

  const answerPut = (stream: http2.ServerHttp2Stream, request: pb.PutRequest): void => {
    if (has("breaks connections")) {
      for (const session of sessions) session.destroy();
      return;
    }
    if (has("refuses puts")) {
      end(stream, "8", "etcdserver: mvcc: database space exceeded");
      return;
    }
    put(request);
    if (!has("answers puts with nothing")) send(stream, pb.PutResponse, pb.PutResponse.create({ header: header() }));
    if (has("answers puts twice")) send(stream, pb.PutResponse, pb.PutResponse.create({ header: header() }));
    end(stream);
  };

  const answerTxn = (stream: http2.ServerHttp2Stream, { success }: pb.TxnRequest): void => {
    for (const { request } of success) if (request?.kind === "requestPut") put(request.value);
    const one = pb.ResponseOp.create({
      response: { kind: "responsePut", value: pb.PutResponse.create({ header: header() }) },
    });
    const succeeded = !has("denies comparisons");
    send(stream, pb.TxnResponse, { header: header(), succeeded, responses: succeeded ? [one] : [] });
    end(stream);
  };

  const take = (stream: http2.ServerHttp2Stream, path: string, message: Buffer): void => {
    switch (path) {
      case rpcs.MaintenanceStatus.path:
        send(stream, pb.StatusResponse, pb.StatusResponse.create({ header: header(), leader: ID }));
        end(stream);
        return;
      case rpcs.KVPut.path:
        answerPut(stream, decode(pb.PutRequest, message));
        return;
      case rpcs.KVTxn.path:
        answerTxn(stream, decode(pb.TxnRequest, message));
        return;
      case rpcs.KVRange.path:
        send(stream, pb.RangeResponse, range(decode(pb.RangeRequest, message)));
        end(stream);
        return;
      case rpcs.LeaseLeaseGrant.path: {
        const { ID: lease, TTL } = decode(pb.LeaseGrantRequest, message);
        send(stream, pb.LeaseGrantResponse, pb.LeaseGrantResponse.create({ header: header(), ID: lease, TTL }));
        end(stream);
        return;
      }
      case rpcs.LeaseLeaseKeepAlive.path: {
        const { ID: lease } = decode(pb.LeaseKeepAliveRequest, message);
        const told = has("renews other leases") ? lease + 1n : lease;
        const TTL = has("renews for a moment") ? 1 : 3_600;
        send(stream, pb.LeaseKeepAliveResponse, { header: header(), ID: told, TTL });
        return;
      }
      case rpcs.WatchWatch.path: {
        const { requestUnion } = decode(pb.WatchRequest, message);
        if (requestUnion?.kind !== "createRequest") return;
        const { key, watchId } = requestUnion.value;
        watches.push({ key, id: watchId, stream });
        send(stream, pb.WatchResponse, pb.WatchResponse.create({ header: header(), watchId, created: true }));
        return;
      }
      default:
        end(stream, "12", `what is ${path}?`);
    }
  };

  const server = http2.createServer();
  server.on("session", (session) => {
    sessions.add(session);
    session.on("close", () => sessions.delete(session));
  });
  server.on("stream", (stream, headers) => {
    // Of one that its client has cancelled.
    stream.on("error", () => stream.destroy());
    stream.respond({ ":status": 200, "content-type": "application/grpc" }, { waitForTrailers: true });
    let rest: Buffer = Buffer.alloc(0);
    stream.on("data", (chunk: Buffer) => {
      rest = Buffer.concat([rest, chunk]);
      while (rest.length >= 5 && rest.length >= 5 + rest.readUInt32BE(1)) {
        const next = 5 + rest.readUInt32BE(1);
        take(stream, String(headers[":path"]), rest.subarray(5, next));
        rest = rest.subarray(next);
      }
    });
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    misbehave(how) {
      fault = how;
    },
    async close() {
      for (const session of sessions) session.destroy();
      server.close();
      await once(server, "close");
    },
  };
}

function send<T>(stream: http2.ServerHttp2Stream, codec: Codec<T>, message: T): void {
  const body = encode(codec, message);
  const prefix = Buffer.alloc(5);
  prefix.writeUInt32BE(body.length, 1);
  if (!stream.destroyed && !stream.writableEnded) stream.write(Buffer.concat([prefix, body]));
}

function end(stream: http2.ServerHttp2Stream, status = "0", detail = ""): void {
  if (stream.destroyed || stream.writableEnded) return;
  stream.on("wantTrailers", () => {
    stream.sendTrailers({ "grpc-status": status, ...(detail === "" ? {} : { "grpc-message": detail }) });
  });
  stream.end();
}
