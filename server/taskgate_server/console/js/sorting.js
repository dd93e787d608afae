/** Sorting of the tasks that are loaded. It has no DOM. */

import { runTime, titleOf } from "./describe.js";
import { TextRanks } from "./natural_order.js";
import { STATES } from "./states.js";

/** @typedef {import("./parent_model.js").ParentModel} ParentModel */
/** @typedef {import("./task_record.js").Task} Task */

/** @typedef {{column: string, descending: boolean}} Sort `column` is empty for the order of the grid */

/** @type {Map<string, number>} */
const STATE_RANK = new Map(STATES.map(({ state }, index) => [state, index]));

/** @type {Record<string, (model: ParentModel, task: Task, now: number) => number | string>} */
const KEYS = {
  state: (_, task) => STATE_RANK.get(task.state) ?? STATES.length,
  name: (_, task) => titleOf(task),
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

/** A sorter of tasks; to sort them again after changes costs less. */
export class TaskSorter {
  #ranks = new TextRanks();

  /**
   * Return names in the order of a column. Tasks without a value come last in both directions; tasks with equal values
   * stay in the order that they have.
   *
   * @param {ParentModel} model
   * @param {string[]} names
   * @param {Sort} sort
   * @returns {string[]}
   */
  sort(model, names, { column, descending }) {
    const key = KEYS[column];
    if (key === undefined) {
      return names;
    }
    const now = model.freshness.serverNow();
    const values = this.#numbers(
      names.map((name) => {
        const task = model.store.tasks.get(name);
        return task === undefined ? NaN : key(model, task, now);
      }),
    );
    const direction = descending ? -1 : 1;
    const order = names.map((_, index) => index);
    order.sort((one, other) => {
      const [value = NaN, otherValue = NaN] = [values[one], values[other]];
      const isEmpty = Number(Number.isNaN(value)) - Number(Number.isNaN(otherValue));
      return isEmpty || direction * (value - otherValue) || one - other;
    });
    return order.map((index) => names[index] ?? "");
  }

  /**
   * Return numbers that sort as the values do; NaN for an empty text.
   *
   * @param {(number | string)[]} values
   * @returns {number[]}
   */
  #numbers(values) {
    const ranks = this.#ranks.of(values.filter((each) => typeof each === "string"));
    return values.map((each) => {
      if (typeof each === "number") {
        return each;
      }
      return each === "" ? NaN : (ranks.get(each) ?? NaN);
    });
  }
}
