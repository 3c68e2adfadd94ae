import { Client, credentials } from "@grpc/grpc-js";
import { type Codec, decode, encode } from "../proto/codec.ts";
import { RangeRequest, RangeResponse, StatusRequest, StatusResponse } from "../proto/generated/etcdserverpb.ts";
import { rpcs } from "../proto/generated/services.ts";

/** A member as these scripts reach it: on this machine. */
export interface Reachable {
  readonly name: string;
  readonly clientPort: number;
}

/** Asks the members themselves; undefined when none says within `timeoutMs` that it leads. */
export async function findLeader<M extends Reachable>(
  members: readonly M[],
  timeoutMs = 30_000,
): Promise<(M & { readonly term: number }) | undefined> {
  const deadline = Date.now() + timeoutMs;
  for (;;) {
    const claims = await Promise.all(
      members.map(async (member) => {
        const status = await call(member.clientPort, rpcs.MaintenanceStatus.path, StatusRequest, {}, StatusResponse);
        const leads = status?.header !== undefined && status.leader === status.header.memberId;
        return leads ? [{ ...member, term: status.raftTerm }] : [];
      }),
    );
    // A deposed leader that has not heard of it yet answers with an older term.
    const [newest] = claims.flat().sort((a, b) => b.term - a.term);
    if (newest !== undefined || Date.now() > deadline) return newest;
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

/** True when the member answers a linearizable read, that is when it reaches a quorum. */
export async function answersRead(member: Reachable): Promise<boolean> {
  const request = { key: "\0", countOnly: true };
  return (await call(member.clientPort, rpcs.KVRange.path, RangeRequest, request, RangeResponse)) !== undefined;
}

/** Undefined when the member does not answer. */
function call<Request, Response>(
  port: number,
  path: string,
  requestCodec: Codec<Request>,
  request: Partial<Request>,
  responseCodec: Codec<Response>,
): Promise<Response | undefined> {
  const client = new Client(`127.0.0.1:${port}`, credentials.createInsecure(), { "grpc.use_local_subchannel_pool": 1 });
  return new Promise((resolve) => {
    client.makeUnaryRequest(
      path,
      (message: Request) => encode(requestCodec, message),
      (bytes: Buffer) => decode(responseCodec, bytes),
      requestCodec.create(request),
      { deadline: Date.now() + 2_000 },
      (error, response) => {
        client.close();
        resolve(error === null ? response : undefined);
      },
    );
  });
}
