/** The numbers of a parent in sentences. It has no DOM. */

import * as format from "./quantities.js";
import { STATES } from "./states.js";

/** @typedef {import("./progress.js").Progress} Progress */

/**
 * Return throughput and time left, with what they are based on.
 *
 * @param {Progress} progress
 * @param {{ended?: boolean} | undefined} parentStatus a ParentStatus
 * @returns {string}
 */
export function estimateText({ total, remaining, estimate }, parentStatus) {
  if (total === 0) {
    return "";
  }
  if (remaining === 0) {
    const more = parentStatus?.ended ? "" : " More may be added until it has ended.";
    return `No task remains.${more}`;
  }
  const left = `${format.counted(remaining, "task")} ${remaining === 1 ? "remains" : "remain"}`;
  if (parentStatus?.ended) {
    return `${left}, but none of them runs until someone acts.`;
  }
  if (estimate === null) {
    return `${left}. Too few tasks have ended for an estimate.`;
  }
  const rate = rateText(estimate.perMinute);
  const basis = `${format.counted(estimate.tasks, "task")} ended in the last ${format.duration(estimate.period)}`;
  return `About ${format.duration(rounded(estimate.timeLeft))} left at ${rate}: ${basis}, ${left}.`;
}

/**
 * Return a time without digits that an estimate cannot have.
 *
 * @param {number} milliseconds
 */
function rounded(milliseconds) {
  const minutes = milliseconds / 60_000;
  const unit = minutes > 60 ? 300_000 : minutes > 10 ? 60_000 : minutes > 1 ? 10_000 : 1_000;
  return Math.ceil(milliseconds / unit) * unit;
}

/** @param {number} perMinute */
function rateText(perMinute) {
  if (perMinute >= 120) {
    return `${format.roughly(perMinute / 60)} tasks/s`;
  }
  return perMinute >= 1 ? `${format.roughly(perMinute)} tasks/min` : `${format.roughly(perMinute * 60)} tasks/h`;
}

/**
 * Return the numbers by state for screen readers.
 *
 * @param {Map<string, number>} counts
 * @returns {string}
 */
export function countsText(counts) {
  return STATES.filter(({ state }) => counts.has(state))
    .map(({ state, label }) => `${format.number(counts.get(state) ?? 0)} ${label.toLowerCase()}`)
    .join(", ");
}

/**
 * Return how old the page is.
 *
 * @param {number} age in milliseconds
 * @returns {string}
 */
export function ageText(age) {
  return Number.isNaN(age) ? "" : `as of ${format.duration(age)} ago`;
}
