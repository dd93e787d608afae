/** Calls by the Connect protocol: errors with details, and enveloped messages in any pieces. */

import assert from "node:assert/strict";
import { afterEach, test } from "node:test";

import { ApiError, statusError, stream, unary } from "../../../server/taskgate_server/console/js/connect.js";

globalThis.document = { baseURI: "https://taskgate.example/farm/?x=1#/start" };
globalThis.sessionStorage = { getItem: () => "secret", setItem() {}, removeItem() {} };

let requests = [];

afterEach(() => {
  requests = [];
});

/** Responds to every call with the same response. */
function serve(body, { status = 200, type = "application/json" } = {}) {
  globalThis.fetch = async (url, init) => {
    requests.push({ url: String(url), ...init });
    return new Response(body, { status, headers: { "Content-Type": type } });
  };
}

function envelope(message, flags = 0) {
  const content = new TextEncoder().encode(JSON.stringify(message));
  const bytes = new Uint8Array(5 + content.length);
  bytes[0] = flags;
  new DataView(bytes.buffer).setUint32(1, content.length);
  bytes.set(content, 5);
  return bytes;
}

/** Returns a body that arrives in pieces of `size` bytes. */
function pieces(parts, size) {
  const bytes = Buffer.concat(parts);
  return new ReadableStream({
    start(controller) {
      for (let at = 0; at < bytes.length; at += size) {
        controller.enqueue(new Uint8Array(bytes.subarray(at, at + size)));
      }
      controller.close();
    },
  });
}

async function collect(messages) {
  const all = [];
  for await (const message of messages) all.push(message);
  return all;
}

const field = (number, bytes) => Buffer.concat([Buffer.from([number * 8 + 2, bytes.length]), bytes]);
const text = (number, value) => field(number, Buffer.from(value));
const ERROR_INFO = Buffer.concat([
  text(1, "POLICY_DENIED"),
  text(2, "taskgate"),
  field(3, Buffer.concat([text(1, "action"), text(2, "tasks/GetTask")])),
]);
const DETAILS = [
  { type: "google.rpc.ErrorInfo", value: ERROR_INFO.toString("base64").replace(/=+$/, "") },
  { type: "google.rpc.RequestInfo", value: text(1, "id-1").toString("base64") },
  { type: "google.rpc.RetryInfo", value: field(1, Buffer.from([8, 2, 16, 128, 202, 181, 238, 1])).toString("base64") },
  { type: "example.Unknown", value: "AAAA" },
  { type: "google.rpc.BadRequest", value: "Cg==" }, // truncated
];

test("a call is relative to the page and has the token", async () => {
  serve('{"version": "1"}');
  assert.deepEqual(await unary("taskgate.v1.TaskService/GetServerInfo", {}, { target: "lab" }), { version: "1" });
  const [{ url, headers }] = requests;
  assert.equal(url, "https://taskgate.example/farm/taskgate.v1.TaskService/GetServerInfo");
  assert.equal(headers.Authorization, "Bearer secret");
  assert.equal(headers["Taskgate-Target"], "lab");
});

test("an error has its code, message and details", async () => {
  serve(JSON.stringify({ code: "permission_denied", message: "no", details: DETAILS }), { status: 403 });
  await assert.rejects(unary("a.B/C", {}), (error) => {
    assert.ok(error instanceof ApiError);
    assert.deepEqual(
      [error.code, error.message, error.reason, error.requestId, error.retryAfterSeconds],
      ["permission_denied", "no", "POLICY_DENIED", "id-1", 2.5],
    );
    assert.deepEqual(error.details[0].metadata, { action: "tasks/GetTask" });
    assert.deepEqual(error.details.slice(3), [{ "@type": "example.Unknown" }, { "@type": "google.rpc.BadRequest" }]);
    return true;
  });
});

test("a status within a response has the same details", () => {
  const error = statusError({
    code: 8,
    message: "slow down",
    details: [
      { "@type": "type.googleapis.com/google.rpc.ErrorInfo", reason: "CALLER_LIMIT" },
      { "@type": "type.googleapis.com/google.rpc.RetryInfo", retryDelay: "1.5s" },
    ],
  });
  assert.deepEqual([error.code, error.reason, error.retryAfterSeconds], ["resource_exhausted", "CALLER_LIMIT", 1.5]);
});

test("a response of a proxy is an error", async () => {
  serve("<html>Bad gateway</html>", { status: 502, type: "text/html" });
  await assert.rejects(unary("a.B/C", {}), { code: "unavailable", message: /HTTP status 502/ });
  serve("[]", { status: 401 });
  await assert.rejects(unary("a.B/C", {}), { code: "unauthenticated" });
});

test("a lost connection is UNAVAILABLE, an aborted call is not", async () => {
  globalThis.fetch = async () => {
    throw new TypeError("fetch failed");
  };
  await assert.rejects(unary("a.B/C", {}), { code: "unavailable" });
  globalThis.fetch = async () => {
    throw new DOMException("aborted", "AbortError");
  };
  await assert.rejects(unary("a.B/C", {}), { name: "AbortError" });
});

test("a server that does not respond at all has missed the deadline", async () => {
  let limit;
  globalThis.fetch = async (_url, { signal }) => {
    limit = signal;
    throw new DOMException("timed out", "TimeoutError");
  };
  const page = new AbortController();
  await assert.rejects(unary("a.B/C", {}, { signal: page.signal }), { code: "deadline_exceeded" });
  page.abort();
  assert.ok(limit.aborted, "the call also ends with the page");
});

for (const size of [1, 3, 7, 100_000]) {
  test(`messages of a stream arrive in pieces of ${size} bytes`, async () => {
    const sent = Array.from({ length: 50 }, (_, number) => ({ number, text: "ä".repeat(number * 30) }));
    serve(pieces([...sent.map((each) => envelope(each)), envelope({}, 2)], size), { type: "application/connect+json" });
    assert.deepEqual(await collect(stream("a.B/C", { request: 1 })), sent);
    const body = Buffer.from(requests[0].body);
    assert.deepEqual([body[0], body.readUInt32BE(1), body.subarray(5).toString()], [0, 13, '{"request":1}']);
  });
}

test("a stream ends with its error", async () => {
  const error = { code: "not_found", message: "gone", details: DETAILS };
  serve(pieces([envelope({ a: 1 }), envelope({ error }, 2)], 10), { type: "application/connect+json" });
  const messages = stream("a.B/C", {});
  assert.deepEqual((await messages.next()).value, { a: 1 });
  await assert.rejects(messages.next(), { code: "not_found", requestId: "id-1" });
});

test("a stream without an end was interrupted", async () => {
  serve(pieces([envelope({ a: 1 })], 10), { type: "application/connect+json" });
  await assert.rejects(collect(stream("a.B/C", {})), { code: "unavailable" });
});
