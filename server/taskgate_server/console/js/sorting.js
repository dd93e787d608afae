/** Sorting of the tasks that are loaded. It has no DOM. */

import { runTime } from "./describe.js";
import { STATES } from "./states.js";

/** @typedef {import("./parent_model.js").ParentModel} ParentModel */
/** @typedef {import("./task_record.js").Task} Task */

/** @typedef {{column: string, descending: boolean}} Sort `column` is empty for the order of the grid */

/** @type {Map<string, number>} */
const STATE_RANK = new Map(STATES.map(({ state }, index) => [state, index]));

/** @type {Record<string, (model: ParentModel, task: Task, now: number) => number | string>} */
const KEYS = {
  state: (_, task) => STATE_RANK.get(task.state) ?? STATES.length,
  name: (model, task) => task.displayName || (model.order.positions.get(task.name) ?? 0),
  step: (model, task) => model.labelOf(model.order.groupOf(task.name)),
  start: (_, task) => task.startTime,
  end: (_, task) => task.endTime,
  time: (_, task, now) => runTime(task, now),
  retries: (_, task) => task.retryCount,
  instance: (_, task) => task.instance,
  message: (_, task) => task.message,
};

/** The columns by which tasks can be sorted. */
export const SORT_COLUMNS = new Set(Object.keys(KEYS));

/**
 * Returns names in the order of a column. Tasks without a value come last in both directions; tasks with equal values
 * stay in the order that they have.
 *
 * @param {ParentModel} model
 * @param {string[]} names
 * @param {Sort} sort
 * @returns {string[]}
 */
export function sortNames(model, names, { column, descending }) {
  const key = KEYS[column];
  if (key === undefined) {
    return names;
  }
  const now = model.freshness.serverNow();
  const entries = names.map((name, index) => {
    const task = model.store.tasks.get(name);
    return { name, index, value: task === undefined ? "" : key(model, task, now) };
  });
  const direction = descending ? -1 : 1;
  entries.sort((one, other) => {
    const isEmpty = Number(isMissing(one.value)) - Number(isMissing(other.value));
    return isEmpty || direction * compare(one.value, other.value) || one.index - other.index;
  });
  return entries.map(({ name }) => name);
}

/** @param {number | string} value */
function isMissing(value) {
  return value === "" || Number.isNaN(value);
}

/**
 * @param {number | string} one
 * @param {number | string} other
 */
function compare(one, other) {
  if (typeof one === "number" && typeof other === "number") {
    return one - other || 0;
  }
  return one < other ? -1 : Number(one > other);
}
