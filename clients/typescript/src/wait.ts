/** Waiting for a task over several calls. */

import { clone, create } from "@bufbuild/protobuf";
import type { MessageInitShape } from "@bufbuild/protobuf";
import { durationFromMs } from "@bufbuild/protobuf/wkt";

import type { CallOptions, Channel } from "./channel.js";
import { TaskgateError } from "./errors.js";
import { TaskService } from "./gen/taskgate/v1/task_service_pb.js";
import { WaitTaskRequestSchema } from "./gen/taskgate/v1/task_watch_pb.js";
import type { WaitTaskResponse } from "./gen/taskgate/v1/task_watch_pb.js";
import { Reconnects } from "./reconnects.js";
import type { Timing } from "./reconnects.js";

/** Timeout of one call. Load balancers cut calls that last for hours. */
const MAX_CALL_MS = 300_000;
/**
 * `maxWait` of requests without one. Proxies cut calls that are silent for longer; 30 s is a common
 * limit.
 */
const MAX_WAIT_MS = 25_000;
/** Minimum time for another call, and minimum interval between calls. */
const MIN_CALL_MS = 1_000;

/** Calls until the wait is done or has timed out. */
export async function waitForTask(
  channel: Channel,
  request: MessageInitShape<typeof WaitTaskRequestSchema>,
  { signal, timeoutMs }: CallOptions,
  timing: Timing,
): Promise<WaitTaskResponse> {
  const session = new WaitSession(timing, timeoutMs);
  const bounded = clone(WaitTaskRequestSchema, create(WaitTaskRequestSchema, request));
  bounded.maxWait ??= durationFromMs(MAX_WAIT_MS);
  const aborted = new AbortController();
  const removeListener = channel.onAbort(() => {
    aborted.abort();
  }, signal);
  try {
    for (;;) {
      const start = timing.now();
      let pause: number | undefined;
      try {
        const options = { signal, timeoutMs: session.callMs(start) };
        const response = await channel.unary(TaskService.method.waitTask, bounded, options);
        pause = session.take(response, start);
      } catch (error) {
        if (!(error instanceof TaskgateError) || channel.isClosed) {
          throw error;
        }
        pause = session.fail(error, start);
      }
      if (pause === undefined && session.response !== undefined) {
        return session.response;
      }
      await timing.sleep(pause ?? 0, aborted.signal).catch((error: unknown) => {
        // The next call rejects with the reason of the abort.
        if (!aborted.signal.aborted) {
          throw error;
        }
      });
    }
  } finally {
    removeListener();
  }
}

/** The state of a wait over several calls. It does no input or output. */
export class WaitSession {
  /** The latest response. */
  response: WaitTaskResponse | undefined;
  private readonly end: number;
  private readonly reconnects: Reconnects;

  constructor(
    private readonly timing: Timing,
    timeoutMs: number | undefined,
  ) {
    this.end = timeoutMs === undefined ? Infinity : timing.now() + timeoutMs;
    this.reconnects = new Reconnects(() => timing.random());
  }

  /** Returns the timeout of the next call, in milliseconds. */
  callMs(now: number): number {
    return Math.min(Math.max(this.end - now, 0), MAX_CALL_MS);
  }

  /** Stores a response; returns milliseconds until the next call, or undefined if the wait is over. */
  take(response: WaitTaskResponse, start: number): number | undefined {
    const now = this.timing.now();
    this.response = response;
    this.reconnects.reached(now);
    if (response.done || this.isTimedOut(now)) {
      return undefined;
    }
    return now - start < MIN_CALL_MS ? MIN_CALL_MS : 0; // a server that is shutting down responds early
  }

  /**
   * Handles a failed call; returns what `take` returns.
   *
   * @throws the error, if it is final, or the wait timed out without any response.
   */
  fail(error: TaskgateError, start: number): number | undefined {
    const now = this.timing.now();
    if (this.isTimedOut(now)) {
      if (this.response !== undefined && error.code === "DEADLINE_EXCEEDED") {
        return undefined;
      }
      throw error;
    }
    if (now - start > MIN_CALL_MS) {
      // A refused connection fails faster: the server was there when the call started.
      this.reconnects.reached(start);
    }
    return this.reconnects.delayAfter(error, now);
  }

  private isTimedOut(now: number): boolean {
    return this.end - now < MIN_CALL_MS;
  }
}
