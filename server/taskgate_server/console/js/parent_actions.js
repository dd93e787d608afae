/**
 * A parent as a whole as the subject of an action, by AWS's own operations: one call for all tasks.
 * The table below describes them; nothing else knows them apart.
 */

import { ACTIONS } from "./actions.js";
import { curl, taskgate } from "./commands.js";
import { unary } from "./connect.js";
import { h } from "./dom.js";
import { parseName } from "./names.js";
import { number } from "./quantities.js";
import { STATES, stateLabel } from "./states.js";

/** @typedef {import("./actions.js").Action} Action */
/** @typedef {import("./actions.js").Subject} Subject */

/**
 * How to change a parent: `params` returns the parameters of the operation for the ids in its name.
 * `command` is whether the `taskgate` command can do the same, task by task.
 *
 * @typedef {{
 *   operation: string, command: boolean,
 *   params: (ids: string[], verb: Action["verb"], requestId?: string) => object,
 *   effects: Partial<Record<Action["verb"], string>>,
 * }} ParentKind
 */

/** The names of AWS Deadline Cloud for what the actions do. */
const TARGETS = { cancel: "CANCELED", retry: "PENDING", suspend: "SUSPENDED" };

/** https://docs.aws.amazon.com/deadline-cloud/latest/developerguide/build-jobs-modifying.html */
const DEADLINE_EFFECTS = {
  cancel: "Ends all tasks that have not succeeded or failed. They can be retried later.",
  retry:
    "Queues all tasks again, also those that have succeeded. Running attempts are interrupted. " +
    "To retry some tasks only, filter by their states first.",
  suspend: "Holds back all tasks that have not ended, until someone retries them.",
};

/** @type {Record<string, ParentKind>} */
const KINDS = {
  job: {
    operation: "UpdateJob",
    command: true,
    params: ([farmId, queueId, jobId], verb, clientToken) => ({
      ...{ farmId, queueId, jobId, clientToken },
      targetTaskRunStatus: `JOB_TARGET_TASK_RUN_STATUS_${TARGETS[verb]}`,
    }),
    effects: DEADLINE_EFFECTS,
  },
  step: {
    operation: "UpdateStep",
    command: true,
    params: ([farmId, queueId, jobId, stepId], verb, clientToken) => ({
      ...{ farmId, queueId, jobId, stepId, clientToken },
      targetTaskRunStatus: `STEP_TARGET_TASK_RUN_STATUS_${TARGETS[verb]}`,
    }),
    effects: DEADLINE_EFFECTS,
  },
  run: {
    operation: "CancelRun",
    command: false,
    params: ([id]) => ({ id }),
    effects: { cancel: "Ends the run and all of its tasks that have not ended. A run cannot be retried." },
  },
};

/**
 * Return the actions on a parent as a whole.
 *
 * @param {string} name of the parent
 */
export function parentActions(name) {
  const effects = KINDS[parseName(name)?.kind ?? ""]?.effects ?? {};
  return ACTIONS.filter(({ verb }) => verb in effects);
}

/**
 * Return a parent as the subject of an action; null if there is no action for it.
 *
 * @param {string} name of the parent
 * @param {string} grpcService with AWS's operations
 * @returns {Subject | null}
 */
export function parentSubject(name, grpcService) {
  const { kind = "", ids = [] } = parseName(name) ?? {};
  const found = KINDS[kind];
  if (!found) return null;
  const { operation, params, effects, command } = found;
  const method = `${grpcService}/${operation}`;
  return {
    what: `the whole ${kind}`,
    takesReason: false,
    effect: ({ verb }) => effects[verb] ?? "",
    preview: (signal) => preview(name, signal),
    commands: ({ verb }) => [
      ...(command ? [{ title: "Command, task by task", text: taskgate(verb, "--parent", name) }] : []),
      { title: "RPC", text: curl(method, params(ids, verb)) },
    ],
    perform: async ({ verb, done }, { requestId }) => {
      await unary(method, params(ids, verb, requestId));
      return { summary: `The ${kind} is ${done}`, failures: [] };
    },
  };
}

/**
 * Return how many tasks are in which state.
 *
 * @param {string} parent
 * @param {AbortSignal} signal
 */
async function preview(parent, signal) {
  const response = await unary("taskgate.v1.TaskService/SummarizeTasks", { parent, maxAge: "5s" }, { signal });
  /** @type {{state: string, count: number}[]} */
  const states = response.counts?.states ?? [];
  const rank = new Map(STATES.map(({ state }, index) => [state, index]));
  const rankOf = (/** @type {{state: string}} */ each) => rank.get(each.state) ?? STATES.length;
  if (states.length === 0) return [h("p", { class: "small quiet" }, "There are no tasks yet.")];
  return [
    h(
      "ul",
      { class: "preview-list", tabindex: "0", "aria-label": "Tasks by state" },
      [...states]
        .sort((one, other) => rankOf(one) - rankOf(other))
        .map(({ state, count }) => h("li", null, stateLabel(state), h("span", { class: "numeric" }, number(count)))),
    ),
  ];
}
