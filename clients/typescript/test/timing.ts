/** A clock that advances only by sleeping. */

import type { Timing } from "../src/index.js";

/** A clock that records each sleep. */
export class TestTiming implements Timing {
  readonly pauses: number[] = [];
  private time = 0;

  now(): number {
    return this.time;
  }

  sleep(ms: number, signal?: AbortSignal): Promise<void> {
    signal?.throwIfAborted();
    this.pauses.push(ms);
    this.pass(ms);
    return Promise.resolve();
  }

  /** Returns the maximum jitter. */
  random(): number {
    return 1;
  }

  /** Advances the clock. */
  pass(ms: number): void {
    this.time += ms;
  }
}
