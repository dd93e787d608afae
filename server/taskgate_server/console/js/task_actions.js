/**
 * Tasks as the subject of an action, one or many.
 */

import { ACTIONS } from "./actions.js";
import { curl, taskgate } from "./commands.js";
import { statusError, unary } from "./connect.js";
import { h } from "./dom.js";
import { describeError, errorNotice } from "./errors.js";
import { pathOf, shortId } from "./names.js";
import { counted, number } from "./quantities.js";
import { stateLabel } from "./states.js";
import { countsText } from "./summary_text.js";

/** @typedef {import("./actions.js").Action} Action */
/** @typedef {import("./actions.js").Subject} Subject */
/** @typedef {import("./actions.js").ActionRequest} ActionRequest */
/** @typedef {import("./actions.js").Outcome} Outcome */
/** @typedef {import("./commands.js").Command} Command */
/** @typedef {{name: string, error?: {code?: number, message?: string, details?: unknown}}} Result */

const SERVICE = "taskgate.v1.TaskService";

/** Update of one call of BatchUpdateTasks. */
const MAX_UPDATES = 1000;
/** A call of AWS updates 100 tasks, and AWS limits the calls per second. */
const TIMEOUT_MS = 120_000;
/** Tasks whose names and states the preview shows. */
const MAX_PREVIEWED = 100;
/** Linux limits an argument of a command to 128 KiB. */
const MAX_IN_COMMAND = 400;
/** Errors, and tasks of each error, that are shown. */
const MAX_ERRORS = 10;
const MAX_NAMES_OF_ERROR = 5;

const METHODS = { cancel: "CancelTask", retry: "RetryTask", suspend: "SuspendTask" };

const EFFECTS = {
  cancel: "Ends the task without a result. It can be retried later.",
  retry: "Queues the task again, whatever its state. A running attempt is interrupted.",
  suspend: "Holds the task back until someone retries it.",
};

/**
 * Return the actions on single tasks that an AWS service supports.
 *
 * @param {string[]} methods of TaskService that it supports
 */
export function taskActions(methods) {
  return ACTIONS.filter(({ verb }) => methods.includes(METHODS[verb]));
}

/**
 * Return tasks as the subject of an action; null if there are none.
 *
 * @param {Iterable<string>} some names
 * @param {{parent: string, filter: string}} [match] what all of these tasks match, and no other task
 * @returns {Subject | null}
 */
export function tasksSubject(some, match) {
  const names = [...new Set(some)];
  if (names.length === 0) return null;
  const effect = (/** @type {Action} */ { verb }) => EFFECTS[verb];
  return {
    what: counted(names.length, "task"),
    takesReason: true,
    effect: (action) => (names.length === 1 ? effect(action) : `For each task: ${effect(action)}`),
    preview: (signal) => preview(names, signal),
    commands: (action) => commands(action, names, match),
    perform: (action, request) => perform(action, names, request),
  };
}

/**
 * @param {Action} action
 * @param {string[]} names
 * @param {ActionRequest} request
 * @returns {Promise<Outcome>}
 */
async function perform(action, names, { requestId, reason, onProgress }) {
  const [name = ""] = names;
  if (names.length === 1) {
    await unary(`${SERVICE}/${METHODS[action.verb]}`, { name, requestId, reason });
    return outcomeOf(action, [{ name }]);
  }
  /** @type {Result[]} */
  const results = [];
  for (let start = 0; start < names.length; start += MAX_UPDATES) {
    if (start > 0) onProgress(`${action.label}: ${number(start)} of ${counted(names.length, "task")}`);
    const response = await unary(
      `${SERVICE}/BatchUpdateTasks`,
      {
        updates: updates(action, names.slice(start, start + MAX_UPDATES)),
        requestId: `${requestId}-${start / MAX_UPDATES}`,
        reason,
      },
      { timeoutMs: TIMEOUT_MS },
    );
    results.push(...response.results);
  }
  return outcomeOf(action, results);
}

/**
 * @param {Action} action
 * @param {string[]} names
 */
function updates({ verb }, names) {
  return names.map((name) => ({ name, action: `TASK_ACTION_${verb.toUpperCase()}` }));
}

/**
 * Return which tasks are affected, with their states.
 *
 * @param {string[]} names
 * @param {AbortSignal} signal
 */
async function preview(names, signal) {
  const request = { names: names.slice(0, MAX_PREVIEWED), view: "TASK_VIEW_BASIC" };
  const response = await unary(`${SERVICE}/BatchGetTasks`, request, { signal });
  /** @type {{name: string, task?: {state: string, displayName?: string}}[]} */
  const results = response.results;
  /** @type {Map<string, number>} */
  const counts = new Map();
  for (const { task } of results) {
    const state = task?.state ?? "TASK_STATE_UNRECOGNIZED";
    counts.set(state, (counts.get(state) ?? 0) + 1);
  }
  const rest = names.length - results.length;
  return [
    h(
      "ul",
      { class: "preview-list", tabindex: "0", "aria-label": "Affected tasks" },
      results.map(({ name, task }) =>
        h(
          "li",
          null,
          task ? stateLabel(task.state) : h("span", { class: "quiet" }, "Unknown"),
          h("span", { class: "mono", title: name }, task?.displayName || shortName(name)),
        ),
      ),
    ),
    h("p", { class: "small quiet" }, countsText(counts), rest > 0 && `, and ${counted(rest, "more task")}`),
  ];
}

/**
 * @param {Action} action
 * @param {string[]} names
 * @param {{parent: string, filter: string} | undefined} match
 * @returns {Command[]}
 */
function commands(action, names, match) {
  const [name = ""] = names;
  const { verb } = action;
  if (names.length === 1 && !match) {
    return [
      { title: "Command", text: taskgate(verb, name) },
      { title: "RPC", text: curl(`${SERVICE}/${METHODS[verb]}`, { name }) },
    ];
  }
  const some = names.slice(0, MAX_IN_COMMAND);
  const limit = some.length < names.length ? `, for the first ${number(some.length)} tasks` : "";
  return [
    match
      ? {
          title: "Command, for the tasks that match when it runs",
          text: taskgate(verb, "--parent", match.parent, "--filter", match.filter),
        }
      : { title: `Command${limit}`, text: taskgate(verb, ...some) },
    { title: `RPC${limit}`, text: curl(`${SERVICE}/BatchUpdateTasks`, { updates: updates(action, some) }) },
  ];
}

/**
 * Return what was done, and each error with its tasks.
 *
 * @param {Action} action
 * @param {Result[]} results
 * @returns {Outcome}
 */
function outcomeOf(action, results) {
  const failed = results.filter((each) => each.error);
  const succeeded = results.length - failed.length;
  const rest = failed.length ? `, ${number(failed.length)} failed` : "";
  /** @type {Map<string, Result[]>} */
  const byMessage = new Map();
  for (const each of failed) {
    const message = each.error?.message ?? "";
    byMessage.set(message, [...(byMessage.get(message) ?? []), each]);
  }
  return {
    summary: `${counted(succeeded, "task")} ${action.done}${rest}`,
    failures: [...byMessage.values()].slice(0, MAX_ERRORS).map(failureNotice),
  };
}

/** @param {Result[]} failed with the same message */
function failureNotice(failed) {
  const names = failed.slice(0, MAX_NAMES_OF_ERROR).map((each) => shortName(each.name));
  const rest = failed.length - names.length;
  const error = statusError(failed[0]?.error ?? {});
  const title = `${describeError(error).title}: ${names.join(", ")}${rest > 0 ? ` and ${number(rest)} more` : ""}`;
  return errorNotice(error, { title });
}

/** @param {string} name */
function shortName(name) {
  return shortId(pathOf(name).at(-1)?.id ?? name);
}
