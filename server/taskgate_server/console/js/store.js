/** The tasks of a parent, as a watch reports them. It has no DOM; views listen for its events. */

import { looksSame, toTask } from "./task_record.js";

/** @typedef {import("./task_record.js").Task} Task */

/**
 * The tasks of a parent with their number by state.
 *
 * The event `change` has the names of the tasks that were added, updated or removed in `detail`, and is dispatched at
 * most once per call of `schedule`, however many messages arrived. Whoever needs the latest states reads `tasks`.
 */
export class TaskStore extends EventTarget {
  /** @type {Map<string, Task>} */
  tasks = new Map();
  /** @type {Map<string, number>} */
  counts = new Map();
  /** @type {any} the latest SummarizeTasksResponse of the parent */
  parent = null;
  /** Whether a complete snapshot has arrived. */
  ready = false;
  /** When AWS sent the oldest response that the last snapshot was built from. */
  observeTime = "";
  /** Increases when tasks are added or removed, so that views know whether their layout is current. */
  structure = 0;

  /** @type {Set<string>} */
  #changed = new Set();
  /** @type {Set<string> | null} */
  #snapshot = null;
  #scheduled = false;
  #schedule;

  /**
   * @param {object} options
   * @param {(callback: () => void) => void} options.schedule calls back before the next frame
   */
  constructor({ schedule }) {
    super();
    this.#schedule = schedule;
  }

  /**
   * Start a snapshot. Its tasks show at once, because a large parent takes minutes to load; tasks from before stay
   * until the snapshot is complete, so that a reconnect does not blank the page.
   */
  beginSnapshot() {
    this.#snapshot = new Set();
  }

  /** @param {any[]} tasks in proto3 JSON */
  addSnapshotTasks(tasks) {
    for (const json of tasks) {
      const task = toTask(json);
      this.#snapshot?.add(task.name);
      this.#upsert(task);
    }
  }

  /**
   * Complete a snapshot: a task that is not in it no longer exists.
   *
   * @param {string} observeTime
   */
  endSnapshot(observeTime) {
    const snapshot = this.#snapshot;
    if (snapshot === null) {
      return;
    }
    this.#snapshot = null;
    for (const name of this.tasks.keys()) {
      if (!snapshot.has(name)) {
        this.#remove(name);
      }
    }
    this.ready = true;
    this.observeTime = observeTime;
    this.#notify();
  }

  /**
   * Apply a taskgate.v1.TaskChange. After a resumed watch, a known task may be added, and an unknown one removed.
   *
   * @param {any} change
   */
  apply(change) {
    if (!change.task?.name) {
      return;
    }
    if (change.kind === "TASK_CHANGE_KIND_REMOVED") {
      this.#remove(change.task.name);
    } else {
      this.#upsert(toTask(change.task));
    }
  }

  /** Remove all tasks: the parent no longer exists. */
  clear() {
    for (const name of [...this.tasks.keys()]) {
      this.#remove(name);
    }
  }

  /** @param {any} summary a SummarizeTasksResponse */
  setParent(summary) {
    this.parent = summary;
    this.#notify();
  }

  /** @param {Task} task */
  #upsert(task) {
    const previous = this.tasks.get(task.name);
    if (previous === undefined) {
      this.structure += 1;
      this.#count(task.state, 1);
    } else if (looksSame(previous, task)) {
      return;
    } else if (previous.state !== task.state) {
      this.#count(previous.state, -1);
      this.#count(task.state, 1);
    }
    this.tasks.set(task.name, task);
    this.#changed.add(task.name);
    this.#notify();
  }

  /** @param {string} name */
  #remove(name) {
    const previous = this.tasks.get(name);
    if (previous === undefined) {
      return;
    }
    this.tasks.delete(name);
    this.structure += 1;
    this.#count(previous.state, -1);
    this.#changed.add(name);
    this.#notify();
  }

  /**
   * @param {string} state
   * @param {number} difference
   */
  #count(state, difference) {
    const count = (this.counts.get(state) ?? 0) + difference;
    if (count === 0) {
      this.counts.delete(state);
    } else {
      this.counts.set(state, count);
    }
  }

  #notify() {
    if (this.#scheduled) {
      return;
    }
    this.#scheduled = true;
    this.#schedule(() => {
      this.#scheduled = false;
      const detail = this.#changed;
      this.#changed = new Set();
      this.dispatchEvent(new CustomEvent("change", { detail }));
    });
  }
}
