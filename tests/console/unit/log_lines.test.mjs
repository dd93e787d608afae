/** The lines of a log over interruptions: none is lost, none comes twice. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { followLog } from "../../../server/taskgate_server/console/js/log_lines.js";

globalThis.document = Object.assign(new EventTarget(), { baseURI: "https://a/", hidden: false });
globalThis.sessionStorage = { getItem: () => null };

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
    requests.push(JSON.parse(Buffer.from(init.body).subarray(5).toString()));
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
