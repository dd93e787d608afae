/**
 * Cancel, retry and suspend, for one task or many: with a preview of what is affected, a
 * confirmation, and the result of each task.
 */

import { announce } from "./announce.js";
import { commandList, curl, taskgate } from "./commands.js";
import { statusError, unary } from "./connect.js";
import { showDialog } from "./dialogs.js";
import { fill, h } from "./dom.js";
import { describeError, errorNotice } from "./errors.js";
import { parseName, pathOf, shortId } from "./names.js";
import { stateInfo, stateLabel } from "./states.js";

const SERVICE = "taskgate.v1.TaskService";

/**
 * @typedef {{verb: string, label: string, method: string, action: string, effect: string,
 *   style: string, done: string}} Action
 */

/** @type {readonly Action[]} */
export const ACTIONS = [
  {
    verb: "retry",
    label: "Retry",
    method: "RetryTask",
    action: "TASK_ACTION_RETRY",
    effect: "Queues the task again, whatever its state. A running attempt is interrupted.",
    style: "primary",
    done: "queued again",
  },
  {
    verb: "suspend",
    label: "Suspend",
    method: "SuspendTask",
    action: "TASK_ACTION_SUSPEND",
    effect: "Holds the task back until someone retries it.",
    style: "primary",
    done: "suspended",
  },
  {
    verb: "cancel",
    label: "Cancel",
    method: "CancelTask",
    action: "TASK_ACTION_CANCEL",
    effect: "Ends the task without a result. It can be retried later.",
    style: "danger",
    done: "cancelled",
  },
];

/** Updates of one call of BatchUpdateTasks. */
const MAX_UPDATES = 1000;
/** Tasks whose names and states the preview shows. */
const MAX_PREVIEWED = 100;

/** @typedef {{name: string, error?: {code?: number, message?: string, details?: unknown}}} Result */

/**
 * Return buttons for the actions.
 *
 * @param {string[] | (() => string[])} names of the tasks, when a button is pressed
 * @param {{onDone?: (results: Result[]) => void, methods?: string[]}} [options] `onDone` gets the
 *   results; `methods` are those of TaskService that the AWS service supports, undefined for all
 * @returns {HTMLElement}
 */
export function actionBar(names, { onDone, methods } = {}) {
  const offered = ACTIONS.filter(({ method }) => !methods || methods.includes(method));
  return h(
    "div",
    { class: "row actions", role: "group", "aria-label": "Actions" },
    offered.map((action) =>
      h(
        "button",
        {
          type: "button",
          onclick: () => {
            const some = [...new Set(typeof names === "function" ? names() : names)];
            if (some.length > 0) confirmAction(action, some, onDone);
            else announce("Select tasks first");
          },
        },
        action.label,
      ),
    ),
  );
}

/**
 * Show the preview of an action, and perform it when the user confirms.
 *
 * @param {Action} action
 * @param {string[]} names
 * @param {((results: Result[]) => void) | undefined} onDone
 */
function confirmAction(action, names, onDone) {
  const controller = new AbortController();
  const what = names.length === 1 ? "1 task" : `${names.length.toLocaleString()} tasks`;
  const requestId = randomId();
  const reason = h("input", { type: "text", maxlength: "1000", autocomplete: "off" });
  const preview = h("div", { class: "preview" }, h("p", { class: "loading" }, "Reading the tasks"));
  const outcome = h("div", { class: "stack", role: "status" });
  const confirm = h("button", { type: "submit", class: action.style }, `${action.label} ${what}`);
  const cancel = h("button", { type: "button" }, "Back");
  let isRunning = false;

  const dialog = showDialog(
    `${action.label} ${what}?`,
    () => [
      h("p", { class: "small" }, names.length === 1 ? action.effect : `For each task: ${action.effect}`),
      preview,
      h(
        "label",
        { class: "field" },
        h("span", null, "Reason ", h("span", { class: "quiet" }, "(optional, for the server's log)")),
        reason,
      ),
      equivalents(action, names),
      outcome,
      h("div", { class: "row end" }, cancel, confirm),
    ],
    run,
  );
  cancel.addEventListener("click", () => dialog.close());
  dialog.addEventListener("close", () => controller.abort());
  showPreview(preview, names, controller.signal);

  async function run() {
    if (isRunning) return;
    isRunning = true;
    confirm.setAttribute("aria-disabled", "true");
    fill(outcome, h("p", { class: "loading" }, `${action.label} ${what}`));
    try {
      const results = await perform(action, names, { reason: reason.value.trim(), requestId });
      onDone?.(results);
      const failed = results.filter((each) => each.error);
      const succeeded = results.length - failed.length;
      announce(`${succeeded} ${action.done}${failed.length ? `, ${failed.length} failed` : ""}`);
      if (failed.length === 0) return void dialog.close();
      fill(outcome, resultNotices(action, succeeded, failed));
      confirm.hidden = true;
      cancel.textContent = "Close";
    } catch (error) {
      fill(outcome, errorNotice(error, { title: `${action.label} failed` }));
      confirm.removeAttribute("aria-disabled");
    } finally {
      isRunning = false;
    }
  }
}

/**
 * Perform an action on tasks. A repeated call with the same `requestId` has no further effect.
 *
 * @param {Action} action
 * @param {string[]} names
 * @param {{reason: string, requestId: string}} options
 * @returns {Promise<Result[]>}
 */
async function perform(action, names, { reason, requestId }) {
  const [name = ""] = names;
  if (names.length === 1) {
    await unary(`${SERVICE}/${action.method}`, { name, requestId, reason });
    return [{ name }];
  }
  /** @type {Result[]} */
  const results = [];
  for (let start = 0; start < names.length; start += MAX_UPDATES) {
    const some = names.slice(start, start + MAX_UPDATES);
    const response = await unary(`${SERVICE}/BatchUpdateTasks`, {
      updates: some.map((each) => ({ name: each, action: action.action })),
      requestId: `${requestId}-${start / MAX_UPDATES}`,
      reason,
    });
    results.push(...response.results);
  }
  return results;
}

/**
 * Show which tasks are affected, and their states.
 *
 * @param {HTMLElement} root
 * @param {string[]} names
 * @param {AbortSignal} signal
 */
async function showPreview(root, names, signal) {
  const shown = names.slice(0, MAX_PREVIEWED);
  const rest = names.length - shown.length;
  try {
    const request = { names: shown, view: "TASK_VIEW_BASIC" };
    const { results } = await unary(`${SERVICE}/BatchGetTasks`, request, { signal });
    fill(
      root,
      h(
        "ul",
        { class: "preview-list", tabindex: "0", "aria-label": "Affected tasks" },
        results.map((/** @type {any} */ each) =>
          h(
            "li",
            null,
            each.task ? stateLabel(each.task.state) : h("span", { class: "quiet" }, "Unknown"),
            h("span", { class: "mono", title: each.name }, each.task?.displayName || shortName(each.name)),
          ),
        ),
      ),
      h("p", { class: "small quiet" }, countsOf(results), rest > 0 && `, and ${rest} more tasks`),
    );
  } catch (error) {
    if (!signal.aborted) fill(root, errorNotice(error, { title: "The tasks cannot be read" }));
  }
}

/** @param {{task?: {state: string}}[]} results */
function countsOf(results) {
  /** @type {Map<string, number>} */
  const counts = new Map();
  for (const { task } of results) {
    const { label } = stateInfo(task?.state);
    counts.set(label, (counts.get(label) ?? 0) + 1);
  }
  return [...counts].map(([label, count]) => `${count} ${label.toLowerCase()}`).join(", ");
}

/**
 * Return the commands that do the same.
 *
 * @param {Action} action
 * @param {string[]} names
 */
function equivalents(action, names) {
  const [name = ""] = names;
  const commands =
    names.length === 1
      ? [
          { title: "Command", text: taskgate(action.verb, name) },
          { title: "RPC", text: curl(`${SERVICE}/${action.method}`, { name }) },
        ]
      : [
          { title: "Command", text: taskgate(action.verb, ...names) },
          {
            title: "RPC",
            text: curl(`${SERVICE}/BatchUpdateTasks`, {
              updates: names.map((each) => ({ name: each, action: action.action })),
            }),
          },
        ];
  return h("details", null, h("summary", { class: "small" }, "The same as a command"), commandList(commands));
}

/**
 * Return what failed, each error with its tasks.
 *
 * @param {Action} action
 * @param {number} succeeded
 * @param {Result[]} failed
 */
function resultNotices(action, succeeded, failed) {
  /** @type {Map<string, Result[]>} */
  const byMessage = new Map();
  for (const each of failed) {
    const message = each.error?.message ?? "";
    byMessage.set(message, [...(byMessage.get(message) ?? []), each]);
  }
  return [
    h("p", { class: "small" }, `${succeeded} ${action.done}, ${failed.length} failed:`),
    ...[...byMessage.values()].slice(0, 10).map((some) => {
      const names = some.slice(0, 5).map((each) => shortName(each.name));
      const rest = some.length - names.length;
      const error = statusError(some[0]?.error ?? {});
      const title = `${describeError(error).title}: ${names.join(", ")}${rest > 0 ? ` and ${rest} more` : ""}`;
      return errorNotice(error, { title });
    }),
  ];
}

/** @param {string} name */
function shortName(name) {
  const parsed = parseName(name);
  return parsed ? shortId(pathOf(name).at(-1)?.id ?? name) : name;
}

/** Return a new idempotency key. (`crypto.randomUUID` exists only on pages with TLS.) */
function randomId() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (each) => each.toString(16).padStart(2, "0")).join("");
}
