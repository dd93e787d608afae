/** When to call again after a call broke. It reads no clock and does no input or output. */

import { setTimeout as sleep } from "node:timers/promises";

import type { TaskgateError } from "./errors.js";

const FIRST_DELAY_MS = 1_000;
const MAX_DELAY_MS = 10_000;
const PATIENCE_MS = 300_000;

/** The reason of a server that is shutting down. */
export const SERVER_STOPPING = "SERVER_STOPPING";

/** The clock, sleep and randomness of a client. */
export interface Timing {
  /** Returns milliseconds on a monotonic clock. */
  now(): number;
  /** Sleeps for so many milliseconds; rejects when the signal is aborted. */
  sleep(ms: number, signal?: AbortSignal): Promise<unknown>;
  /** Returns a number from 0 to 1. */
  random(): number;
}

/** The real clock, sleep and randomness. */
export const REAL_TIMING: Timing = {
  now: () => performance.now(),
  sleep: (ms, signal) => sleep(ms, undefined, signal ? { signal } : {}),
  random: () => Math.random(),
};

/**
 * Decides after each failure whether to call again, and after what delay. A server that has never
 * responded is not retried, so that a wrong address fails immediately.
 */
export class Reconnects {
  /** Number of failures since the last response. */
  failures = 0;
  private lastResponse: number | undefined;
  private leftStoppingServer = -Infinity;

  constructor(private readonly random: () => number) {}

  /** Records a response of the server. */
  reached(now: number): void {
    this.lastResponse = now;
    this.failures = 0;
  }

  /**
   * Returns the delay before the next attempt, in milliseconds.
   *
   * Delays have full jitter, so that the clients of a lost server do not all return at once. A server
   * that announces its shutdown has other replicas to take over its clients, so the first such delay
   * is zero.
   *
   * @throws the error itself, if it is final or the patience is exhausted.
   */
  delayAfter(error: TaskgateError, now: number): number {
    if (
      this.lastResponse === undefined ||
      now - this.lastResponse > PATIENCE_MS ||
      !isTransient(error)
    ) {
      throw error;
    }
    this.failures += 1;
    if (error.reason === SERVER_STOPPING && now - this.leftStoppingServer > FIRST_DELAY_MS) {
      this.leftStoppingServer = now;
      return 0;
    }
    const limit = Math.min(FIRST_DELAY_MS * 2 ** (this.failures - 1), MAX_DELAY_MS);
    return Math.max(this.random() * limit, error.retryAfterMs ?? 0);
  }
}

function isTransient(error: TaskgateError): boolean {
  switch (error.code) {
    case "UNAVAILABLE":
    case "CANCELLED": // not by this client: servers and proxies do so at shutdown
    case "DEADLINE_EXCEEDED":
      return true;
    case "RESOURCE_EXHAUSTED":
      return error.retryAfterMs !== undefined;
    case "INTERNAL":
    case "UNKNOWN":
      // gRPC's codes for a stream that a proxy has reset. Taskgate's own errors have a reason.
      return error.reason === "";
    default:
      return false;
  }
}
