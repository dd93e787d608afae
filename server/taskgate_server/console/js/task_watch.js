/**
 * The live state of one task.
 */

import { stream, unary } from "./connect.js";
import { reconnecting } from "./reconnect.js";
import { HEARTBEAT_SECONDS } from "./silence.js";

const SERVICE = "taskgate.v1.TaskService";

/**
 * A task in proto3 JSON. Members are absent if AWS does not report them.
 *
 * @typedef {{
 *   name: string, state: string, nativeState: string, displayName?: string, createTime?: string,
 *   startTime?: string, endTime?: string, updateTime?: string,
 *   parameters?: Record<string, Record<string, string>>,
 *   resources?: {cpus?: number, memoryGib?: number, gpus?: number, instanceType?: string},
 *   retryCount?: number, targetState?: string, statusMessage?: string, failureReason?: string,
 *   observeTime?: string, deadline?: Record<string, any>, omics?: Record<string, any>,
 *   other?: Record<string, any>,
 * }} Task
 */

/**
 * Report a task and each of its changes.
 *
 * @param {string} name
 * @param {{
 *   signal: AbortSignal,
 *   onTask: (task: Task) => void,
 *   onGone: () => void,
 *   onStatus: (status: import("./reconnect.js").StreamStatus) => void,
 *   onChecked: (secondsAgo: number) => void,
 * }} options `onGone` reports that AWS no longer has the task; `onChecked`, when AWS was last polled
 * @returns {Promise<void>} settles when the signal is aborted or the task is gone
 * @throws an error that does not pass by itself
 */
export async function watchTask(name, { signal, onTask, onGone, onStatus, onChecked }) {
  // Faster than the first poll of a watch, and it says why there is no such task.
  onTask((await unary(`${SERVICE}/GetTask`, { name }, { signal })).task);
  let resumeToken = "";
  let isGone = false;
  const open = (/** @type {AbortSignal} */ connection) => {
    if (isGone) return null;
    const request = {
      names: [name],
      view: "TASK_VIEW_FULL",
      heartbeatInterval: `${HEARTBEAT_SECONDS}s`,
      ...(resumeToken && { resumeToken }),
    };
    return stream(`${SERVICE}/WatchTasks`, request, { signal: connection });
  };
  for await (const event of reconnecting(open, { signal, onStatus })) {
    if (event.resumeToken) resumeToken = event.resumeToken;
    const { snapshotTasks, taskChange, heartbeat, watchEnd } = event;
    for (const task of snapshotTasks?.tasks ?? []) onTask(task);
    if (taskChange?.kind === "TASK_CHANGE_KIND_REMOVED") isGone = true;
    else if (taskChange) onTask(taskChange.task);
    if (watchEnd?.reason === "WATCH_END_REASON_GONE") isGone = true;
    onChecked(heartbeat ? Number.parseFloat(heartbeat.staleness ?? "0") : 0);
    if (isGone) onGone();
  }
}
