/** Follows WatchTasks into a store, over as many calls as it takes. */

import { stream as connectStream } from "./connect.js";
import { Reconnects, SERVER_STOPPING } from "./reconnects.js";
import { HEARTBEAT_SECONDS, SilenceTimer, StreamBroken } from "./silence.js";
import { toMilliseconds, toTime } from "./task_record.js";
import { wait } from "./wait.js";

/** @typedef {import("./store.js").TaskStore} TaskStore */
/** @typedef {import("./freshness.js").Freshness} Freshness */

/**
 * @typedef {object} WatchStatus
 * @property {"connecting" | "live" | "reconnecting" | "ended" | "paused"} state paused by the page
 * @property {number} since milliseconds since 1970
 * @property {any} [error] why the last call failed
 * @property {number} [retryAt] when the next call starts
 * @property {string} [reason] a value of WatchEndReason, if the server has ended the watch
 */

/**
 * @typedef {object} Timing
 * @property {() => number} now milliseconds since 1970
 * @property {() => number} monotonic milliseconds on a monotonic clock
 * @property {(milliseconds: number, signal: AbortSignal) => Promise<void>} sleep ends early when aborted
 * @property {() => number} random
 * @property {() => Promise<void>} nextTurn lets frames and input be handled
 */

const METHOD = "taskgate.v1.TaskService/WatchTasks";
/** Work without a pause: a frame lasts 16 ms, and drawing needs most of it. */
const SLICE_MS = 5;

/** @type {Timing} */
const REAL_TIMING = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
  random: () => Math.random(),
  sleep: wait,
  nextTurn: () =>
    new Promise((resolve) => {
      // Browsers slow down the timers of hidden pages to one per second, which would fall behind the stream.
      if (typeof document !== "undefined" && document.hidden) {
        const channel = new MessageChannel();
        channel.port1.onmessage = () => {
          channel.port1.close();
          resolve();
        };
        channel.port2.postMessage(null);
      } else {
        setTimeout(resolve, 0);
      }
    }),
};

/** The state of a watch over several calls. It does no input or output. */
export class WatchSession {
  /** A value of WatchEndReason, once the server has ended the watch. */
  endReason = "";
  #parent;
  #store;
  #freshness;
  #token = "";
  #inSnapshot = false;

  /**
   * @param {string} parent
   * @param {TaskStore} store
   * @param {Freshness} freshness
   */
  constructor(parent, store, freshness) {
    this.#parent = parent;
    this.#store = store;
    this.#freshness = freshness;
  }

  /** Return the request for the next call. */
  request() {
    this.#inSnapshot = false;
    this.endReason = "";
    /** @type {Record<string, unknown>} */
    const request = { parent: this.#parent, heartbeatInterval: `${HEARTBEAT_SECONDS}s` };
    if (this.#token) {
      request.resumeToken = this.#token;
    }
    return request;
  }

  /**
   * Apply a WatchTasksResponse. A resume token within a snapshot is valid only for a client that has all of the
   * snapshot so far, so the token from before stays until the snapshot is complete.
   *
   * @param {any} response
   * @throws {StreamBroken} the server is shutting down; call again
   */
  take(response) {
    if (response.taskChange) {
      this.#store.apply(response.taskChange);
      this.#freshness.observe(toTime(response.taskChange.task?.observeTime));
    } else if (response.snapshotTasks) {
      this.#store.addSnapshotTasks(response.snapshotTasks.tasks ?? []);
    } else if (response.snapshotBegin) {
      this.#inSnapshot = true;
      this.#store.beginSnapshot();
    } else if (response.snapshotEnd) {
      this.#inSnapshot = false;
      this.#store.endSnapshot(response.snapshotEnd.observeTime ?? "");
      this.#freshness.observe(toTime(response.snapshotEnd.observeTime));
    } else if (response.heartbeat && !this.#inSnapshot) {
      // Within a snapshot, the staleness is the time since loading started.
      const { staleness, upstreamError } = response.heartbeat;
      this.#freshness.heartbeat(toMilliseconds(staleness), upstreamError);
    } else if (response.watchEnd) {
      this.#end(response.watchEnd);
    }
    if (response.resumeToken && !this.#inSnapshot) {
      this.#token = response.resumeToken;
    }
  }

  /** @param {any} end */
  #end(end) {
    if (end.reason === "WATCH_END_REASON_SERVER_STOPPING") {
      throw new StreamBroken("The server is shutting down.", SERVER_STOPPING);
    }
    this.endReason = end.reason ?? "WATCH_END_REASON_UNSPECIFIED";
    if (end.reason === "WATCH_END_REASON_GONE") {
      this.#store.clear();
    }
  }
}

/**
 * Follow the tasks of a parent until the signal is aborted, the server ends the watch, or an error is final.
 *
 * @param {string} parent
 * @param {TaskStore} store
 * @param {object} options
 * @param {AbortSignal} options.signal
 * @param {(status: WatchStatus) => void} options.onStatus
 * @param {Freshness} options.freshness
 * @param {string} [options.target]
 * @param {(wake: () => void) => void} [options.onWaiting] receives a function that ends the current delay
 * @param {Timing} [options.timing]
 * @param {typeof connectStream} [options.stream]
 * @param {WatchSession} [options.session] of an earlier watch, to resume it
 * @returns {Promise<void>}
 */
export async function watch(parent, store, options) {
  const { signal, onStatus, onWaiting, timing = REAL_TIMING } = options;
  const session = options.session ?? new WatchSession(parent, store, options.freshness);
  const reconnects = new Reconnects(timing.random);
  let since = timing.now();
  onStatus({ state: "connecting", since });
  while (!signal.aborted) {
    const error = await follow(session, { ...options, timing }, () => {
      if (since !== 0) {
        reconnects.reached();
        since = 0;
        onStatus({ state: "live", since: timing.now() });
      }
    });
    if (signal.aborted) {
      return;
    }
    if (error === null) {
      onStatus({ state: "ended", since: timing.now(), reason: session.endReason });
      return;
    }
    const delay = reconnects.delayAfter(error, timing.monotonic());
    if (delay === null) {
      onStatus({ state: "ended", since: timing.now(), error });
      return;
    }
    since ||= timing.now();
    onStatus({ state: "reconnecting", since, error, retryAt: timing.now() + delay });
    const waiting = new AbortController();
    onWaiting?.(() => waiting.abort());
    await timing.sleep(delay, AbortSignal.any([signal, waiting.signal]));
  }
}

/**
 * Make one call. Returns null if the server has ended the watch, otherwise why the call ended.
 *
 * @param {WatchSession} session
 * @param {{signal: AbortSignal, target?: string, timing: Timing, stream?: typeof connectStream}} options
 * @param {() => void} onMessage
 * @returns {Promise<any>}
 */
async function follow(session, { signal, target, timing, stream = connectStream }, onMessage) {
  const call = new AbortController();
  const silence = new SilenceTimer(timing, call);
  let sliceStart = timing.monotonic();
  try {
    const options = { signal: AbortSignal.any([signal, call.signal]), target };
    for await (const response of stream(METHOD, session.request(), options)) {
      silence.reset();
      session.take(response);
      onMessage();
      if (session.endReason) {
        return null;
      }
      if (timing.monotonic() - sliceStart > SLICE_MS) {
        await timing.nextTurn();
        sliceStart = timing.monotonic();
      }
    }
    return silence.error ?? new StreamBroken("The stream ended before the watch did.");
  } catch (error) {
    return silence.error ?? error;
  } finally {
    silence.stop();
    call.abort();
  }
}
