/** Connecting to a server. */

import type * as grpc from "@grpc/grpc-js";

import { Caller } from "./caller.js";
import { Client } from "./client.js";
import serviceConfig from "./gen/service_config.js";
import { REAL_TIMING } from "./reconnects.js";
import type { Timing } from "./reconnects.js";
import { channelCredentials } from "./security.js";
import type { Tls, Token } from "./security.js";

const CHANNEL_OPTIONS: grpc.ChannelOptions = {
  // A thousand tasks, each with AWS's own answer, are more than the 4 MiB that gRPC starts with.
  "grpc.max_receive_message_length": 64 * 1024 * 1024,
  // gRPC would wait for up to two minutes before it tries to reach a server again.
  "grpc.max_reconnect_backoff_ms": 5_000,
  "grpc.keepalive_time_ms": 30_000,
  "grpc.keepalive_timeout_ms": 10_000,
};

/** How {@link connect} connects. */
export interface ConnectOptions {
  /** How to encrypt the connection; `{}` for a server with a public certificate. */
  readonly tls?: Tls | undefined;
  /** Who calls. Needs `tls`. */
  readonly token?: Token | undefined;
  /** The AWS account and region to call, by the server's name for it. */
  readonly target?: string | undefined;
  /** Whether to call all servers of a `dns:///` address in turn. Not for a proxy. */
  readonly balance?: boolean | undefined;
  /** Where time and chance come from. */
  readonly timing?: Timing | undefined;
}

/**
 * A client of the server at an address, `host:port` or what else gRPC knows, in plaintext unless
 * `tls` is given. Nothing is sent until the first call.
 *
 * Reads that find a connection or a server gone are made again, a few times within a second or two.
 *
 * @throws RangeError for a token without TLS, and for a certificate without its key; Node's own error
 * for a file of `tls` that cannot be read.
 */
export function connect(address: string, options: ConnectOptions = {}): Client {
  // Without healthCheckConfig: grpc-js has no health checks of its own.
  const { methodConfig, retryThrottling, loadBalancingConfig } = serviceConfig;
  const config = {
    methodConfig,
    retryThrottling,
    ...(options.balance === true ? { loadBalancingConfig } : {}),
  };
  const channelOptions: grpc.ChannelOptions = {
    ...CHANNEL_OPTIONS,
    "grpc.service_config": JSON.stringify(config),
  };
  if (options.balance === true) {
    // gRPC would ask for names at most every 30 s. A rolling update may have been done by then, and
    // none of the addresses that it knows be one any more.
    channelOptions["grpc.dns_min_time_between_resolutions_ms"] = 1_000;
  }
  if (options.tls?.serverName !== undefined) {
    channelOptions["grpc.ssl_target_name_override"] = options.tls.serverName;
  }
  const { tls, token, target = "" } = options;
  const metadata: Record<string, string> = target === "" ? {} : { "taskgate-target": target };
  const caller = new Caller(address, channelCredentials(tls, token), channelOptions, metadata);
  return new Client(caller, options.timing ?? REAL_TIMING);
}
