/** The filter expression of a parent page, in the grammar of docs/filters.md. The server evaluates it. */

import { unary as connectUnary } from "./connect.js";

const METHOD = "taskgate.v1.TaskService/ListTasks";
const PAGE_SIZE = 1000;
/** Tabs with the same filter share AWS's responses, within this age. */
const MAX_AGE = "10s";

/**
 * @typedef {object} Matches
 * @property {Set<string>} names
 * @property {string} incompleteReason
 */

/**
 * Return the names of the tasks that match. Page by page, because an expression may match only few of AWS's pages.
 *
 * @param {string} parent
 * @param {string} filter
 * @param {object} options
 * @param {AbortSignal} options.signal
 * @param {string} [options.target]
 * @param {(matches: Matches) => void} options.onPage
 * @param {typeof connectUnary} [options.unary]
 * @returns {Promise<Matches>}
 */
export async function matchTasks(parent, filter, { signal, target, onPage, unary = connectUnary }) {
  /** @type {Matches} */
  const matches = { names: new Set(), incompleteReason: "" };
  let pageToken = "";
  do {
    const request = { parent, filter, pageSize: PAGE_SIZE, maxAge: MAX_AGE, pageToken };
    const page = await unary(METHOD, request, { signal, target });
    for (const task of page.tasks ?? []) {
      matches.names.add(task.name);
    }
    matches.incompleteReason = page.incompleteReason ?? matches.incompleteReason;
    pageToken = page.nextPageToken ?? "";
    onPage(matches);
  } while (pageToken);
  return matches;
}

/**
 * Return the filter for the tasks in some states that match another filter.
 *
 * @param {Set<string>} states values of TaskState; empty for all
 * @param {string} filter empty for all
 */
export function filterWithStates(states, filter) {
  const ofStates = [...states].map((each) => `state = ${each.replace("TASK_STATE_", "")}`).join(" OR ");
  return filter && ofStates ? `(${filter}) AND (${ofStates})` : filter || ofStates;
}

/**
 * Return the fault of a filter that the server has rejected: its message and its column from 1; null if the error is
 * not about the filter.
 *
 * @param {any} error
 * @returns {{column: number, message: string} | null}
 */
export function filterFault(error) {
  if (String(error?.code).toLowerCase() !== "invalid_argument") {
    return null;
  }
  const details = /** @type {any[]} */ (error.details ?? []);
  const violations = details.flatMap((each) => each.fieldViolations ?? []);
  const text = violations.find((each) => each.field === "filter")?.description ?? error.message ?? "";
  const found = /column (\d+): ([^]*)/.exec(text);
  return found === null ? null : { column: Number(found[1]), message: found[2] ?? "" };
}

/**
 * Return the part of a filter from a column on, to select it; columns count characters, not UTF-16 units.
 *
 * @param {string} filter
 * @param {number} column from 1
 * @returns {{start: number, end: number}}
 */
export function faultRange(filter, column) {
  const before = [...filter].slice(0, column - 1).join("");
  const rest = filter.slice(before.length);
  const word = /^\s*\S+/.exec(rest)?.[0] ?? rest;
  return { start: before.length, end: before.length + word.length };
}
