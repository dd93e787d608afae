/** Calls over a gRPC channel, for the services that protobuf-es describes. */

import { Readable } from "node:stream";
import type { Writable } from "node:stream";

import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import type { DescMessage, DescMethod, MessageInitShape, MessageShape } from "@bufbuild/protobuf";
import * as grpc from "@grpc/grpc-js";

import { TaskgateError } from "./errors.js";
import { PARENT_KEY, rootsIn, sharedParent } from "./parents.js";
import { isRead, isWrite, SINCE_WRITE_KEY } from "./writes.js";
import type { Writes } from "./writes.js";

/** Options of a call. */
export interface CallOptions {
  /** Aborts the call, which then rejects with the signal's reason. */
  readonly signal?: AbortSignal | undefined;
  /** Timeout of the call in milliseconds. */
  readonly timeoutMs?: number | undefined;
}

/** Timeout of unary calls that set none. */
export const DEFAULT_TIMEOUT_MS = 30_000;

/** A stream of the server's messages. */
export interface ServerStream<T> {
  /** Returns the next message, or undefined at the end. Rejects with a {@link TaskgateError}. */
  read(): Promise<T | undefined>;
  /** Ends the call. */
  cancel(): void;
}

/** A gRPC channel, which makes calls. */
export class Channel {
  private readonly client: grpc.Client;
  private readonly listeners = new Set<() => void>();
  private closed = false;

  constructor(
    address: string,
    credentials: grpc.ChannelCredentials,
    options: grpc.ChannelOptions,
    private readonly metadata: Readonly<Record<string, string>>,
    private readonly writes: Writes,
  ) {
    this.client = new grpc.Client(address, credentials, options);
  }

  /** Whether the channel has been closed. */
  get isClosed(): boolean {
    return this.closed;
  }

  /** Makes a unary call. */
  async unary<I extends DescMessage, O extends DescMessage>(
    method: DescMethod & { input: I; output: O },
    request: MessageInitShape<I>,
    { signal, timeoutMs = DEFAULT_TIMEOUT_MS }: CallOptions = {},
  ): Promise<MessageShape<O>> {
    this.checkOpen(signal);
    return new Promise((resolve, reject) => {
      const call = this.client.makeUnaryRequest(
        pathOf(method),
        (message: MessageInitShape<I>) => encode(method.input, message),
        (bytes) => fromBinary(method.output, bytes),
        request,
        this.metadataOf(method, request),
        { deadline: Date.now() + timeoutMs },
        (error, response) => {
          this.recordEnd(method, request);
          removeListener();
          settle(resolve, reject, signal, error, response);
        },
      );
      const removeListener = this.onAbort(() => {
        call.cancel();
      }, signal);
    });
  }

  /** Makes a call whose response is a stream. */
  stream<I extends DescMessage, O extends DescMessage>(
    method: DescMethod & { input: I; output: O },
    request: MessageInitShape<I>,
    timeoutMs?: number,
  ): ServerStream<MessageShape<O>> {
    this.checkOpen(undefined);
    const call = this.client.makeServerStreamRequest(
      pathOf(method),
      (message: MessageInitShape<I>) => encode(method.input, message),
      (bytes) => fromBinary(method.output, bytes),
      request,
      this.metadataOf(method, request),
      optionsOf(timeoutMs),
    );
    // The iterator reports errors, too, but an event without a listener would be thrown.
    call.on("error", () => undefined);
    call.on("status", () => {
      this.recordEnd(method, request);
    });
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
   * Makes a call whose request is a stream.
   *
   * The end of the call ends the iteration of the requests; their failure cancels the call.
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
        (message: MessageInitShape<I>) => encode(method.input, message),
        (bytes) => fromBinary(method.output, bytes),
        this.metadataOf(method),
        optionsOf(timeoutMs),
        (error, response) => {
          this.recordEnd(method);
          removeListener();
          source.destroy();
          settle(resolve, reject, signal, error, response);
        },
      );
      const removeListener = this.onAbort(() => {
        call.cancel();
      }, signal);
      call.on("error", () => undefined); // of a write after the end; the callback gets the cause
      const source = Readable.from(requests).on("error", (error) => {
        reject(error);
        call.cancel();
      });
      source.pipe<Writable>(call);
    });
  }

  /**
   * Adds a listener for the abort of the signal and the close of the channel.
   *
   * @returns a function that removes the listener.
   */
  onAbort(listener: () => void, signal: AbortSignal | undefined): () => void {
    this.listeners.add(listener);
    signal?.addEventListener("abort", listener, { once: true });
    return () => {
      this.listeners.delete(listener);
      signal?.removeEventListener("abort", listener);
    };
  }

  /** Closes the channel and ends its calls, which grpc-js would let continue. */
  close(): void {
    this.closed = true;
    for (const listener of [...this.listeners]) {
      listener();
    }
    this.client.close();
  }

  /** Throws a TaskgateError for a closed channel, where grpc-js would throw another error. */
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
    const sinceWrite = isRead(method) ? this.writes.since(rootsIn(method, request)) : undefined;
    if (sinceWrite !== undefined) {
      metadata.set(SINCE_WRITE_KEY, sinceWrite);
    }
    return metadata;
  }

  /** Records the end of a call that may have written, whatever its outcome. */
  private recordEnd(method: DescMethod, request: unknown = {}): void {
    if (isWrite(method)) {
      this.writes.record(rootsIn(method, request));
    }
  }
}

function pathOf(method: DescMethod): string {
  return `/${method.parent.typeName}/${method.name}`;
}

function encode<I extends DescMessage>(type: I, message: MessageInitShape<I>): Buffer {
  return Buffer.from(toBinary(type, create(type, message)));
}

function optionsOf(timeoutMs: number | undefined): grpc.CallOptions {
  return timeoutMs === undefined ? {} : { deadline: Date.now() + timeoutMs };
}

function settle<T>(
  resolve: (response: T) => void,
  reject: (reason: Error) => void,
  signal: AbortSignal | undefined,
  error: grpc.ServiceError | null,
  response: T | undefined,
): void {
  if (signal?.aborted === true) {
    reject(signal.reason as Error);
  } else if (error) {
    reject(TaskgateError.of(error));
  } else {
    // There is one: for a call without a response grpc-js reports an error.
    resolve(response as T);
  }
}

function isServiceError(error: unknown): error is grpc.ServiceError {
  return error instanceof Error && "code" in error && "metadata" in error;
}
