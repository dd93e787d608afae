/**
 * Streams that resume after interruptions, and pause while the page is hidden.
 *
 * A browser opens few connections to one server, all of its tabs together. A hidden tab therefore
 * closes its streams, and resumes them where they were when it is shown again.
 */

import { ApiError } from "./connect.js";
import { Reconnects } from "./reconnects.js";
import { SilenceTimer, StreamBroken } from "./silence.js";
import { wait } from "./wait.js";
import { HIDDEN_MS } from "./watch_pause.js";

/** @typedef {{state: "live" | "reconnecting" | "paused", error?: unknown}} StreamStatus */

/** @typedef {{signal: AbortSignal, onStatus: (status: StreamStatus) => void}} ReconnectOptions */

const CLOCK = { monotonic: () => performance.now(), sleep: wait };

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
export async function* reconnecting(open, { signal, onStatus }) {
  const reconnects = new Reconnects(Math.random);
  for (;;) {
    if (document.hidden) onStatus({ state: "paused" });
    await shown(signal);
    if (signal.aborted) return;
    const connection = connectionWhileShown(signal);
    const silence = new SilenceTimer(CLOCK, connection.controller);
    try {
      const messages = open(connection.controller.signal);
      if (!messages) return;
      for await (const message of messages) {
        silence.reset();
        reconnects.reached();
        onStatus({ state: "live" });
        yield message;
      }
    } catch (caught) {
      if (signal.aborted) return;
      const error = silence.error ?? caught;
      if (connection.controller.signal.aborted && !silence.error) continue; // hidden
      if (!(error instanceof ApiError || error instanceof StreamBroken)) throw error; // a bug
      const delay = reconnects.delayAfter(error, performance.now());
      if (delay === null) throw error;
      onStatus({ state: "reconnecting", error });
      await waitForServer(delay, signal);
    } finally {
      silence.stop();
      connection.end();
    }
  }
}

/**
 * Wait before the next call; no longer than until the browser is online again.
 *
 * @param {number} milliseconds
 * @param {AbortSignal} signal
 */
async function waitForServer(milliseconds, signal) {
  const online = new AbortController();
  addEventListener("online", () => online.abort(), { signal: AbortSignal.any([signal, online.signal]) });
  await wait(milliseconds, AbortSignal.any([signal, online.signal]));
  online.abort();
}

/**
 * Return a controller that is aborted with a signal, and when the page has been hidden for a while.
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
    controller,
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
