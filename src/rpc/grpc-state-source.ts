import { Client, credentials, Metadata, type ServiceError } from "@grpc/grpc-js";
import { decode, encode } from "../../proto/codec.ts";
import { rpcs } from "../../proto/generated/services.ts";

const ANSWER_MS = 10_000;
/** A connection that leads nowhere any more is noticed after two of these. */
const KEEPALIVE_MS = 10_000;

/** A member whose state one wants to have (StateSource in server/rebuild.ts), at a client URL, or host and port. */
export function grpcStateSource(endpoint: string) {
  const client = new Client(endpoint.replace(/^http:\/\//, ""), credentials.createInsecure(), {
    "grpc.max_receive_message_length": -1,
    "grpc.keepalive_time_ms": KEEPALIVE_MS,
    "grpc.keepalive_timeout_ms": KEEPALIVE_MS,
  });
  return {
    endpoint,

    identify(): Promise<{ readonly clusterId: bigint; readonly memberId: bigint }> {
      const { path, request, response } = rpcs.MaintenanceStatus;
      return new Promise((resolve, reject) => {
        client.makeUnaryRequest(
          path,
          (message: ReturnType<typeof request.create>) => encode(request, message),
          (bytes: Buffer) => decode(response, bytes),
          request.create({}),
          new Metadata(),
          { deadline: Date.now() + ANSWER_MS },
          (error, status) => {
            const header = status?.header;
            if (error !== null) reject(new Error(textOf(error)));
            else if (header === undefined) reject(new Error("it does not say who it is"));
            else resolve({ clusterId: header.clusterId, memberId: header.memberId });
          },
        );
      });
    },

    async *fetch(): AsyncGenerator<Uint8Array, void, undefined> {
      const { path, request, response } = rpcs.MaintenanceSnapshot;
      const call = client.makeServerStreamRequest(
        path,
        (message: ReturnType<typeof request.create>) => encode(request, message),
        (bytes: Buffer) => decode(response, bytes),
        request.create({}),
      );
      try {
        for await (const { blob } of call) yield blob as Uint8Array;
      } catch (error) {
        throw new Error(textOf(error));
      } finally {
        call.cancel();
      }
    },

    close: () => client.close(),
  };
}

function textOf(error: unknown): string {
  const { details, message } = error as Partial<ServiceError>;
  return details ?? message ?? String(error);
}
