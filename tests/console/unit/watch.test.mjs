import assert from "node:assert/strict";
import { test } from "node:test";

import { Freshness } from "../../../server/taskgate_server/console/js/freshness.js";
import { TaskStore } from "../../../server/taskgate_server/console/js/store.js";
import { WatchSession, watch } from "../../../server/taskgate_server/console/js/watch.js";
import { JOB, ManualFrames, ManualTiming, change, scriptedStream, task } from "./support.mjs";

const SNAPSHOT = [
  { snapshotBegin: {} },
  { snapshotTasks: { tasks: [task("a"), task("b")] }, resumeToken: "within" },
  { snapshotEnd: { taskCount: 2, observeTime: "1970-01-01T00:16:40Z" }, resumeToken: "t1" },
];
const STOPPING = { watchEnd: { reason: "WATCH_END_REASON_SERVER_STOPPING" } };
const SETTLED = { watchEnd: { reason: "WATCH_END_REASON_SETTLED" } };

const failure = (code, more = {}) => Object.assign(new Error(code), { code, ...more });

async function follow(calls, { timing = new ManualTiming(), signal, onWaiting } = {}) {
  const store = new TaskStore(new ManualFrames());
  const freshness = new Freshness(timing.now);
  const statuses = [];
  const { stream, requests } = scriptedStream(calls);
  await watch(JOB, store, {
    signal: signal ?? new AbortController().signal,
    freshness,
    onStatus: (status) => statuses.push(status),
    onWaiting,
    timing,
    stream,
  });
  return { store, freshness, statuses, requests, timing };
}

const states = (statuses) => statuses.map(({ state }) => state);

test("a watch loads the snapshot, applies changes and ends with the server's reason", async () => {
  const changes = [change("UPDATED", task("a", "SUCCEEDED")), change("REMOVED", task("b"))];
  const { store, statuses, requests } = await follow([[...SNAPSHOT, ...changes, SETTLED]]);
  assert.deepEqual([...store.tasks.keys()], [task("a").name]);
  assert.deepEqual(states(statuses), ["connecting", "live", "ended"]);
  assert.equal(statuses[2].reason, "WATCH_END_REASON_SETTLED");
  assert.deepEqual(requests, [{ parent: JOB, heartbeatInterval: "5s" }]);
});

test("a broken call resumes at the latest token", async () => {
  const { store, requests, statuses } = await follow([
    [...SNAPSHOT, change("UPDATED", task("a", "FAILED"), "t2"), failure("unavailable")],
    [{ resumed: {} }, change("ADDED", task("c"), "t3"), SETTLED],
  ]);
  assert.equal(requests[1].resumeToken, "t2");
  assert.equal(store.tasks.size, 3);
  assert.deepEqual(states(statuses), ["connecting", "live", "reconnecting", "live", "ended"]);
});

test("a call that breaks within a snapshot starts again without its tokens", async () => {
  const { requests } = await follow([
    [...SNAPSHOT.slice(0, 2), failure("unavailable")],
    [...SNAPSHOT, failure("unavailable")],
    [{ snapshotBegin: {} }, { snapshotTasks: { tasks: [] }, resumeToken: "x" }, failure("unavailable")],
    [{ resumed: {} }, SETTLED],
  ]);
  assert.deepEqual(requests.map((each) => each.resumeToken), [undefined, undefined, "t1", "t1"]);
});

test("a server that stops is left at once, the next one after a delay", async () => {
  const { timing, statuses } = await follow([
    [...SNAPSHOT, STOPPING],
    [{ resumed: {} }, STOPPING],
    [{ resumed: {} }, SETTLED],
  ]);
  assert.deepEqual(timing.delays, [0, 500]);
  assert.equal(statuses.filter(({ state }) => state === "reconnecting").length, 2);
});

test("delays double up to a limit, and start again after a response", async () => {
  const broken = [failure("unavailable")];
  const { timing } = await follow([
    ...Array(6).fill(broken),
    [...SNAPSHOT, failure("unavailable")],
    [{ resumed: {} }, SETTLED],
  ]);
  assert.deepEqual(timing.delays, [500, 1000, 2000, 4000, 5000, 5000, 500]);
});

test("the notice says since when the connection is lost, however many attempts fail", async () => {
  const { statuses } = await follow([
    [...SNAPSHOT, failure("unavailable")],
    [failure("unavailable")],
    [{ resumed: {} }, SETTLED],
  ]);
  const reconnecting = statuses.filter(({ state }) => state === "reconnecting");
  assert.equal(reconnecting.length, 2);
  assert.equal(reconnecting[0].since, reconnecting[1].since);
});

test("the delay is at least what the server asks for", async () => {
  const { timing } = await follow([
    [failure("resource_exhausted", { retryAfterSeconds: 7, reason: "RATE_LIMIT" })],
    [...SNAPSHOT, SETTLED],
  ]);
  assert.deepEqual(timing.delays, [7000]);
});

for (const code of ["permission_denied", "unauthenticated", "not_found", "invalid_argument"]) {
  test(`${code} is final`, async () => {
    const { statuses, requests } = await follow([[failure(code, { reason: "ANY" })], SNAPSHOT]);
    assert.equal(requests.length, 1);
    assert.deepEqual(states(statuses), ["connecting", "ended"]);
    assert.equal(statuses[1].error.code, code);
  });
}

test("a stream without an end is broken, because a proxy may have closed it", async () => {
  const { requests } = await follow([SNAPSHOT, [{ resumed: {} }, SETTLED]]);
  assert.equal(requests.length, 2);
});

test("a parent that no longer exists has no tasks", async () => {
  const gone = { watchEnd: { reason: "WATCH_END_REASON_GONE" } };
  const { store, statuses } = await follow([[...SNAPSHOT, gone]]);
  assert.equal(store.tasks.size, 0);
  assert.equal(statuses.at(-1).reason, "WATCH_END_REASON_GONE");
});

test("a silent connection counts as dead after three heartbeats", async () => {
  const timing = new ManualTiming();
  let fireSilence;
  timing.sleep = (milliseconds, signal) =>
    new Promise((resolve) => {
      if (milliseconds < 15_000) resolve();
      else fireSilence ??= resolve;
      signal.addEventListener("abort", resolve);
    });
  const hang = () =>
    new Promise((resolve) => {
      timing.time += 15_000;
      fireSilence();
      setImmediate(resolve);
    });
  const { statuses, requests } = await follow(
    [[...SNAPSHOT, hang, failure("canceled")], [{ resumed: {} }, SETTLED]],
    { timing },
  );
  assert.equal(requests.length, 2);
  const { error } = statuses.find(({ state }) => state === "reconnecting");
  assert.match(error.message, /sent nothing for 15 s/);
});

test("heartbeats carry the age, but not within a snapshot", async () => {
  const heartbeat = { heartbeat: { staleness: "7.5s", upstreamError: { code: 14, message: "down" } } };
  const { freshness, timing } = await follow([[...SNAPSHOT, heartbeat, SETTLED]]);
  assert.equal(timing.now() - freshness.asOf, 7500);
  assert.equal(freshness.upstreamError.message, "down");
  const early = await follow([[SNAPSHOT[0], heartbeat, ...SNAPSHOT.slice(1), SETTLED]]);
  assert.equal(early.freshness.upstreamError, null);
});

test("frames get their turn while many messages are handled", async () => {
  const timing = new ManualTiming();
  const messages = Array.from({ length: 100 }, (_, index) => () => {
    timing.time += 1; // a millisecond of work
    return index;
  });
  const calls = [SNAPSHOT.concat(messages.flatMap((work) => [work, change("UPDATED", task("a"))]), SETTLED)];
  const { timing: after } = await follow(calls, { timing });
  assert.ok(after.turns >= 14 && after.turns <= 20, `${after.turns} turns`);
});

test("leaving the page ends the watch without a status", async () => {
  const leaving = new AbortController();
  const { statuses, requests } = await follow(
    [[...SNAPSHOT, () => leaving.abort(), failure("canceled")]],
    { signal: leaving.signal },
  );
  assert.equal(requests.length, 1);
  assert.deepEqual(states(statuses), ["connecting", "live"]);
});

test("the user can end a delay", async () => {
  const timing = new ManualTiming();
  let aborted = false;
  timing.sleep = (milliseconds, signal) =>
    new Promise((resolve) => signal.addEventListener("abort", () => resolve((aborted = true))));
  await follow([[failure("unavailable")], [...SNAPSHOT, SETTLED]], {
    timing,
    onWaiting: (wake) => setImmediate(wake),
  });
  assert.equal(aborted, true);
});

test("a session that was left resumes in another watch", async () => {
  const store = new TaskStore(new ManualFrames());
  const timing = new ManualTiming();
  const freshness = new Freshness(timing.now);
  const session = new WatchSession(JOB, store, freshness);
  const leaving = new AbortController();
  const { stream, requests } = scriptedStream([
    [...SNAPSHOT, () => leaving.abort()],
    [{ resumed: {} }, change("UPDATED", task("a", "FAILED")), SETTLED],
  ]);
  const options = { freshness, timing, stream, session, onStatus: () => undefined };
  await watch(JOB, store, { ...options, signal: leaving.signal });
  await watch(JOB, store, { ...options, signal: new AbortController().signal });
  assert.equal(requests[1].resumeToken, "t1");
  assert.equal(store.tasks.get(task("a").name).state, "TASK_STATE_FAILED");
});
