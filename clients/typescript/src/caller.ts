/** Calls over one gRPC channel, made of protobuf-es's descriptions of services. */

import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import type { DescMessage, DescMethod, MessageInitShape, MessageShape } from "@bufbuild/protobuf";
import * as grpc from "@grpc/grpc-js";

import { TaskgateError } from "./errors.js";

/** How one call is made. */
export interface CallOptions {
  /** Gives the call up; it then rejects with the signal's reason. */
  readonly signal?: AbortSignal | undefined;
  /** Milliseconds that the call may take. */
  readonly timeoutMs?: number | undefined;
}

/** Ends calls that say nothing of their time. */
export const DEFAULT_TIMEOUT_MS = 30_000;

/** A stream of the server's messages. */
export interface ServerStream<T> {
  /** The next message; undefined at the end. Rejects with a {@link TaskgateError}. */
  read(): Promise<T | undefined>;
  /** Ends the call. */
  cancel(): void;
}

/** Makes calls. */
export class Caller {
  private readonly client: grpc.Client;

  constructor(
    address: string,
    credentials: grpc.ChannelCredentials,
    options: grpc.ChannelOptions,
    private readonly metadata: Readonly<Record<string, string>>,
  ) {
    this.client = new grpc.Client(address, credentials, options);
  }

  /** Makes a call with one request and one answer. */
  async unary<I extends DescMessage, O extends DescMessage>(
    method: DescMethod & { input: I; output: O },
    request: MessageInitShape<I>,
    options: CallOptions = {},
  ): Promise<MessageShape<O>> {
    const { signal } = options;
    signal?.throwIfAborted();
    return new Promise((resolve, reject) => {
      const call = this.client.makeUnaryRequest(
        pathOf(method),
        (message: MessageShape<I>) => Buffer.from(toBinary(method.input, message)),
        (bytes) => fromBinary(method.output, bytes),
        create(method.input, request),
        this.metadataOf(),
        { deadline: Date.now() + (options.timeoutMs ?? DEFAULT_TIMEOUT_MS) },
        (error, answer) => {
          signal?.removeEventListener("abort", giveUp);
          if (signal?.aborted) {
            reject(signal.reason as Error);
          } else if (error) {
            reject(TaskgateError.of(error));
          } else {
            // There is one: grpc-js gives an error for a call without an answer.
            resolve(answer as MessageShape<O>);
          }
        },
      );
      const giveUp = () => {
        call.cancel();
      };
      signal?.addEventListener("abort", giveUp, { once: true });
    });
  }

  /** Makes a call with one request and any number of answers. */
  stream<I extends DescMessage, O extends DescMessage>(
    method: DescMethod & { input: I; output: O },
    request: MessageInitShape<I>,
    timeoutMs?: number,
  ): ServerStream<MessageShape<O>> {
    const call = this.client.makeServerStreamRequest(
      pathOf(method),
      (message: MessageShape<I>) => Buffer.from(toBinary(method.input, message)),
      (bytes) => fromBinary(method.output, bytes),
      create(method.input, request),
      this.metadataOf(),
      timeoutMs === undefined ? {} : { deadline: Date.now() + timeoutMs },
    );
    // Its errors are told by the iterator too; without a listener of its own they would be thrown.
    call.on("error", () => undefined);
    const messages = call[Symbol.asyncIterator]() as AsyncIterator<MessageShape<O>>;
    return {
      read: async () => {
        try {
          const next = await messages.next();
          return next.done === true ? undefined : next.value;
        } catch (error) {
          throw isServiceError(error) ? TaskgateError.of(error) : error;
        }
      },
      cancel: () => {
        call.cancel();
      },
    };
  }

  /** Makes a call with any number of requests and one answer. */
  async clientStream<I extends DescMessage, O extends DescMessage>(
    method: DescMethod & { input: I; output: O },
    requests: AsyncIterable<MessageInitShape<I>>,
    options: CallOptions = {},
  ): Promise<MessageShape<O>> {
    const { signal, timeoutMs } = options;
    let call: grpc.ClientWritableStream<MessageShape<I>> | undefined;
    const answered = new Promise<MessageShape<O>>((resolve, reject) => {
      call = this.client.makeClientStreamRequest(
        pathOf(method),
        (message: MessageShape<I>) => Buffer.from(toBinary(method.input, message)),
        (bytes) => fromBinary(method.output, bytes),
        this.metadataOf(),
        timeoutMs === undefined ? {} : { deadline: Date.now() + timeoutMs },
        (error, answer) => {
          if (signal?.aborted) {
            reject(signal.reason as Error);
          } else if (error) {
            reject(TaskgateError.of(error));
          } else {
            resolve(answer as MessageShape<O>);
          }
        },
      );
      signal?.addEventListener("abort", () => call?.cancel(), { once: true });
    });
    answered.catch(() => undefined); // it is awaited below; until then it may fail
    for await (const request of requests) {
      const room = call?.write(create(method.input, request)) ?? true;
      if (!room) {
        await new Promise((resolve) => call?.once("drain", resolve).once("close", resolve));
      }
    }
    call?.end();
    return answered;
  }

  /** Ends the connection and the calls in flight on it. */
  close(): void {
    this.client.close();
  }

  private metadataOf(): grpc.Metadata {
    const metadata = new grpc.Metadata();
    for (const [key, value] of Object.entries(this.metadata)) {
      metadata.set(key, value);
    }
    return metadata;
  }
}

function pathOf(method: DescMethod): string {
  return `/${method.parent.typeName}/${method.name}`;
}

function isServiceError(error: unknown): error is grpc.ServiceError {
  return error instanceof Error && "code" in error && "metadata" in error;
}
