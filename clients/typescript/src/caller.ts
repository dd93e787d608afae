/** Calls over one gRPC channel, made of protobuf-es's descriptions of services. */

import { Readable } from "node:stream";
import type { Writable } from "node:stream";

import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import type { DescMessage, DescMethod, MessageInitShape, MessageShape } from "@bufbuild/protobuf";
import * as grpc from "@grpc/grpc-js";

import { TaskgateError } from "./errors.js";
import { PARENT_KEY, sharedParent } from "./parents.js";

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
  private readonly acts = new Set<() => void>();
  private closed = false;

  constructor(
    address: string,
    credentials: grpc.ChannelCredentials,
    options: grpc.ChannelOptions,
    private readonly metadata: Readonly<Record<string, string>>,
  ) {
    this.client = new grpc.Client(address, credentials, options);
  }

  /** Whether the connection has been ended. */
  get isClosed(): boolean {
    return this.closed;
  }

  /** Makes a call with one request and one answer. */
  async unary<I extends DescMessage, O extends DescMessage>(
    method: DescMethod & { input: I; output: O },
    request: MessageInitShape<I>,
    { signal, timeoutMs = DEFAULT_TIMEOUT_MS }: CallOptions = {},
  ): Promise<MessageShape<O>> {
    this.checkOpen(signal);
    return new Promise((resolve, reject) => {
      const call = this.client.makeUnaryRequest(
        pathOf(method),
        (message: MessageInitShape<I>) => encoded(method.input, message),
        (bytes) => fromBinary(method.output, bytes),
        request,
        this.metadataOf(method, request),
        { deadline: Date.now() + timeoutMs },
        (error, answer) => {
          release();
          settle(resolve, reject, signal, error, answer);
        },
      );
      const release = this.whenGivenUp(() => {
        call.cancel();
      }, signal);
    });
  }

  /** Makes a call with one request and any number of answers. */
  stream<I extends DescMessage, O extends DescMessage>(
    method: DescMethod & { input: I; output: O },
    request: MessageInitShape<I>,
    timeoutMs?: number,
  ): ServerStream<MessageShape<O>> {
    this.checkOpen(undefined);
    const call = this.client.makeServerStreamRequest(
      pathOf(method),
      (message: MessageInitShape<I>) => encoded(method.input, message),
      (bytes) => fromBinary(method.output, bytes),
      request,
      this.metadataOf(method, request),
      optionsOf(timeoutMs),
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

  /**
   * Makes a call with any number of requests and one answer.
   *
   * The requests are left off when the call has ended, and the call when they fail.
   */
  async clientStream<I extends DescMessage, O extends DescMessage>(
    method: DescMethod & { input: I; output: O },
    requests: AsyncIterable<MessageInitShape<I>> | Iterable<MessageInitShape<I>>,
    { signal, timeoutMs }: CallOptions = {},
  ): Promise<MessageShape<O>> {
    this.checkOpen(signal);
    return new Promise((resolve, reject) => {
      const call = this.client.makeClientStreamRequest(
        pathOf(method),
        (message: MessageInitShape<I>) => encoded(method.input, message),
        (bytes) => fromBinary(method.output, bytes),
        this.metadataOf(method),
        optionsOf(timeoutMs),
        (error, answer) => {
          release();
          source.destroy();
          settle(resolve, reject, signal, error, answer);
        },
      );
      const release = this.whenGivenUp(() => {
        call.cancel();
      }, signal);
      call.on("error", () => undefined); // of a write after the end, which the answer explains
      const source = Readable.from(requests).on("error", (error) => {
        reject(error);
        call.cancel();
      });
      source.pipe<Writable>(call);
    });
  }

  /**
   * Acts when the signal is aborted or the connection is ended.
   *
   * @returns what is to be called when there is nothing to act on any more.
   */
  whenGivenUp(act: () => void, signal: AbortSignal | undefined): () => void {
    this.acts.add(act);
    signal?.addEventListener("abort", act, { once: true });
    return () => {
      this.acts.delete(act);
      signal?.removeEventListener("abort", act);
    };
  }

  /** Ends the connection and the calls in flight on it, which grpc-js would let go on. */
  close(): void {
    this.closed = true;
    for (const act of [...this.acts]) {
      act();
    }
    this.client.close();
  }

  /** What grpc-js would tell of a closed channel is an error of another kind. */
  private checkOpen(signal: AbortSignal | undefined): void {
    signal?.throwIfAborted();
    if (this.closed) {
      throw new TaskgateError({ code: "CANCELLED", message: "the client is closed" });
    }
  }

  private metadataOf(method: DescMethod, request: unknown = {}): grpc.Metadata {
    const metadata = new grpc.Metadata();
    for (const [key, value] of Object.entries(this.metadata)) {
      metadata.set(key, value);
    }
    const parent = sharedParent(method, request);
    if (parent !== undefined) {
      metadata.set(PARENT_KEY, parent);
    }
    return metadata;
  }
}

function pathOf(method: DescMethod): string {
  return `/${method.parent.typeName}/${method.name}`;
}

function encoded<I extends DescMessage>(type: I, message: MessageInitShape<I>): Buffer {
  return Buffer.from(toBinary(type, create(type, message)));
}

function optionsOf(timeoutMs: number | undefined): grpc.CallOptions {
  return timeoutMs === undefined ? {} : { deadline: Date.now() + timeoutMs };
}

function settle<T>(
  resolve: (answer: T) => void,
  reject: (reason: Error) => void,
  signal: AbortSignal | undefined,
  error: grpc.ServiceError | null,
  answer: T | undefined,
): void {
  if (signal?.aborted === true) {
    reject(signal.reason as Error);
  } else if (error) {
    reject(TaskgateError.of(error));
  } else {
    // There is one: grpc-js gives an error for a call without an answer.
    resolve(answer as T);
  }
}

function isServiceError(error: unknown): error is grpc.ServiceError {
  return error instanceof Error && "code" in error && "metadata" in error;
}
