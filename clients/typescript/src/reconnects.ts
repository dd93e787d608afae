/** When a call that broke is tried again. Free of clock and network. */

import { setTimeout as sleep } from "node:timers/promises";

import type { TaskgateError } from "./errors.js";

const FIRST_DELAY_MS = 1_000;
const LONGEST_DELAY_MS = 10_000;
const PATIENCE_MS = 300_000;

/** The reason of a server that has sent its callers elsewhere. */
export const SERVER_STOPPING = "SERVER_STOPPING";

/** Where time and chance come from. */
export interface Timing {
  /** Milliseconds on a clock that only goes forward. */
  now(): number;
  /** Waits so many milliseconds, or rejects when the signal says so. */
  sleep(ms: number, signal?: AbortSignal): Promise<unknown>;
  /** A number from 0 to 1. */
  random(): number;
}

/** The machine's own. */
export const REAL_TIMING: Timing = {
  now: () => performance.now(),
  sleep: (ms, signal) => sleep(ms, undefined, signal ? { signal } : {}),
  random: () => Math.random(),
};

/**
 * Decides, failure by failure, whether to go on and after how long. A server that was never reached
 * is not waited for, so that a wrong address shows at once.
 */
export class Reconnects {
  /** How many failures there have been since the last contact. */
  failures = 0;
  private contact: number | undefined;
  private moved = -Infinity;

  constructor(private readonly random: () => number) {}

  /** The server has answered. */
  reached(now: number): void {
    this.contact = now;
    this.failures = 0;
  }

  /**
   * How many milliseconds to wait before the next attempt.
   *
   * Full jitter: the many callers of one server that is lost must not come back all at once. One that
   * stops has said so before it let its callers go, and has others take them: there is nothing to
   * wait for, the first time.
   *
   * @throws the error itself, if it is final or the patience is at an end.
   */
  delayAfter(error: TaskgateError, now: number): number {
    if (this.contact === undefined || now - this.contact > PATIENCE_MS || !passes(error)) {
      throw error;
    }
    this.failures += 1;
    if (error.reason === SERVER_STOPPING && now - this.moved > FIRST_DELAY_MS) {
      this.moved = now;
      return 0;
    }
    const longest = Math.min(FIRST_DELAY_MS * 2 ** (this.failures - 1), LONGEST_DELAY_MS);
    return Math.max(this.random() * longest, error.retryAfterMs ?? 0);
  }
}

function passes(error: TaskgateError): boolean {
  switch (error.code) {
    case "UNAVAILABLE":
    case "CANCELLED": // not by us: what a server, or a proxy, that stops does to its streams
    case "DEADLINE_EXCEEDED":
      return true;
    case "RESOURCE_EXHAUSTED":
      return error.retryAfterMs !== undefined;
    case "INTERNAL":
    case "UNKNOWN":
      // What gRPC makes of a stream that a proxy has reset. Taskgate's own have a reason.
      return error.reason === "";
    default:
      return false;
  }
}
