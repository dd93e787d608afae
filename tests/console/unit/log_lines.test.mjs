/** The lines of a log over interruptions: none is lost, none comes twice. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { followLog } from "../../../server/taskgate_server/console/js/log_lines.js";

globalThis.document = Object.assign(new EventTarget(), { baseURI: "https://a/", hidden: false });
globalThis.sessionStorage = { getItem: () => null };
globalThis.addEventListener = () => {};

const END = { flags: 2, message: {} };
const STOPPING = {
  flags: 2,
  message: {
    error: {
      code: "unavailable",
      message: "the server is shutting down",
      details: [{ type: "google.rpc.ErrorInfo", value: Buffer.from([10, 15, ...Buffer.from("SERVER_STOPPING")]).toString("base64") }],
    },
  },
};

function body(parts) {
  return Buffer.concat(
    parts.map(({ flags = 0, message }) => {
      const content = Buffer.from(JSON.stringify(message));
      const head = Buffer.alloc(5);
      head[0] = flags;
      head.writeUInt32BE(content.length, 1);
      return Buffer.concat([head, content]);
    }),
  );
}

const source = (attempt, attemptCount) => ({ message: { source: { attempt, attemptCount } } });
const lines = (...some) => ({
  message: { lines: { lines: some.map(([time, message]) => ({ time, message })) } },
});

/** Reads the log of a server that gives these responses to the calls, one after the other. */
async function read(attempt, ...responses) {
  const requests = [];
  const received = [];
  globalThis.fetch = async (_url, init) => {
    const { heartbeatInterval, ...request } = JSON.parse(Buffer.from(init.body).subarray(5).toString());
    assert.equal(heartbeatInterval, "5s");
    requests.push(request);
    const parts = responses[requests.length - 1] ?? [END];
    return new Response(body(parts), { headers: { "Content-Type": "application/connect+json" } });
  };
  await followLog("t", attempt, {
    signal: new AbortController().signal,
    onSource: () => {},
    onLines: (some) => received.push(...some.map((each) => each.message)),
    onStatus: () => {},
  });
  return { requests, received };
}

test("a complete log takes one call", async () => {
  const { requests, received } = await read(undefined, [source(1, 1), lines(["1", "a"], ["2", "b"]), END]);
  assert.deepEqual(received, ["a", "b"]);
  assert.deepEqual(requests, [{ name: "t", follow: true, tail: 2000 }]);
});

test("after an interruption the lines of the last millisecond are skipped", async () => {
  const { requests, received } = await read(
    undefined,
    [source(1, 1), lines(["1", "a"], ["2", "b"], ["2", "c"]), STOPPING],
    [source(1, 1), lines(["2", "b"], ["2", "c"], ["2", "d"], ["3", "e"]), END],
    [source(1, 1), lines(["3", "e"]), END],
  );
  assert.deepEqual(received, ["a", "b", "c", "d", "e"]);
  assert.deepEqual(requests.slice(1), [
    { name: "t", follow: true, attempt: 1, since: "2" }, // the rest of the attempt
    { name: "t", follow: true, since: "3" }, // and later attempts
  ]);
});

test("an attempt that started during the interruption is read after the rest of the interrupted one", async () => {
  const { received } = await read(
    undefined,
    [source(1, 1), lines(["1", "a"]), STOPPING],
    [source(1, 2), lines(["1", "a"], ["2", "b"]), END],
    [source(2, 2), lines(["5", "c"]), END],
  );
  assert.deepEqual(received, ["a", "b", "c"]);
});

test("one attempt ends with itself", async () => {
  const { requests, received } = await read(2, [source(2, 3), lines(["1", "a"]), STOPPING], [source(2, 3), lines(["1", "a"], ["1", "b"]), END]);
  assert.deepEqual(received, ["a", "b"]);
  assert.deepEqual(requests.map((each) => each.attempt), [2, 2]);
});

test("a silent connection counts as dead, and the log is read again where it was", async (context) => {
  context.mock.timers.enable({ apis: ["setTimeout"] });
  let now = performance.now();
  context.mock.method(performance, "now", () => now);
  context.mock.method(Math, "random", () => 0);
  const turn = () => new Promise((resolve) => setImmediate(resolve));
  const requests = [];
  const statuses = [];
  globalThis.fetch = async (_url, { signal, body: sent }) => {
    requests.push(JSON.parse(Buffer.from(sent).subarray(5).toString()));
    const isFirst = requests.length === 1;
    const stream = new ReadableStream({
      start(controller) {
        controller.enqueue(body(isFirst ? [source(1, 1), lines(["1", "a"])] : [source(1, 1), END]));
        signal.addEventListener("abort", () => controller.error(signal.reason));
      },
    });
    return new Response(stream, { headers: { "Content-Type": "application/connect+json" } });
  };
  const reading = followLog("t", 1, {
    signal: new AbortController().signal,
    onSource: () => {},
    onLines: () => {},
    onStatus: (status) => statuses.push(status),
  });
  await turn();
  assert.equal(requests.length, 1);
  now += 15_000;
  context.mock.timers.tick(15_000);
  await turn();
  context.mock.timers.tick(0); // the delay before the next call
  await reading;
  assert.equal(requests.length, 2);
  assert.equal(requests[1].since, "1");
  assert.match(statuses.find(({ state }) => state === "reconnecting").error.message, /sent nothing for 15 s/);
});
