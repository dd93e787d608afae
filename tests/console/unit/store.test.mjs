import assert from "node:assert/strict";
import { test } from "node:test";

import { TaskStore } from "../../../server/taskgate_server/console/js/store.js";
import { ManualFrames, task } from "./support.mjs";

function makeStore() {
  const frames = new ManualFrames();
  const store = new TaskStore(frames);
  const changes = [];
  store.addEventListener("change", ({ detail }) => changes.push([...detail]));
  return { store, frames, changes };
}

function load(store, tasks) {
  store.beginSnapshot();
  store.addSnapshotTasks(tasks);
  store.endSnapshot("2026-11-01T00:00:00Z");
}

const update = (changed) => ({ kind: "TASK_CHANGE_KIND_UPDATED", task: changed });

test("a snapshot shows while it loads, and is ready at its end", () => {
  const { store } = makeStore();
  store.beginSnapshot();
  store.addSnapshotTasks([task("a"), task("b", "FAILED")]);
  assert.equal(store.tasks.size, 2);
  assert.equal(store.ready, false);
  store.endSnapshot("2026-11-01T00:00:00Z");
  assert.equal(store.ready, true);
  assert.equal(store.observeTime, "2026-11-01T00:00:00Z");
});

test("counts follow changes of state and removals", () => {
  const { store } = makeStore();
  load(store, [task("a"), task("b"), task("c", "FAILED")]);
  store.apply(update(task("a", "SUCCEEDED")));
  store.apply({ kind: "TASK_CHANGE_KIND_REMOVED", task: task("c", "FAILED") });
  assert.deepEqual(Object.fromEntries(store.counts), {
    TASK_STATE_RUNNING: 1,
    TASK_STATE_SUCCEEDED: 1,
  });
});

test("another snapshot removes what it does not contain, and only at its end", () => {
  const { store, frames, changes } = makeStore();
  load(store, [task("a"), task("b")]);
  frames.run();
  store.beginSnapshot();
  store.addSnapshotTasks([task("b"), task("c")]);
  assert.deepEqual(store.tasks.has(task("a").name), true);
  store.endSnapshot("");
  frames.run();
  assert.deepEqual([...store.tasks.keys()], [task("b").name, task("c").name]);
  assert.deepEqual(changes[1].sort(), [task("a").name, task("c").name]);
});

test("a snapshot that breaks off removes nothing", () => {
  const { store } = makeStore();
  load(store, [task("a"), task("b")]);
  store.beginSnapshot();
  store.addSnapshotTasks([task("b")]);
  load(store, [task("a"), task("b")]);
  assert.equal(store.tasks.size, 2);
});

test("many changes are one event per frame", () => {
  const { store, frames, changes } = makeStore();
  load(store, [task("a"), task("b")]);
  assert.equal(frames.run(), 1);
  for (let count = 0; count < 100; count += 1) {
    store.apply(update(task("a", "RUNNING", { retryCount: count })));
  }
  assert.equal(frames.run(), 1);
  assert.deepEqual(changes[1], [task("a").name]);
  assert.equal(store.tasks.get(task("a").name).retryCount, 99);
});

test("a task that looks the same is no change", () => {
  const { store, frames } = makeStore();
  load(store, [task("a")]);
  frames.run();
  const { structure } = store;
  store.apply(update(task("a", "RUNNING", { observeTime: "2026-11-01T00:00:05Z" })));
  assert.equal(frames.run(), 0);
  assert.equal(store.structure, structure);
});

test("after a resumed watch, a known task may be added and an unknown one removed", () => {
  const { store } = makeStore();
  load(store, [task("a")]);
  store.apply({ kind: "TASK_CHANGE_KIND_ADDED", task: task("a", "FAILED") });
  store.apply({ kind: "TASK_CHANGE_KIND_REMOVED", task: task("x") });
  assert.deepEqual(Object.fromEntries(store.counts), { TASK_STATE_FAILED: 1 });
});

test("states of a newer server count as unrecognized", () => {
  const { store } = makeStore();
  load(store, [{ name: "p/tasks/1", state: 99 }, { name: "p/tasks/2", state: "TASK_STATE_NEW" }]);
  assert.deepEqual(Object.fromEntries(store.counts), { TASK_STATE_UNRECOGNIZED: 2 });
});
