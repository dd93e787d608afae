/**
 * Calls of the server's RPCs by the Connect protocol with JSON messages.
 *
 * URLs are relative to the page, so that the console also works below a path of a proxy.
 */

import { decodeDetails, detailOf, retryDelay } from "./details.js";
import { session } from "./session.js";

/** @typedef {import("./details.js").Detail} Detail */
/** @typedef {{signal?: AbortSignal | undefined, target?: string | undefined, timeoutMs?: number}} CallOptions */

/** The deadline of a unary call unless the caller sets one. */
const DEFAULT_TIMEOUT_MS = 30_000;
/** The server reports a missed deadline itself; a connection that is dead does not. */
const GRACE_MS = 5_000;
const MAX_MESSAGE_BYTES = 128 * 1024 * 1024;

const COMPRESSED = 1;
const END_OF_STREAM = 2;

/** An error of a call: the server's own, or one of the connection. */
export class ApiError extends Error {
  /**
   * @param {string} code of Connect, such as "not_found"
   * @param {string} message
   * @param {Detail[]} [details]
   */
  constructor(code, message, details = []) {
    super(message);
    this.name = "ApiError";
    this.code = code;
    this.details = details;
    /** The reason in ErrorInfo, such as "POLICY_DENIED"; empty if there is none. */
    this.reason = String(detailOf(details, "google.rpc.ErrorInfo")?.["reason"] ?? "");
    /** AWS's request id, or the id of the call in the server's log; empty if there is none. */
    this.requestId = String(detailOf(details, "google.rpc.RequestInfo")?.["requestId"] ?? "");
    /** When to retry; undefined if the server does not say so. */
    this.retryAfterSeconds = retryDelay(details);
  }
}

/**
 * Call a unary RPC.
 *
 * @param {string} method such as "taskgate.v1.TaskService/GetTask"
 * @param {object} request
 * @param {CallOptions} [options]
 * @returns {Promise<any>} the response
 * @throws {ApiError} the call failed
 */
export async function unary(method, request, options = {}) {
  const timeoutMs = options.timeoutMs ?? DEFAULT_TIMEOUT_MS;
  const limit = AbortSignal.timeout(timeoutMs + GRACE_MS);
  const signal = options.signal ? AbortSignal.any([options.signal, limit]) : limit;
  const limited = { ...options, signal };
  const response = await post(method, "application/json", JSON.stringify(request), limited, {
    "Connect-Timeout-Ms": String(timeoutMs),
  });
  const body = await read(response);
  if (!response.ok) throw errorOf(response, body);
  return json(body);
}

/**
 * Call an RPC that returns a stream. The call is cancelled when the caller stops iterating.
 *
 * @param {string} method such as "taskgate.v1.TaskService/WatchTasks"
 * @param {object} request
 * @param {CallOptions} [options]
 * @returns {AsyncGenerator<any, void, void>} the responses
 * @throws {ApiError} the call failed
 */
export async function* stream(method, request, options = {}) {
  const body = envelope(JSON.stringify(request));
  const response = await post(method, "application/connect+json", body, options, {});
  const type = response.headers.get("content-type") ?? "";
  if (!response.ok || !response.body || !type.startsWith("application/connect+json")) {
    throw errorOf(response, await read(response));
  }
  for await (const { flags, text } of envelopes(response.body)) {
    if (flags & COMPRESSED) throw new ApiError("internal", "The server sent a compressed message.");
    const message = json(text);
    if (!(flags & END_OF_STREAM)) {
      yield message;
      continue;
    }
    if (message.error) throw connectError(message.error);
    return;
  }
  throw new ApiError("unavailable", "The connection to the server ended within the stream.");
}

/**
 * Convert a `google.rpc.Status` in a response, such as that of one task of a batch, to an error.
 *
 * @param {{code?: number, message?: string, details?: unknown}} status
 * @returns {ApiError}
 */
export function statusError(status) {
  return new ApiError(
    CODES[status.code ?? 2] ?? "unknown",
    status.message ?? "",
    decodeDetails(status.details),
  );
}

/** The codes of gRPC by number. */
const CODES = (
  "ok canceled unknown invalid_argument deadline_exceeded not_found already_exists " +
  "permission_denied resource_exhausted failed_precondition aborted out_of_range unimplemented " +
  "internal unavailable data_loss unauthenticated"
).split(" ");

/**
 * https://connectrpc.com/docs/protocol/#http-to-error-code: of responses without a Connect error,
 * which come from a proxy.
 *
 * @type {Record<number, string>}
 */
const CODES_OF_HTTP = {
  400: "internal",
  401: "unauthenticated",
  403: "permission_denied",
  404: "unimplemented",
  429: "unavailable",
  502: "unavailable",
  503: "unavailable",
  504: "unavailable",
};

/**
 * @param {string} method
 * @param {string} type
 * @param {BodyInit} body
 * @param {CallOptions} options
 * @param {Record<string, string>} headers
 */
async function post(method, type, body, { signal, target }, headers) {
  const url = new URL(method, document.baseURI);
  try {
    const response = await fetch(url, {
      method: "POST",
      headers: {
        "Content-Type": type,
        "Connect-Protocol-Version": "1",
        ...session.headers(target),
        ...headers,
      },
      body,
      signal: signal ?? null,
      cache: "no-store",
      redirect: "manual",
    });
    if (response.type === "opaqueredirect") {
      throw new ApiError("unauthenticated", "The sign-in has expired. Reload the page to sign in.");
    }
    return response;
  } catch (error) {
    throw connectionError(error);
  }
}

/** @param {Response} response */
async function read(response) {
  try {
    return await response.text();
  } catch (error) {
    throw connectionError(error);
  }
}

/**
 * @param {unknown} error
 * @returns {unknown} an aborted call keeps its AbortError
 */
function connectionError(error) {
  if (error instanceof ApiError || (error instanceof DOMException && error.name === "AbortError")) {
    return error;
  }
  if (error instanceof DOMException && error.name === "TimeoutError") {
    return new ApiError("deadline_exceeded", "The server has not responded in time.");
  }
  return new ApiError(
    "unavailable",
    "The server cannot be reached. Check the network, and whether the server is running.",
  );
}

/**
 * @param {Response} response
 * @param {string} body
 */
function errorOf(response, body) {
  const type = response.headers.get("content-type") ?? "";
  if (type.startsWith("application/json")) {
    const parsed = json(body);
    if (typeof parsed?.code === "string") return connectError(parsed);
  }
  return new ApiError(
    CODES_OF_HTTP[response.status] ?? "unknown",
    `The response has the HTTP status ${response.status} and is not one of Taskgate. ` +
      "Check the proxy in front of the server.",
  );
}

/** @param {{code?: string, message?: string, details?: unknown}} error */
function connectError(error) {
  return new ApiError(error.code ?? "unknown", error.message ?? "", decodeDetails(error.details));
}

/** @param {string} text */
function json(text) {
  try {
    return JSON.parse(text);
  } catch {
    throw new ApiError("internal", "The response is not valid JSON.");
  }
}

/**
 * @param {string} text
 * @returns {Uint8Array<ArrayBuffer>}
 */
function envelope(text) {
  const content = new TextEncoder().encode(text);
  const bytes = new Uint8Array(5 + content.length);
  new DataView(bytes.buffer).setUint32(1, content.length);
  bytes.set(content, 5);
  return bytes;
}

/**
 * Split a body into its enveloped messages.
 *
 * @param {ReadableStream<Uint8Array>} body
 * @returns {AsyncGenerator<{flags: number, text: string}, void, void>}
 */
async function* envelopes(body) {
  const reader = body.getReader();
  const decoder = new TextDecoder();
  const received = new ReceivedBytes();
  try {
    for (;;) {
      const head = received.peek(5);
      if (head) {
        const size = new DataView(head.buffer, head.byteOffset).getUint32(1);
        if (size > MAX_MESSAGE_BYTES) throw new ApiError("internal", "A message is too large.");
        const message = received.peek(5 + size);
        if (message) {
          received.drop(5 + size);
          yield { flags: message[0] ?? 0, text: decoder.decode(message.subarray(5)) };
          continue;
        }
      }
      const { done, value } = await reader.read();
      if (done) return;
      received.append(value);
    }
  } catch (error) {
    throw connectionError(error);
  } finally {
    // The body of a finished stream is closed already; any other one is no longer needed.
    reader.cancel().catch(() => {});
  }
}

/** Received bytes that do not yet form a message. */
class ReceivedBytes {
  #bytes = new Uint8Array(64 * 1024);
  #start = 0;
  #end = 0;

  /** @param {Uint8Array} chunk */
  append(chunk) {
    if (this.#end + chunk.length > this.#bytes.length) {
      const size = this.#end - this.#start;
      const larger = new Uint8Array(Math.max(this.#bytes.length, 2 * (size + chunk.length)));
      larger.set(this.#bytes.subarray(this.#start, this.#end));
      this.#bytes = larger;
      this.#start = 0;
      this.#end = size;
    }
    this.#bytes.set(chunk, this.#end);
    this.#end += chunk.length;
  }

  /**
   * Return the first bytes, valid until the next `append`; null if there are fewer.
   *
   * @param {number} size
   */
  peek(size) {
    if (this.#end - this.#start < size) return null;
    return this.#bytes.subarray(this.#start, this.#start + size);
  }

  /** @param {number} size */
  drop(size) {
    this.#start += size;
  }
}
