/** A task in words: for tooltips, screen readers and rows. */

import { shortId } from "./names.js";
import * as format from "./quantities.js";
import { stateInfo } from "./states.js";

/** @typedef {import("./task_record.js").Task} Task */
/** @typedef {import("./parent_model.js").ParentModel} ParentModel */

/**
 * Return a short name of a task: its display name, or its id without most of its digits.
 *
 * @param {Task} task
 */
export function titleOf(task) {
  return task.displayName || shortId(task.name.slice(task.name.lastIndexOf("/") + 1));
}

/**
 * Return a name of a task for lists of several steps: without a display name, its step and its number.
 *
 * @param {ParentModel} model
 * @param {Task} task
 */
export function titleWithStep(model, task) {
  const step = model.labelOf(model.order.groupOf(task.name));
  const number = /-(\d+)$/.exec(task.name)?.[1];
  return task.displayName || !step || !number ? titleOf(task) : `${step} ${number}`;
}

/**
 * Return how long a task has run so far, or ran the last time; NaN if it has not started.
 *
 * @param {Task} task
 * @param {number} now
 */
export function runTime(task, now) {
  return endOf(task, now) - task.startTime;
}

/**
 * Return when a task stopped running: now if it runs.
 *
 * A task that runs again keeps the end of its last attempt until AWS reports the next one.
 *
 * @param {Task} task
 * @param {number} now
 */
export function endOf(task, now) {
  return task.endTime >= task.startTime && stateInfo(task.state).settled ? task.endTime : now;
}

/**
 * Return the state in words, with AWS's own word if it says something else.
 *
 * @param {Task} task
 */
export function stateText(task) {
  const { label } = stateInfo(task.state);
  const isChanging = task.targetState !== "" && task.targetState !== task.state;
  const target = isChanging ? `, changing to ${stateInfo(task.targetState).label}` : "";
  const isOther = task.nativeState && task.nativeState.toUpperCase() !== label.toUpperCase();
  return `${label}${isOther ? ` (${task.nativeState})` : ""}${target}`;
}

/**
 * Return what to know about a task in a few lines.
 *
 * @param {ParentModel} model
 * @param {Task} task
 * @returns {string[]}
 */
export function describe(model, task) {
  const now = model.freshness.serverNow();
  const title = titleWithStep(model, task);
  const started = format.time(task.startTime, now);
  return [
    `${title}: ${stateText(task)}`,
    title === titleOf(task) ? "" : titleOf(task),
    started ? `Started ${started}, ran ${format.duration(runTime(task, now))}` : "Not started",
    task.retryCount > 0 ? format.counted(task.retryCount, "retry", "retries") : "",
    task.instance,
    task.message,
    model.selected.has(task.name) ? "Selected" : "",
  ].filter(Boolean);
}
