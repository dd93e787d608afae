import assert from "node:assert/strict";
import { test } from "node:test";

import { Freshness } from "../../../server/taskgate_server/console/js/freshness.js";
import { TaskOrder, groupOf, sortKey } from "../../../server/taskgate_server/console/js/grouping.js";
import { ParentModel } from "../../../server/taskgate_server/console/js/parent_model.js";
import { TaskSorter } from "../../../server/taskgate_server/console/js/sorting.js";
import { TaskStore } from "../../../server/taskgate_server/console/js/store.js";
import { toTask } from "../../../server/taskgate_server/console/js/task_record.js";
import { JOB, ManualFrames, change } from "./support.mjs";

const RUN = "omics/runs/1";
const id = (name) => name.slice(name.lastIndexOf("/") + 1);

function makeModel(parent, tasks) {
  const frames = new ManualFrames();
  const store = new TaskStore(frames);
  const model = new ParentModel(parent, store, new Freshness(() => 0));
  store.beginSnapshot();
  store.addSnapshotTasks(tasks);
  store.endSnapshot("");
  frames.run();
  return { model, store, frames };
}

test("the step of a task is what its name has between the parent and the task", () => {
  const task = toTask({ name: `${JOB}/steps/s1/tasks/t-1` });
  assert.equal(groupOf(JOB, task).resource, `${JOB}/steps/s1`);
  assert.equal(groupOf(JOB, task).label, "s1");
  const queue = JOB.split("/").slice(0, 6).join("/");
  assert.equal(groupOf(queue, task).resource, `${JOB}/steps/s1`);
  assert.equal(groupOf(`${JOB}/steps/s1`, task).resource, "");
});

test("without steps, display names that differ in numbers at their end are a group", () => {
  const label = (displayName) => groupOf(RUN, toTask({ name: `${RUN}/tasks/1`, displayName })).label;
  assert.equal(label("BwaMem2-3-17"), "BwaMem2");
  assert.equal(label("Align (12)"), "Align");
  assert.equal(label("fastqc_7"), "fastqc");
  assert.equal(label("MergeVcfs"), "MergeVcfs");
  assert.equal(label(""), "");
});

test("ids sort by the number at their end", () => {
  assert.deepEqual(sortKey("a/tasks/task-ab-12"), ["task-ab-", 12]);
  assert.deepEqual(sortKey("a/tasks/6657063"), ["", 6657063]);
  const order = new TaskOrder(JOB);
  const names = ["t-10", "t-9", "t-1"].map((each) => `${JOB}/steps/s/tasks/${each}`);
  const tasks = new Map(names.map((name) => [name, toTask({ name })]));
  order.update(names, tasks);
  assert.equal(order.refresh(), true);
  assert.deepEqual(order.names.map(id), ["t-1", "t-9", "t-10"]);
  assert.equal(order.refresh(), false);
});

test("groups are in the order in which AWS created them, and positions are consistent", () => {
  const of = (step, task, createTime) => ({ name: `${JOB}/steps/${step}/tasks/${task}`, createTime });
  const { model, store, frames } = makeModel(JOB, [
    of("z", "t-1", "2026-01-01T00:00:00Z"),
    of("a", "t-1", "2026-01-01T00:00:09Z"),
    of("z", "t-0", "2026-01-01T00:00:05Z"),
  ]);
  const check = () => {
    for (const [position, name] of model.order.names.entries()) {
      assert.equal(model.order.positions.get(name), position);
      const group = model.order.groupOf(name);
      assert.equal(group.names[position - group.start], name);
    }
  };
  assert.deepEqual(model.order.groups.map(({ label }) => label), ["z", "a"]);
  check();
  store.apply(change("REMOVED", of("z", "t-0")).taskChange);
  store.apply(change("ADDED", of("b", "t-5", "2025-01-01T00:00:00Z")).taskChange);
  frames.run();
  assert.deepEqual(model.order.groups.map(({ label }) => label), ["b", "z", "a"]);
  assert.equal(model.order.names.length, 3);
  check();
});

const RUN_TASKS = [
  { name: `${RUN}/tasks/1`, state: "TASK_STATE_RUNNING", startTime: "1970-01-01T00:00:02Z", displayName: "b" },
  { name: `${RUN}/tasks/2`, state: "TASK_STATE_FAILED", startTime: "1970-01-01T00:00:01Z", displayName: "a" },
  { name: `${RUN}/tasks/3`, state: "TASK_STATE_PENDING", displayName: "c" },
];

test("tasks without a value come last in both directions", () => {
  const { model } = makeModel(RUN, RUN_TASKS);
  const sorted = (column, descending) =>
    new TaskSorter().sort(model, model.order.names, { column, descending }).map(id).join("");
  assert.equal(model.order.names.map(id).join(""), "213", "by display name");
  assert.equal(sorted("start", false), "213");
  assert.equal(sorted("start", true), "123");
  assert.equal(sorted("name", false), "213");
  assert.equal(sorted("name", true), "312");
  assert.equal(sorted("state", false), "213");
  assert.equal(sorted("", false), model.order.names.map(id).join(""));
});

test("numbers in names sort by value, in groups and in columns", () => {
  const names = ["Frame-10", "Frame-9", "Frame-1", "Frame-100"];
  const tasks = names.map((displayName, index) => ({
    name: `${RUN}/tasks/${index}`,
    state: "TASK_STATE_RUNNING",
    displayName,
    statusMessage: `took ${displayName.slice(6)} s`,
  }));
  const { model, store, frames } = makeModel(RUN, tasks);
  const shown = (list) => list.map((name) => model.store.tasks.get(name).displayName);
  const expected = ["Frame-1", "Frame-9", "Frame-10", "Frame-100"];
  assert.deepEqual(shown(model.order.names), expected);
  const sorter = new TaskSorter();
  const sorted = (column, descending = false) => shown(sorter.sort(model, model.order.names, { column, descending }));
  assert.deepEqual(sorted("name"), expected);
  assert.deepEqual(sorted("message", true), [...expected].reverse());
  store.apply(change("ADDED", { ...tasks[0], name: `${RUN}/tasks/7`, displayName: "Frame-99" }).taskChange);
  frames.run();
  assert.deepEqual(sorted("name"), ["Frame-1", "Frame-9", "Frame-10", "Frame-99", "Frame-100"]);
});

test("tasks of a job sort by the number of their ids, too", () => {
  const ids = ["t-10", "t-9", "t-100", "t-1"];
  const { model } = makeModel(JOB, ids.map((each) => ({ name: `${JOB}/steps/s/tasks/${each}` })));
  const sorted = new TaskSorter().sort(model, model.order.names, { column: "name", descending: true });
  assert.deepEqual(sorted.map(id), ["t-100", "t-10", "t-9", "t-1"]);
});

test("filters by state follow changes of tasks", () => {
  const { model, store, frames } = makeModel(RUN, RUN_TASKS);
  model.setStates(new Set(["TASK_STATE_RUNNING"]));
  assert.deepEqual(model.visibleNames().map(id), ["1"]);
  store.apply(change("UPDATED", { ...RUN_TASKS[2], state: "TASK_STATE_RUNNING" }).taskChange);
  frames.run();
  assert.deepEqual(model.visibleNames().map(id).sort(), ["1", "3"]);
  model.setMatches(new Set([RUN_TASKS[2].name]));
  assert.deepEqual(model.visibleNames().map(id), ["3"]);
});

test("a task that no longer exists is no longer selected", () => {
  const { model, store, frames } = makeModel(RUN, RUN_TASKS);
  model.select(RUN_TASKS.map(({ name }) => name));
  store.apply(change("REMOVED", RUN_TASKS[1]).taskChange);
  frames.run();
  assert.deepEqual([...model.selected].map(id), ["1", "3"]);
});
