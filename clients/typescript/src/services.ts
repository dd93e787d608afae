/** Typed methods for every RPC of a service, derived from its descriptor. */

import type {
  DescMessage,
  DescMethod,
  DescService,
  MessageInitShape,
  MessageShape,
} from "@bufbuild/protobuf";

import type { CallOptions, Channel } from "./channel.js";

interface Method {
  methodKind: string;
  input: DescMessage;
  output: DescMessage;
}

type Call<M> = M extends {
  methodKind: infer Kind;
  input: infer I extends DescMessage;
  output: infer O extends DescMessage;
}
  ? Kind extends "unary"
    ? (request: MessageInitShape<I>, options?: CallOptions) => Promise<MessageShape<O>>
    : Kind extends "server_streaming"
      ? (request: MessageInitShape<I>, options?: CallOptions) => AsyncIterable<MessageShape<O>>
      : (
          requests: AsyncIterable<MessageInitShape<I>> | Iterable<MessageInitShape<I>>,
          options?: CallOptions,
        ) => Promise<MessageShape<O>>
  : never;

/** A method for each RPC of a service. They reject with a `TaskgateError`. */
export type ServiceClient<Service extends DescService> = {
  readonly [Name in keyof Service["method"]]: Call<Service["method"][Name]>;
};

/** Returns the methods of a service, over a channel. */
export function serviceClient<Service extends DescService>(
  service: Service,
  channel: Channel,
): ServiceClient<Service> {
  const calls = Object.entries(service.method).map(([name, method]) => [
    name,
    call(method, channel),
  ]);
  return Object.fromEntries(calls) as ServiceClient<Service>;
}

function call(method: DescMethod & Method, channel: Channel): unknown {
  switch (method.methodKind) {
    case "unary":
      return (request: MessageInitShape<DescMessage>, options?: CallOptions) =>
        channel.unary(method, request, options);
    case "server_streaming":
      return (request: MessageInitShape<DescMessage>, options?: CallOptions) =>
        messages(method, channel, request, options);
    default:
      return (requests: AsyncIterable<MessageInitShape<DescMessage>>, options?: CallOptions) =>
        channel.clientStream(method, requests, options);
  }
}

async function* messages(
  method: DescMethod & Method,
  channel: Channel,
  request: MessageInitShape<DescMessage>,
  options: CallOptions = {},
): AsyncGenerator<MessageShape<DescMessage>, void, undefined> {
  const { signal, timeoutMs } = options;
  signal?.throwIfAborted();
  const stream = channel.stream(method, request, timeoutMs);
  const removeListener = channel.onAbort(() => {
    stream.cancel();
  }, signal);
  try {
    for (let next = await stream.read(); next !== undefined; next = await stream.read()) {
      yield next;
    }
  } catch (error) {
    throw signal?.aborted === true ? signal.reason : error;
  } finally {
    removeListener();
    stream.cancel();
  }
}
