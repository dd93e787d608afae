import assert from "node:assert/strict";
import { test } from "node:test";

import { FrameLoop } from "../../../server/taskgate_server/console/js/frame_loop.js";
import { Freshness } from "../../../server/taskgate_server/console/js/freshness.js";
import { moveRow } from "../../../server/taskgate_server/console/js/list_keys.js";
import { MAX_SELECTED, readQuery, writeQuery } from "../../../server/taskgate_server/console/js/page_query.js";
import { parentActions } from "../../../server/taskgate_server/console/js/parent_actions.js";
import { StatusSchedule } from "../../../server/taskgate_server/console/js/parent_status.js";
import { duration, roughly } from "../../../server/taskgate_server/console/js/quantities.js";
import { faultRange, filterFault, filterWithStates, matchTasks } from "../../../server/taskgate_server/console/js/task_filter.js";
import { TimeScale } from "../../../server/taskgate_server/console/js/timeline_scale.js";
import { WatchPause } from "../../../server/taskgate_server/console/js/watch_pause.js";
import { JOB, ManualFrames } from "./support.mjs";

test("painters run once per frame, after callbacks, and again while they are unfinished", () => {
  const frames = new ManualFrames();
  const loop = new FrameLoop(frames.schedule);
  const calls = [];
  let left = 2;
  loop.add(() => {
    calls.push("paint");
    left -= 1;
    return left > 0;
  });
  loop.before(() => calls.push("before"));
  loop.request();
  assert.equal(frames.run(), 1);
  assert.equal(frames.run(), 1);
  assert.equal(frames.run(), 0);
  assert.deepEqual(calls, ["before", "paint", "paint"]);
});

test("a heartbeat has the age, whatever the clocks say", () => {
  let now = 1_000_000;
  const freshness = new Freshness(() => now);
  assert.ok(Number.isNaN(freshness.age()));
  freshness.observe(now - 3_000);
  assert.equal(freshness.age(), 3_000);
  freshness.heartbeat(8_000, undefined);
  assert.equal(freshness.age(), 8_000);
  now += 2_000;
  assert.equal(freshness.age(), 10_000);
  freshness.observe(NaN);
  assert.equal(freshness.age(), 10_000);
});

test("a response from the future shows that this clock is behind", () => {
  const freshness = new Freshness(() => 1_000_000);
  freshness.observe(1_060_000);
  assert.equal(freshness.age(), 0);
  assert.equal(freshness.serverNow(), 1_060_000);
  freshness.observe(1_050_000);
  assert.equal(freshness.age(), 0, "an older response does not make the page older");
});

test("keys move within a list", () => {
  assert.equal(moveRow("ArrowDown", -1, 5, 2), 0);
  assert.equal(moveRow("ArrowDown", 4, 5, 2), 4);
  assert.equal(moveRow("ArrowUp", 0, 5, 2), 0);
  assert.equal(moveRow("PageDown", 1, 5, 2), 3);
  assert.equal(moveRow("End", 1, 5, 2), 4);
  assert.equal(moveRow("Home", 3, 5, 2), 0);
  assert.equal(moveRow("ArrowDown", 0, 0, 2), -1);
  assert.equal(moveRow("x", 0, 5, 2), -1);
});

test("an address has view, filter, sorting, focus and selection", () => {
  const state = {
    view: "table",
    filter: 'state = FAILED AND parameters.Frame > "1"',
    states: new Set(["TASK_STATE_RUNNING", "TASK_STATE_FAILED"]),
    sort: { column: "start", descending: true },
    focused: `${JOB}/steps/s/tasks/t-1`,
    selected: [`${JOB}/steps/s/tasks/t-1`, `${JOB}/steps/s/tasks/t-2`],
  };
  const query = new URLSearchParams(writeQuery(JOB, state));
  assert.deepEqual(readQuery(JOB, new URLSearchParams(query.toString())), state);
});

test("what an address does not know is ignored, and long selections are left out", () => {
  const query = readQuery(JOB, new URLSearchParams("view=x&states=failed,x&sort=x:desc"));
  assert.equal(query.view, "grid");
  assert.deepEqual([...query.states], ["TASK_STATE_FAILED"]);
  assert.deepEqual(query.sort, { column: "", descending: false });
  const selected = Array.from({ length: MAX_SELECTED + 1 }, (_, index) => `${JOB}/tasks/${index}`);
  assert.equal(writeQuery(JOB, { ...query, selected }).select, "");
});

test("pages of one parent read its state at the same times", () => {
  const one = new StatusSchedule();
  const other = new StatusSchedule();
  assert.equal(one.due(60_000, false, false), 30);
  assert.equal(other.due(77_000, false, false), 30);
  assert.equal(one.due(89_999, false, false), 0);
  assert.equal(one.due(90_000, false, false), 30);
  assert.equal(other.due(90_000, false, false), 30);
});

test("the end of the last task makes a read due, and the end of the parent ends them", () => {
  const schedule = new StatusSchedule();
  schedule.due(60_000, false, false);
  assert.equal(schedule.due(61_000, true, false), 1);
  assert.equal(schedule.due(62_000, true, false), 0);
  assert.equal(schedule.due(65_000, true, false), 5);
  assert.equal(schedule.due(70_000, true, true), 0);
  assert.equal(schedule.due(90_000, true, true), 0);
  schedule.request();
  assert.equal(schedule.due(91_000, true, true), 1);
  assert.equal(schedule.due(121_000, false, true), 30, "it was requeued");
});

test("a parent that does not end after its tasks is read less often", () => {
  const schedule = new StatusSchedule();
  const reads = [];
  for (let second = 0; second < 180; second += 1) {
    if (schedule.due(second * 1000, true, false)) reads.push(second);
  }
  assert.deepEqual(reads.slice(-4), [60, 90, 120, 150]);
  assert.ok(reads.length < 20, String(reads));
});

test("durations have two units at most", () => {
  assert.equal(duration(0), "0 s");
  assert.equal(duration(59_400), "59 s");
  assert.equal(duration(3_600_000), "1 h");
  assert.equal(duration(3_725_000), "1 h 2 min");
  assert.equal(duration(86_405_000), "1 d");
  assert.equal(duration(NaN), "");
  assert.equal(roughly(1234.5), "1,200");
});

test("all pages of a filter are read, with the same request", async () => {
  const requests = [];
  const pages = [
    { tasks: [{ name: "a" }], nextPageToken: "2" },
    { nextPageToken: "3" },
    { tasks: [{ name: "b" }], incompleteReason: "only 10,000" },
  ];
  const sizes = [];
  const matches = await matchTasks("p", "state = FAILED", {
    signal: new AbortController().signal,
    onPage: ({ names }) => sizes.push(names.size),
    unary: async (method, request) => pages[requests.push(request) - 1],
  });
  assert.deepEqual([...matches.names], ["a", "b"]);
  assert.equal(matches.incompleteReason, "only 10,000");
  assert.deepEqual(sizes, [1, 1, 2]);
  assert.deepEqual(requests.map(({ pageToken }) => pageToken), ["", "2", "3"]);
});

test("the server's error about a filter is found at its column", () => {
  const error = {
    code: "invalid_argument",
    message: "invalid request",
    details: [{ fieldViolations: [{ field: "filter", description: "column 9: unknown field" }] }],
  };
  assert.deepEqual(filterFault(error), { column: 9, message: "unknown field" });
  assert.equal(filterFault({ code: "unavailable", message: "column 9: x" }), null);
  assert.equal(filterFault({ code: "invalid_argument", message: "the parent has no tasks" }), null);
});

test("a column counts characters, and the word there is selected", () => {
  const filter = "state = 🎬🎬 AND nope = 1";
  const { start, end } = faultRange(filter, 16);
  assert.equal(filter.slice(start, end), "nope");
  assert.deepEqual(faultRange("state =", 8), { start: 7, end: 7 });
});

test("zooming keeps the centre and the bounds", () => {
  const scale = new TimeScale();
  scale.setDomain(0, 1_000_000);
  assert.equal(scale.place(250_000), 0.25);
  scale.zoom(0.5, 0.25);
  assert.equal(scale.place(250_000), 0.25);
  assert.equal(scale.to - scale.from, 500_000);
  scale.pan(-10);
  assert.equal(scale.from, 0);
  scale.pan(10);
  assert.equal(scale.to, 1_000_000);
  scale.zoom(4);
  assert.equal(scale.isZoomed, false);
  for (let count = 0; count < 50; count += 1) scale.zoom(0.5);
  assert.equal(Math.round(scale.to - scale.from), 5_000);
});

test("ticks are round times that do not overlap", () => {
  const scale = new TimeScale();
  for (const span of [5_000, 90_000, 3_600_000, 86_400_000, 40 * 86_400_000]) {
    scale.setDomain(1_700_000_123_456, 1_700_000_123_456 + span);
    const { step, times } = scale.ticks(1000);
    assert.ok(times.length >= 2 && times.length <= 10, `${times.length} ticks for ${span} ms`);
    for (const time of times) {
      assert.equal(time % step, 0);
      assert.ok(scale.place(time) >= 0 && scale.place(time) <= 1);
    }
  }
});

test("a page that is hidden for long pauses, and resumes when it shows", () => {
  const calls = [];
  const timers = [];
  const pause = new WatchPause({
    onPause: () => calls.push("pause"),
    onResume: () => calls.push("resume"),
    setTimer: (callback) => timers.push(callback),
    clearTimer: (timer) => timer && (timers[timer - 1] = null),
  });
  const page = new EventTarget();
  const show = (isShown) => {
    page.hidden = !isShown;
    page.dispatchEvent(new Event("visibilitychange"));
  };
  page.hidden = true;
  pause.start(page, new AbortController().signal);
  assert.deepEqual(calls, [], "a page that was opened in the background");
  show(true);
  show(false);
  show(true);
  assert.equal(timers[0], null, "a short absence");
  assert.deepEqual(calls, ["resume"]);
  show(false);
  timers[1]();
  show(true);
  assert.deepEqual(calls, ["resume", "pause", "resume"]);
});

test("states and an expression make one filter, in which OR does not spread", () => {
  const states = new Set(["TASK_STATE_FAILED", "TASK_STATE_CANCELLED"]);
  assert.equal(filterWithStates(new Set(), ""), "");
  assert.equal(filterWithStates(new Set(), "retry_count > 0"), "retry_count > 0");
  assert.equal(filterWithStates(states, ""), "state = FAILED OR state = CANCELLED");
  assert.equal(
    filterWithStates(states, "retry_count > 0 OR state = QUEUED"),
    "(retry_count > 0 OR state = QUEUED) AND (state = FAILED OR state = CANCELLED)",
  );
});

test("a run can only be cancelled as a whole, a job and a step can also be retried and suspended", () => {
  const verbs = (name) => parentActions(name).map(({ verb }) => verb);
  assert.deepEqual(verbs("omics/runs/1"), ["cancel"]);
  assert.deepEqual(verbs(JOB), ["retry", "suspend", "cancel"]);
  assert.deepEqual(verbs(`${JOB}/steps/s`), ["retry", "suspend", "cancel"]);
  assert.deepEqual(verbs("plugin/jobs/1"), []);
});
