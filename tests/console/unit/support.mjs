/** Tasks, clocks and servers for the tests of the console's modules. */

export const JOB = "deadline/farms/f/queues/q/jobs/j";

/** A task in proto3 JSON. */
export function task(id, state = "RUNNING", fields = {}) {
  return { name: `${JOB}/steps/s1/tasks/${id}`, state: `TASK_STATE_${state}`, ...fields };
}

/** A change of a task in proto3 JSON. */
export function change(kind, changed, resumeToken) {
  return { taskChange: { kind: `TASK_CHANGE_KIND_${kind}`, task: changed }, resumeToken };
}

/** Callbacks that a test calls when it wants to. */
export class ManualFrames {
  waiting = [];
  schedule = (callback) => this.waiting.push(callback);

  run() {
    const callbacks = this.waiting;
    this.waiting = [];
    for (const callback of callbacks) callback();
    return callbacks.length;
  }
}

/** A clock that only `sleep` and the test advance. */
export class ManualTiming {
  time = 1_000_000;
  delays = [];
  turns = 0;
  random = () => 0.5;
  now = () => this.time;
  monotonic = () => this.time;

  sleep = async (milliseconds, signal) => {
    if (milliseconds >= 15_000) {
      // The limit of silence: a test with a live stream does not reach it.
      await new Promise((resolve) => signal.addEventListener("abort", resolve));
      return;
    }
    this.delays.push(milliseconds);
    this.time += milliseconds;
  };

  nextTurn = async () => {
    this.turns += 1;
  };
}

/** A server whose calls are scripted: each is a list of messages; an Error ends the call with it. */
export function scriptedStream(calls) {
  const requests = [];
  const stream = async function* (method, request, { signal }) {
    requests.push(request);
    const messages = calls[requests.length - 1];
    if (messages === undefined) {
      throw Object.assign(new Error("no more calls"), { code: "permission_denied" });
    }
    for (const message of messages) {
      if (signal.aborted) return;
      if (message instanceof Error) throw message;
      if (typeof message === "function") await message();
      else yield message;
    }
  };
  return { stream, requests };
}
