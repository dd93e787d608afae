/**
 * The attempts of a task. Deadline Cloud runs a task again as another session action; HealthOmics
 * represents each retry as another task of the run with the same name.
 */

import { unary } from "./connect.js";
import { milliseconds } from "./format.js";
import { parentOf, parseName } from "./names.js";

/** @typedef {import("./task_watch.js").Task} Task */

/**
 * An attempt: `name` is the task that represents it, empty if it has none of its own; `isCurrent` is
 * whether that is the given one.
 *
 * @typedef {{number: number, nativeState: string, startTime?: string | undefined,
 *   endTime?: string | undefined, name: string, isCurrent: boolean, detail: string}} Attempt
 */

/** More attempts than that are not listed. */
const MAX_ATTEMPTS = 100;

/**
 * By AWS service: reads the attempts of a task, the first one first.
 *
 * @type {Record<string, (task: Task, grpcService: string, signal: AbortSignal) => Promise<Attempt[]>>}
 */
const READERS = {
  deadline: async (task, grpcService, signal) => {
    const [farmId, queueId, jobId, , taskId] = parseName(task.name)?.ids ?? [];
    const request = { farmId, queueId, jobId, taskId, maxResults: MAX_ATTEMPTS };
    const response = await unary(`${grpcService}/ListSessionActions`, request, { signal });
    /** @type {Record<string, any>[]} */
    const actions = response.sessionActions ?? [];
    return actions
      .filter((each) => each["startedAt"])
      .sort((a, b) => byTime(a["startedAt"], b["startedAt"]))
      .map((each, index) => ({
        number: index + 1,
        nativeState: String(each["status"] ?? "").replace("SESSION_ACTION_STATUS_", ""),
        startTime: each["startedAt"],
        endTime: each["endedAt"],
        name: "",
        isCurrent: false,
        detail: each["progressPercent"] === undefined ? "" : `${Math.round(each["progressPercent"])} %`,
      }));
  },
  omics: async (task, _grpcService, signal) => {
    if (!task.displayName) return [];
    const filter = `display_name = ${JSON.stringify(task.displayName)}`;
    const request = { parent: parentOf(task.name), filter, pageSize: MAX_ATTEMPTS };
    const response = await unary("taskgate.v1.TaskService/ListTasks", request, { signal });
    /** @type {Task[]} */
    const tasks = response.tasks ?? [];
    return tasks
      .sort((a, b) => byTime(a.createTime, b.createTime))
      .map((each, index) => ({
        number: index + 1,
        nativeState: each.nativeState,
        startTime: each.startTime,
        endTime: each.endTime,
        name: each.name,
        isCurrent: each.name === task.name,
        detail: each.resources?.instanceType ?? "",
      }));
  },
};

/**
 * Return the attempts of a task, the first one first. Empty if there is no record of them.
 *
 * @param {Task} task
 * @param {string} grpcService of the AWS service
 * @param {AbortSignal} signal
 * @returns {Promise<Attempt[]>}
 */
export async function readAttempts(task, grpcService, signal) {
  const read = READERS[task.name.split("/")[0] ?? ""];
  return read ? read(task, grpcService, signal) : [];
}

/**
 * @param {string | undefined} a
 * @param {string | undefined} b
 * @returns {number}
 */
function byTime(a, b) {
  return (milliseconds(a) ?? 0) - (milliseconds(b) ?? 0);
}
