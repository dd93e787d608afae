/** Progress of a parent: what share of its tasks has ended, how fast, and how long the rest takes. It has no DOM. */

import { stateInfo } from "./states.js";

/** @typedef {import("./task_record.js").Task} Task */

/** Windows over which throughput is measured, in milliseconds: the shortest one that has enough tasks counts. */
const WINDOWS = [60_000, 300_000, 900_000, 3_600_000, 14_400_000];
/** With fewer ended tasks than this in a window, a longer one is used. */
const ENOUGH_TASKS = 20;
/** With fewer ended tasks than this in all there is no estimate. */
const MIN_TASKS = 5;

/** The states of tasks that cannot be cancelled or suspended any more. */
export const ENDED = new Set(["TASK_STATE_SUCCEEDED", "TASK_STATE_FAILED", "TASK_STATE_CANCELLED"]);

/**
 * @typedef {object} Progress
 * @property {number} total
 * @property {number} settled
 * @property {number} succeeded
 * @property {number} remaining tasks that have not settled
 * @property {Estimate | null} estimate
 */

/**
 * @typedef {object} Estimate
 * @property {number} tasks number of tasks that it is based on
 * @property {number} period the time over which they ended, in milliseconds
 * @property {number} perMinute
 * @property {number} timeLeft in milliseconds; NaN if nothing remains
 */

/**
 * Return the progress.
 *
 * @param {Map<string, number>} counts number of tasks by state
 * @param {Map<string, Task>} tasks
 * @param {number} now on AWS's clock
 * @returns {Progress}
 */
export function progressOf(counts, tasks, now) {
  let total = 0;
  let settled = 0;
  for (const [state, count] of counts) {
    total += count;
    settled += stateInfo(state).settled ? count : 0;
  }
  const remaining = total - settled;
  return {
    total,
    settled,
    succeeded: counts.get("TASK_STATE_SUCCEEDED") ?? 0,
    remaining,
    estimate: estimate(tasks, remaining, now),
  };
}

/**
 * Return the throughput of the latest period with enough tasks; null if too few tasks have ended.
 *
 * The period begins no earlier than the first task started. Tasks that were cancelled before they ran have no end time
 * or no start time, and do not count.
 *
 * @param {Map<string, Task>} tasks
 * @param {number} remaining
 * @param {number} now
 * @returns {Estimate | null}
 */
function estimate(tasks, remaining, now) {
  let firstStart = Infinity;
  /** Ended tasks by the shortest window that they are in; the last one has all others. */
  const ended = new Array(WINDOWS.length + 1).fill(0);
  for (const task of tasks.values()) {
    if (task.startTime < firstStart) {
      firstStart = task.startTime;
    }
    if (ENDED.has(task.state) && task.endTime >= task.startTime) {
      const age = now - task.endTime;
      const window = WINDOWS.findIndex((length) => age <= length);
      ended[window < 0 ? WINDOWS.length : window] += 1;
    }
  }
  const sinceStart = now - firstStart;
  let count = 0;
  for (const [index, length] of [...WINDOWS, Infinity].entries()) {
    count += ended[index];
    const period = Math.min(length, sinceStart);
    if (period >= sinceStart || count >= ENOUGH_TASKS) {
      return count >= MIN_TASKS && period > 0 ? toEstimate(count, period, remaining) : null;
    }
  }
  return null;
}

/**
 * @param {number} tasks
 * @param {number} period
 * @param {number} remaining
 * @returns {Estimate}
 */
function toEstimate(tasks, period, remaining) {
  const timeLeft = remaining > 0 ? (remaining * period) / tasks : NaN;
  return { tasks, period, perMinute: (tasks * 60_000) / period, timeLeft };
}
