/** Waiting for a task across any number of calls. */

import { clone, create } from "@bufbuild/protobuf";
import type { MessageInitShape } from "@bufbuild/protobuf";
import { durationFromMs } from "@bufbuild/protobuf/wkt";

import type { CallOptions, Caller } from "./caller.js";
import { TaskgateError } from "./errors.js";
import { TaskService } from "./gen/taskgate/v1/task_service_pb.js";
import { WaitTaskRequestSchema } from "./gen/taskgate/v1/task_watch_pb.js";
import type { WaitTaskResponse } from "./gen/taskgate/v1/task_watch_pb.js";
import { Reconnects } from "./reconnects.js";
import type { Timing } from "./reconnects.js";

/** How long one call may wait. Load balancers cut calls that live for hours. */
const LONGEST_CALL_MS = 300_000;
/**
 * The request's `maxWait` if it has none. Proxies cut calls that are silent for longer; 30 s is a
 * common limit.
 */
const MAX_WAIT_MS = 25_000;
/** With less time than that left there is no point in asking again. */
const SHORTEST_CALL_MS = 1_000;

/** Asks until there is an answer, or the time is up. */
export async function waitForTask(
  caller: Caller,
  request: MessageInitShape<typeof WaitTaskRequestSchema>,
  { signal, timeoutMs }: CallOptions,
  timing: Timing,
): Promise<WaitTaskResponse> {
  const session = new WaitSession(timing, timeoutMs);
  const bounded = clone(WaitTaskRequestSchema, create(WaitTaskRequestSchema, request));
  bounded.maxWait ??= durationFromMs(MAX_WAIT_MS);
  const givenUp = new AbortController();
  const release = caller.whenGivenUp(() => {
    givenUp.abort();
  }, signal);
  try {
    for (;;) {
      const asked = timing.now();
      let pause: number | undefined;
      try {
        const options = { signal, timeoutMs: session.callMs(asked) };
        const answer = await caller.unary(TaskService.method.waitTask, bounded, options);
        pause = session.take(answer, asked);
      } catch (error) {
        if (!(error instanceof TaskgateError) || caller.isClosed) {
          throw error;
        }
        pause = session.failed(error, asked);
      }
      if (pause === undefined && session.answer !== undefined) {
        return session.answer;
      }
      await timing.sleep(pause ?? 0, givenUp.signal).catch((error: unknown) => {
        // What it rejects with is its own; the next call tells why there is none.
        if (!givenUp.signal.aborted) {
          throw error;
        }
      });
    }
  } finally {
    release();
  }
}

/** One waiting. Free of input and output. */
export class WaitSession {
  /** The latest answer. */
  answer: WaitTaskResponse | undefined;
  private readonly end: number;
  private readonly reconnects: Reconnects;

  constructor(
    private readonly timing: Timing,
    timeoutMs: number | undefined,
  ) {
    this.end = timeoutMs === undefined ? Infinity : timing.now() + timeoutMs;
    this.reconnects = new Reconnects(() => timing.random());
  }

  /** How many milliseconds the next call may take. */
  callMs(now: number): number {
    return Math.min(Math.max(this.end - now, 0), LONGEST_CALL_MS);
  }

  /** Keeps an answer: how long to wait before asking again, or undefined, the waiting is over. */
  take(answer: WaitTaskResponse, asked: number): number | undefined {
    const now = this.timing.now();
    this.answer = answer;
    this.reconnects.reached(now);
    if (answer.done || this.isLate(now)) {
      return undefined;
    }
    return now - asked < SHORTEST_CALL_MS ? SHORTEST_CALL_MS : 0; // a server that stops answers early
  }

  /**
   * As `take`, for a call that failed.
   *
   * @throws the error, if it is final, or if the time is up and no answer ever came.
   */
  failed(error: TaskgateError, asked: number): number | undefined {
    const now = this.timing.now();
    if (this.isLate(now)) {
      if (this.answer !== undefined && error.code === "DEADLINE_EXCEEDED") {
        return undefined;
      }
      throw error;
    }
    if (now - asked > SHORTEST_CALL_MS) {
      this.reconnects.reached(asked); // nobody refuses a connection that slowly
    }
    return this.reconnects.delayAfter(error, now);
  }

  private isLate(now: number): boolean {
    return this.end - now < SHORTEST_CALL_MS;
  }
}
