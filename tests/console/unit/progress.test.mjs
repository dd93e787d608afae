import assert from "node:assert/strict";
import { test } from "node:test";

import { progressOf } from "../../../server/taskgate_server/console/js/progress.js";
import { ageText, countsText, estimateText } from "../../../server/taskgate_server/console/js/summary_text.js";
import { toTask } from "../../../server/taskgate_server/console/js/task_record.js";

const NOW = Date.parse("2026-11-01T12:00:00Z");
const MINUTE = 60_000;
const at = (minutesAgo) => new Date(NOW - minutesAgo * MINUTE).toISOString();

/** Tasks that ended so many minutes ago after a minute each, and others. */
function progress(endedMinutesAgo, others = {}) {
  const tasks = new Map();
  const counts = new Map();
  const add = (json) => {
    const task = toTask({ name: `p/tasks/${tasks.size}`, ...json });
    tasks.set(task.name, task);
    counts.set(task.state, (counts.get(task.state) ?? 0) + 1);
  };
  for (const ago of endedMinutesAgo) {
    add({ state: "TASK_STATE_SUCCEEDED", startTime: at(ago + 1), endTime: at(ago) });
  }
  for (const [state, count] of Object.entries(others)) {
    for (let index = 0; index < count; index += 1) add({ state: `TASK_STATE_${state}` });
  }
  return progressOf(counts, tasks, NOW);
}

test("suspended and blocked tasks have settled, but not succeeded", () => {
  const { total, settled, succeeded, remaining } = progress([1], { SUSPENDED: 2, BLOCKED: 3, QUEUED: 4 });
  assert.deepEqual({ total, settled, succeeded, remaining }, { total: 10, settled: 6, succeeded: 1, remaining: 4 });
});

test("the shortest window with enough tasks counts", () => {
  const { estimate } = progress([...Array(30).fill(0.5), ...Array(100).fill(50)], { QUEUED: 60 });
  assert.deepEqual(estimate, { tasks: 30, period: MINUTE, perMinute: 30, timeLeft: 2 * MINUTE });
});

test("few tasks are counted since the first start", () => {
  const { estimate } = progress([1, 2, 3, 4, 5, 6, 7], { RUNNING: 8 });
  assert.equal(estimate.tasks, 7);
  assert.equal(estimate.period, 8 * MINUTE);
  assert.equal(Math.round(estimate.timeLeft / MINUTE), 9);
});

test("there is no estimate from four tasks, or from none", () => {
  assert.equal(progress([1, 2, 3, 4], { QUEUED: 9 }).estimate, null);
  assert.equal(progress([], { QUEUED: 9 }).estimate, null);
});

test("a task that runs again does not count as ended", () => {
  const tasks = new Map();
  for (let index = 0; index < 10; index += 1) {
    const json = { name: `p/tasks/${index}`, state: "TASK_STATE_RUNNING", startTime: at(2), endTime: at(1) };
    tasks.set(json.name, toTask(json));
  }
  assert.equal(progressOf(new Map([["TASK_STATE_RUNNING", 10]]), tasks, NOW).estimate, null);
});

test("the sentence says from how many tasks and over which time", () => {
  const text = estimateText(progress(Array(30).fill(0.5), { QUEUED: 60 }), { ended: false });
  assert.equal(text, "About 2 min left at 30 tasks/min: 30 tasks ended in the last 1 min, 60 tasks remain.");
  assert.equal(
    estimateText(progress([1], { QUEUED: 1 }), undefined),
    "1 task remains. Too few tasks have ended for an estimate.",
  );
});

test("nothing is promised for a parent that has ended, and the end not for one that has not", () => {
  const open = progress(Array(30).fill(0.5), { QUEUED: 5 });
  assert.match(estimateText(open, { ended: true }), /none of them runs until someone acts/);
  const done = progress(Array(30).fill(0.5));
  assert.match(estimateText(done, { ended: false }), /No task remains. More may be added/);
  assert.equal(estimateText(done, { ended: true }), "No task remains.");
  assert.equal(estimateText(progress([]), undefined), "");
});

test("numbers by state and age are texts", () => {
  const counts = new Map([["TASK_STATE_RUNNING", 1200], ["TASK_STATE_FAILED", 1]]);
  assert.equal(countsText(counts), "1 failed, 1,200 running");
  assert.equal(ageText(65_000), "as of 1 min 5 s ago");
  assert.equal(ageText(NaN), "");
});
