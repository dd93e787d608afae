/** When to call again after a stream broke, with the rules of Taskgate's clients. It reads no clock. */

const FIRST_DELAY_MS = 1_000;
const MAX_DELAY_MS = 10_000;

/** The reason of a server that is shutting down. */
export const SERVER_STOPPING = "SERVER_STOPPING";

/**
 * The decision after each failure whether and when to call again. Unlike a program, an open page never gives up: it
 * shows that it is reconnecting, and its user can close it.
 */
export class Reconnects {
  /** Number of failures since the last response. */
  failures = 0;
  #leftStoppingServer = -Infinity;
  #random;

  /** @param {() => number} random returns a number from 0 to 1 */
  constructor(random) {
    this.#random = random;
  }

  /** Record a response of the server. */
  reached() {
    this.failures = 0;
  }

  /**
   * Return the delay before the next call in milliseconds, or null if the error is final.
   *
   * Delays have full jitter, so that the pages of a lost server do not all return at once. A server that announces its
   * shutdown may have other replicas, so the first such delay is zero.
   *
   * @param {any} error
   * @param {number} now milliseconds on a monotonic clock
   * @returns {number | null}
   */
  delayAfter(error, now) {
    if (!isTransient(error)) {
      return null;
    }
    this.failures += 1;
    if (error.reason === SERVER_STOPPING && now - this.#leftStoppingServer > FIRST_DELAY_MS) {
      this.#leftStoppingServer = now;
      return 0;
    }
    const limit = Math.min(FIRST_DELAY_MS * 2 ** (this.failures - 1), MAX_DELAY_MS);
    return Math.max(this.#random() * limit, (error.retryAfterSeconds ?? 0) * 1000);
  }
}

/**
 * @param {any} error an ApiError, or what `fetch` throws without a connection
 * @returns {boolean}
 */
function isTransient(error) {
  switch (String(error.code ?? "").toLowerCase()) {
    case "unavailable":
    case "canceled":
    case "cancelled": // not by this page: servers and proxies do so at shutdown
    case "deadline_exceeded":
    case "": // no response at all
      return true;
    case "resource_exhausted":
      return error.retryAfterSeconds !== undefined && error.retryAfterSeconds !== null;
    case "internal":
    case "unknown":
      // What a proxy without a server returns. Taskgate's own errors have a reason.
      return !error.reason;
    default:
      return false;
  }
}
