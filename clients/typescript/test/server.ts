/** A server in this process with handlers of a test. */

import * as grpc from "@grpc/grpc-js";
import type { DescMethod } from "@bufbuild/protobuf";

/** A method and its handler. */
export type Served = readonly [DescMethod, grpc.UntypedHandleCall];

const same = (bytes: Buffer) => bytes;

/** A running server. */
export interface TestServer {
  readonly address: string;
  stop(): void;
}

/** Serves methods of any services; their requests and responses are bytes. */
export async function serve(...methods: readonly Served[]): Promise<TestServer> {
  const server = new grpc.Server();
  for (const [method, handler] of methods) {
    const path = `/${method.parent.typeName}/${method.name}`;
    const definition: grpc.MethodDefinition<Buffer, Buffer> = {
      path,
      requestStream: method.methodKind === "client_streaming",
      responseStream: method.methodKind === "server_streaming",
      requestSerialize: same,
      requestDeserialize: same,
      responseSerialize: same,
      responseDeserialize: same,
    };
    server.addService({ [method.name]: definition }, { [method.name]: handler });
  }
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync("127.0.0.1:0", grpc.ServerCredentials.createInsecure(), (error, bound) => {
      if (error) {
        reject(error);
      } else {
        resolve(bound);
      }
    });
  });
  return {
    address: `127.0.0.1:${String(port)}`,
    stop: () => {
      server.forceShutdown();
    },
  };
}
