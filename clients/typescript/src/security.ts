/** How a client knows the server and says who it is: TLS, client certificates and tokens. */

import { readFileSync } from "node:fs";
import { readFile } from "node:fs/promises";

import * as grpc from "@grpc/grpc-js";

/** How a connection is encrypted. Files are PEM, and are read when the client connects. */
export interface Tls {
  /** Who must have signed the server's certificate; Node's authorities if absent. */
  readonly ca?: string | undefined;
  /** The client's own certificate, for a server that asks for one (mTLS). */
  readonly certificate?: string | undefined;
  /** The key of the client's certificate. */
  readonly key?: string | undefined;
  /** The name in the server's certificate, where the address has another. */
  readonly serverName?: string | undefined;
}

/** A bearer token, a file that has one, or what gives one. The last two are asked for each call. */
export type Token = string | { readonly file: string } | (() => string | Promise<string>);

/**
 * Both together, as gRPC takes them.
 *
 * @throws RangeError for a token without TLS, and for a certificate without its key.
 */
export function channelCredentials(
  tls: Tls | undefined,
  token: Token | undefined,
): grpc.ChannelCredentials {
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
  return token === undefined
    ? channel
    : grpc.credentials.combineChannelCredentials(channel, tokenCredentials(token));
}

/** What puts a token into each call. A call whose token cannot be had fails with the reason. */
export function tokenCredentials(token: Token): grpc.CallCredentials {
  return grpc.credentials.createFromMetadataGenerator((_, done) => {
    authorization(token).then(
      (metadata) => {
        done(null, metadata);
      },
      (error: unknown) => {
        const message = error instanceof Error ? error.message : String(error);
        // Without a code of its own, gRPC would call it UNKNOWN.
        const code = grpc.status.UNAUTHENTICATED;
        done(Object.assign(new Error(message, { cause: error }), { code }));
      },
    );
  });
}

async function authorization(token: Token): Promise<grpc.Metadata> {
  const text = (await current(token)).trim();
  const metadata = new grpc.Metadata();
  try {
    metadata.set("authorization", `Bearer ${text}`);
  } catch {
    // gRPC's own words have the whole token in them.
    throw new Error("the token has characters that cannot be sent");
  }
  return metadata;
}

/** A file is read again: who rotates it, such as Kubernetes, tells nobody. */
async function current(token: Token): Promise<string> {
  if (typeof token === "string") {
    return token;
  }
  return typeof token === "function" ? token() : readFile(token.file, "utf8");
}
