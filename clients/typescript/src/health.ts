/** Whether a server serves, by gRPC's own health service. */

import type { CallOptions, Caller } from "./caller.js";
import { Health, HealthCheckResponse_ServingStatus } from "./gen/grpc/health/v1/health_pb.js";

/** Whether a gRPC service can be used now; the empty name is the whole server. */
export async function checkHealth(
  caller: Caller,
  service: string,
  options?: CallOptions,
): Promise<boolean> {
  const { status } = await caller.unary(Health.method.check, { service }, options);
  return status === HealthCheckResponse_ServingStatus.SERVING;
}
