/** TLS, client certificates and bearer tokens. */

import { readFileSync } from "node:fs";
import { readFile } from "node:fs/promises";

import * as grpc from "@grpc/grpc-js";

/** Options of an encrypted connection. The files are PEM, and are read by `connect`. */
export interface Tls {
  /** CA certificates that sign the server's certificate; those of Node if absent. */
  readonly ca?: string | undefined;
  /** The client's certificate, for a server that requires one (mTLS). */
  readonly certificate?: string | undefined;
  /** The private key of the client's certificate. */
  readonly key?: string | undefined;
  /** The name in the server's certificate, if it differs from the address. */
  readonly serverName?: string | undefined;
}

/**
 * A bearer token, a file that contains one, or a function that returns one. The file is read, and the
 * function called, for each call.
 */
export type Token = string | { readonly file: string } | (() => string | Promise<string>);

/**
 * Returns the credentials of a channel.
 *
 * @throws RangeError for a token without TLS, and for a certificate without its key.
 */
export function channelCredentials(
  tls: Tls | undefined,
  token: Token | undefined,
): grpc.ChannelCredentials {
  if (tls === undefined) {
    if (token !== undefined) {
      throw new RangeError("a token requires TLS; in plaintext anyone on the network can read it");
    }
    return grpc.credentials.createInsecure();
  }
  if ((tls.certificate === undefined) !== (tls.key === undefined)) {
    throw new RangeError("a client certificate and its key have to be given together");
  }
  const [ca, key, certificate] = [tls.ca, tls.key, tls.certificate].map((path) =>
    path === undefined ? null : readFileSync(path),
  );
  const channel = grpc.credentials.createSsl(ca, key, certificate);
  return token === undefined
    ? channel
    : grpc.credentials.combineChannelCredentials(channel, tokenCredentials(token));
}

/** Returns credentials that add the token to each call. Without a token the call fails. */
export function tokenCredentials(token: Token): grpc.CallCredentials {
  return grpc.credentials.createFromMetadataGenerator((_, done) => {
    authorization(token).then(
      (metadata) => {
        done(null, metadata);
      },
      (error: unknown) => {
        const message = error instanceof Error ? error.message : String(error);
        // Without a code gRPC would report UNKNOWN.
        const code = grpc.status.UNAUTHENTICATED;
        done(Object.assign(new Error(message, { cause: error }), { code }));
      },
    );
  });
}

async function authorization(token: Token): Promise<grpc.Metadata> {
  const text = (await currentToken(token)).trim();
  const metadata = new grpc.Metadata();
  try {
    metadata.set("authorization", `Bearer ${text}`);
  } catch {
    // The error of gRPC contains the token.
    throw new Error("the token has characters that cannot be sent; use printable ASCII");
  }
  return metadata;
}

/** Returns the token to send now. A file is read each time, as its token may be rotated. */
async function currentToken(token: Token): Promise<string> {
  if (typeof token === "string") {
    return token;
  }
  return typeof token === "function" ? token() : readFile(token.file, "utf8");
}
