/**
 * The lines of a task's log, over interruptions and attempts.
 */

import { stream } from "./connect.js";
import { reconnecting } from "./reconnect.js";
import { HEARTBEAT_SECONDS } from "./silence.js";

/** Lines that exist already and are read at first; more would make the page slow. */
export const TAIL = 2000;

/** @typedef {{time?: string, message?: string}} LogLine */
/** @typedef {{attempt?: number, attemptCount?: number, logGroup?: string, logStream?: string}} LogSource */

/**
 * Read and follow the log of a task.
 *
 * CloudWatch Logs has a resolution of one millisecond: after an interruption, the lines of the last
 * millisecond come again and are skipped.
 *
 * @param {string} name of the task
 * @param {number | undefined} attempt undefined for the latest and all later ones
 * @param {{
 *   signal: AbortSignal,
 *   onSource: (source: LogSource) => void,
 *   onLines: (lines: LogLine[]) => void,
 *   onStatus: (status: import("./reconnect.js").StreamStatus) => void,
 * }} options
 * @returns {Promise<void>} settles when the log is complete or the signal is aborted
 * @throws an error that does not pass by itself
 */
export async function followLog(name, attempt, { signal, onSource, onLines, onStatus }) {
  /** @type {LogSource | null} */
  let source = null;
  let lastTime = "";
  let countAtLastTime = 0;
  let skip = 0;
  /** Whether the next call resumes the attempt that was interrupted, and later ones may follow. */
  let isResuming = false;
  let isComplete = false;

  /** @param {AbortSignal} connection */
  async function* read(connection) {
    const resumed = isResuming ? source?.attempt || undefined : undefined;
    const since = lastTime ? { since: lastTime } : { tail: TAIL };
    const heartbeatInterval = `${HEARTBEAT_SECONDS}s`;
    const request = { name, follow: true, attempt: attempt ?? resumed, heartbeatInterval, ...since };
    skip = countAtLastTime;
    isResuming = true;
    yield* stream("taskgate.v1.TaskService/StreamTaskLogs", request, { signal: connection });
    isComplete = attempt !== undefined || resumed === undefined;
    isResuming = false;
  }

  const open = (/** @type {AbortSignal} */ connection) => (isComplete ? null : read(connection));
  for await (const part of reconnecting(open, { signal, onStatus })) {
    if (part.source) {
      if (part.source.attempt !== source?.attempt) skip = 0;
      source = part.source;
      onSource(part.source);
    }
    /** @type {LogLine[]} */
    const lines = (part.lines?.lines ?? []).filter((/** @type {LogLine} */ line) => {
      const at = line.time ?? "";
      if (at === lastTime && skip > 0) {
        skip -= 1;
        return false;
      }
      countAtLastTime = at === lastTime ? countAtLastTime + 1 : 1;
      lastTime = at;
      return true;
    });
    if (lines.length > 0) onLines(lines);
  }
}
