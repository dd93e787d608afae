/**
 * Streams that resume after interruptions, and pause while the page is hidden.
 *
 * A browser opens few connections to one server, all of its tabs together. A hidden tab therefore
 * closes its streams, and resumes them where they were when it is shown again.
 */

import { ApiError } from "./connect.js";
import { Reconnects } from "./reconnects.js";

/** @typedef {{state: "live" | "reconnecting" | "paused", error?: unknown}} StreamStatus */

/**
 * @typedef {{
 *   signal: AbortSignal,
 *   onStatus: (status: StreamStatus) => void,
 *   sleep?: (ms: number, signal: AbortSignal) => Promise<void>,
 *   random?: () => number,
 * }} ReconnectOptions
 */

/** A hidden page keeps its streams for this time: users often return soon. */
const HIDDEN_MS = 20_000;

/**
 * Yield the messages of a stream, which is opened again after an interruption.
 *
 * @template T
 * @param {(signal: AbortSignal) => AsyncGenerator<T, void, void> | null} open opens the stream where
 *   it was interrupted; returns null when there is nothing more to read
 * @param {ReconnectOptions} options
 * @returns {AsyncGenerator<T, void, void>} ends after a call of `open` that returns null
 * @throws an error that does not pass by itself
 */
export async function* reconnecting(
  open,
  { signal, onStatus, sleep = wait, random = Math.random },
) {
  const reconnects = new Reconnects(random);
  for (;;) {
    if (document.hidden) onStatus({ state: "paused" });
    await shown(signal);
    if (signal.aborted) return;
    const connection = connectionWhileShown(signal);
    try {
      const messages = open(connection.signal);
      if (!messages) return;
      for await (const message of messages) {
        reconnects.reached();
        onStatus({ state: "live" });
        yield message;
      }
    } catch (error) {
      if (signal.aborted) return;
      if (connection.signal.aborted) continue; // hidden
      if (!(error instanceof ApiError)) throw error; // a bug
      const delay = reconnects.delayAfter(error, performance.now());
      if (delay === null) throw error;
      onStatus({ state: "reconnecting", error });
      await sleep(delay, signal);
    } finally {
      connection.end();
    }
  }
}

/**
 * Return a signal that is aborted with another one, and when the page has been hidden for a while.
 *
 * @param {AbortSignal} signal
 */
function connectionWhileShown(signal) {
  const controller = new AbortController();
  let timer = 0;
  const abort = () => controller.abort();
  const watchVisibility = () => {
    clearTimeout(timer);
    if (document.hidden) timer = window.setTimeout(abort, HIDDEN_MS);
  };
  signal.addEventListener("abort", abort);
  document.addEventListener("visibilitychange", watchVisibility);
  return {
    signal: controller.signal,
    end: () => {
      clearTimeout(timer);
      signal.removeEventListener("abort", abort);
      document.removeEventListener("visibilitychange", watchVisibility);
      controller.abort();
    },
  };
}

/**
 * Wait until the page is shown, or the signal is aborted.
 *
 * @param {AbortSignal} signal
 * @returns {Promise<void>}
 */
function shown(signal) {
  return new Promise((resolve) => {
    const check = () => {
      if (document.hidden && !signal.aborted) return;
      document.removeEventListener("visibilitychange", check);
      signal.removeEventListener("abort", check);
      resolve();
    };
    document.addEventListener("visibilitychange", check);
    signal.addEventListener("abort", check);
    check();
  });
}

/**
 * Wait for a time, or until the signal is aborted.
 *
 * @param {number} ms
 * @param {AbortSignal} signal
 * @returns {Promise<void>}
 */
export function wait(ms, signal) {
  return new Promise((resolve) => {
    const end = () => {
      clearTimeout(timer);
      signal.removeEventListener("abort", end);
      resolve();
    };
    const timer = setTimeout(end, ms);
    signal.addEventListener("abort", end);
    if (signal.aborted) end();
  });
}
