/** Connecting to a server. */

import { readFileSync } from "node:fs";
import { readFile } from "node:fs/promises";

import * as grpc from "@grpc/grpc-js";

import { Caller } from "./caller.js";
import { Client } from "./client.js";
import serviceConfig from "./gen/service_config.js";
import { REAL_TIMING } from "./reconnects.js";
import type { Timing } from "./reconnects.js";

const CHANNEL_OPTIONS: grpc.ChannelOptions = {
  // A thousand tasks, each with AWS's own answer, are more than the 4 MiB that gRPC starts with.
  "grpc.max_receive_message_length": 64 * 1024 * 1024,
  // gRPC would wait for up to two minutes before it tries to reach a server again.
  "grpc.max_reconnect_backoff_ms": 5_000,
  "grpc.keepalive_time_ms": 30_000,
  "grpc.keepalive_timeout_ms": 10_000,
};

/** How a connection is encrypted. Files are PEM, and are read by {@link connect}. */
export interface Tls {
  /** Who must have signed the server's certificate; Node's authorities if absent. */
  readonly ca?: string;
  /** The client's own certificate, for a server that asks for one (mTLS). */
  readonly certificate?: string;
  /** The key of the client's certificate. */
  readonly key?: string;
  /** The name in the server's certificate, where the address has another. */
  readonly serverName?: string;
}

/** A bearer token, a file that has one, or what gives one. The last two are asked for each call. */
export type Token = string | { readonly file: string } | (() => string | Promise<string>);

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
 * @throws RangeError for a token without TLS, and for a certificate without its key.
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
  if (options.tls?.serverName !== undefined) {
    channelOptions["grpc.ssl_target_name_override"] = options.tls.serverName;
  }
  const metadata = options.target === undefined ? {} : { "taskgate-target": options.target };
  const caller = new Caller(address, credentialsOf(options), channelOptions, metadata);
  return new Client(caller, options.timing ?? REAL_TIMING);
}

function credentialsOf({ tls, token }: ConnectOptions): grpc.ChannelCredentials {
  if (tls === undefined) {
    if (token !== undefined) {
      throw new RangeError("a token needs TLS: everybody on the way could read it");
    }
    return grpc.credentials.createInsecure();
  }
  if ((tls.certificate === undefined) !== (tls.key === undefined)) {
    throw new RangeError("a client certificate needs its key, and a key its certificate");
  }
  const [ca, key, certificate] = [tls.ca, tls.key, tls.certificate].map((path) =>
    path === undefined ? null : readFileSync(path),
  );
  const channel = grpc.credentials.createSsl(ca, key, certificate);
  if (token === undefined) {
    return channel;
  }
  const calls = grpc.credentials.createFromMetadataGenerator((_, done) => {
    currentToken(token).then(
      (text) => {
        const metadata = new grpc.Metadata();
        metadata.set("authorization", `Bearer ${text.trim()}`);
        done(null, metadata);
      },
      (error: unknown) => {
        done(error instanceof Error ? error : new Error(String(error)));
      },
    );
  });
  return grpc.credentials.combineChannelCredentials(channel, calls);
}

/** A file is read again: who rotates it, such as Kubernetes, tells nobody. */
async function currentToken(token: Token): Promise<string> {
  if (typeof token === "string") {
    return token;
  }
  return typeof token === "function" ? token() : readFile(token.file, "utf8");
}
