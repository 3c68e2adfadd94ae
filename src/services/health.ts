import { HealthCheckResponse, HealthCheckResponseServingStatus } from "../../proto/generated/health.ts";
import { rpcs } from "../../proto/generated/services.ts";
import { ApiError, Code } from "../api/errors.ts";
import { type AnyHandler, stream, unary } from "../rpc/rpc.ts";

/** The whole server, which is the only service with a status of its own (G-11). */
const WHOLE_SERVER = "";

/** grpc.health.v1: a member that answers is serving; whether it has a leader is /health's question. */
export function healthService(): AnyHandler[] {
  return [
    unary(rpcs.HealthCheck, async ({ service }) => {
      if (service !== WHOLE_SERVER) throw new ApiError(Code.NotFound, "unknown service");
      return HealthCheckResponse.create({ status: HealthCheckResponseServingStatus.SERVING });
    }),

    // The status never changes, so the stream says it once and stays open.
    stream(rpcs.HealthWatch, (responses) => ({
      request({ service }) {
        const { SERVING, SERVICE_UNKNOWN } = HealthCheckResponseServingStatus;
        responses.send(HealthCheckResponse.create({ status: service === WHOLE_SERVER ? SERVING : SERVICE_UNKNOWN }));
      },
      halfClosed: nothing,
      drained: nothing,
      closed: nothing,
    })),
  ];
}

function nothing(): void {
  // There is nothing to give back and nothing more to say.
}
