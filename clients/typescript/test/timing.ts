/** Time that passes only when somebody sleeps. */

import type { Timing } from "../src/index.js";

/** A clock, and how long has been slept each time. */
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

  /** The longest jitter that there is. */
  random(): number {
    return 1;
  }

  /** So much time goes by. */
  pass(ms: number): void {
    this.time += ms;
  }
}
