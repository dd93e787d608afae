/** Connecting to a server. */

import type * as grpc from "@grpc/grpc-js";

import { Channel } from "./channel.js";
import { Client } from "./client.js";
import serviceConfig from "./gen/service_config.js";
import { REAL_TIMING } from "./reconnects.js";
import type { Timing } from "./reconnects.js";
import { channelCredentials } from "./security.js";
import type { Tls, Token } from "./security.js";
import { Writes } from "./writes.js";

const CHANNEL_OPTIONS: grpc.ChannelOptions = {
  // A thousand tasks with AWS's own messages exceed gRPC's default of 4 MiB.
  "grpc.max_receive_message_length": 64 * 1024 * 1024,
  // gRPC waits up to two minutes between attempts to connect by default.
  "grpc.max_reconnect_backoff_ms": 5_000,
  "grpc.keepalive_time_ms": 30_000,
  "grpc.keepalive_timeout_ms": 10_000,
};

/** Options of {@link connect}. */
export interface ConnectOptions {
  /** How to encrypt the connection; `{}` for a server with a public certificate. */
  readonly tls?: Tls | undefined;
  /** The caller's bearer token. Requires `tls`. */
  readonly token?: Token | undefined;
  /** The AWS account and region to call, by the name that the server gives it. */
  readonly target?: string | undefined;
  /** Whether to call all servers of a `dns:///` address in turn. Do not use it with a proxy. */
  readonly balance?: boolean | undefined;
  /**
   * Paths of RPCs of other services whose calls are retried like reads, such as
   * `/taskgate_batch.v1.BatchService/ListJobs` of a plug-in.
   */
  readonly retried?: readonly string[] | undefined;
  /** The clock, sleep and randomness; for tests. */
  readonly timing?: Timing | undefined;
}

/**
 * Returns a client of the server at an address: `host:port`, or another form of gRPC. The connection
 * is in plaintext unless `tls` is given. The client connects with its first call.
 *
 * Reads that fail because a connection or server was lost are retried, a few times within a second or
 * two.
 *
 * @throws RangeError for a token without TLS, and for a certificate without its key; an error of Node
 * for a file of `tls` that cannot be read.
 */
export function connect(address: string, options: ConnectOptions = {}): Client {
  // Without healthCheckConfig: grpc-js does not support client-side health checks.
  const { methodConfig, retryThrottling, loadBalancingConfig } = serviceConfig;
  const others = (options.retried ?? []).map((path) => {
    const [, service, method] = path.split("/");
    return { service, method };
  });
  const config = {
    methodConfig: methodConfig.map((each) => ({ ...each, name: [...each.name, ...others] })),
    retryThrottling,
    ...(options.balance === true ? { loadBalancingConfig } : {}),
  };
  const channelOptions: grpc.ChannelOptions = {
    ...CHANNEL_OPTIONS,
    "grpc.service_config": JSON.stringify(config),
  };
  if (options.balance === true) {
    // gRPC's default is to resolve names at most every 30 s. A rolling update may be complete by
    // then, so that none of the known addresses is valid.
    channelOptions["grpc.dns_min_time_between_resolutions_ms"] = 1_000;
  }
  if (options.tls?.serverName !== undefined) {
    channelOptions["grpc.ssl_target_name_override"] = options.tls.serverName;
  }
  const { tls, token, target = "" } = options;
  const metadata: Record<string, string> = target === "" ? {} : { "taskgate-target": target };
  const { timing = REAL_TIMING } = options;
  const writes = new Writes(() => timing.now());
  const credentials = channelCredentials(tls, token);
  const channel = new Channel(address, credentials, channelOptions, metadata, writes);
  return new Client(channel, timing);
}
