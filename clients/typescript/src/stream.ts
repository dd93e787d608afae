/** What goes on over many calls, as an asynchronous iterator. */

import type { ServerStream } from "./caller.js";
import { TaskgateError } from "./errors.js";
import { Reconnects } from "./reconnects.js";
import type { Timing } from "./reconnects.js";
import { Turns } from "./turns.js";

/** What goes on: a watch or a log. */
export interface Session<Response, Event> {
  /** Whether all has been told. */
  readonly finished: boolean;
  /** Milliseconds without a message that mean that the connection is dead; undefined: never. */
  readonly silenceMs: number | undefined;
  /** The events in a message. Throws where the call is of no more use. */
  take(response: Response): Event[];
  /** The server has closed the call. Throws if it should not have. */
  end(): void;
}

/** How a stream ends before its own end. */
export interface StreamOptions {
  /** Ends it; it then rejects with the signal's reason. */
  readonly signal?: AbortSignal | undefined;
  /** Milliseconds for all of it. */
  readonly timeoutMs?: number | undefined;
}

/**
 * How much longer than the stream its calls may take. grpc-js counts in whole milliseconds of another
 * clock: a call that ended a moment before the stream would read as one that broke.
 */
const CALL_GRACE_MS = 5;

/** Goes on with another call when one breaks. Leaving a `for await` loop closes it. */
export class ResumingStream<Response, Event> implements AsyncIterableIterator<Event> {
  private readonly reconnects: Reconnects;
  private readonly end: number | undefined;
  private readonly closing = new AbortController();
  private readonly signal: AbortSignal | undefined;
  private readonly release: () => void;
  private readonly turns = new Turns();
  private readonly ready: Event[] = [];
  private call: ServerStream<Response> | undefined;
  private delayMs = 0;

  constructor(
    private readonly open: (timeoutMs: number | undefined) => ServerStream<Response>,
    private readonly session: Session<Response, Event>,
    private readonly lost: (
      error: TaskgateError,
      delayMs: number,
      failures: number,
    ) => Event | undefined,
    private readonly timing: Timing,
    whenGivenUp: (act: () => void, signal: AbortSignal | undefined) => () => void,
    options: StreamOptions,
  ) {
    this.reconnects = new Reconnects(() => timing.random());
    this.end = options.timeoutMs === undefined ? undefined : timing.now() + options.timeoutMs;
    this.signal = options.signal;
    this.release = whenGivenUp(() => {
      this.close();
    }, this.signal);
  }

  /** Itself: it can be gone through once. */
  [Symbol.asyncIterator](): this {
    return this;
  }

  /** The next event. Rejects with a {@link TaskgateError} when the stream cannot go on. */
  next(): Promise<IteratorResult<Event, undefined>> {
    return this.turns.take(() => this.nextEvent());
  }

  /** Ends the call and the iteration. */
  close(): void {
    this.release();
    this.closing.abort();
    this.dropCall();
  }

  /** What leaving a loop calls. */
  return(): Promise<IteratorResult<Event, undefined>> {
    this.close();
    return Promise.resolve({ done: true, value: undefined });
  }

  private get isClosed(): boolean {
    return this.closing.signal.aborted;
  }

  private async nextEvent(): Promise<IteratorResult<Event, undefined>> {
    for (;;) {
      const event = this.ready.shift();
      if (event !== undefined) {
        return { done: false, value: event };
      }
      this.signal?.throwIfAborted();
      if (this.isClosed || this.session.finished) {
        this.close();
        return { done: true, value: undefined };
      }
      await this.advance();
    }
  }

  private async advance(): Promise<void> {
    try {
      await this.pause();
      if (this.isClosed) {
        return; // else nobody would ever end the call
      }
      this.call ??= this.open(this.callTimeout());
      const response = await this.receive(this.call);
      if (response === undefined) {
        this.dropCall();
        this.session.end();
      } else {
        this.reconnects.reached(this.timing.now());
        this.ready.push(...this.session.take(response));
      }
    } catch (error) {
      this.dropCall();
      if (this.isClosed) {
        return;
      }
      if (!(error instanceof TaskgateError)) {
        this.close();
        throw error;
      }
      this.planNextCall(error);
    }
  }

  private planNextCall(error: TaskgateError): void {
    try {
      this.timeLeft();
      this.delayMs = this.reconnects.delayAfter(error, this.timing.now());
    } catch (final) {
      this.close();
      throw final;
    }
    const event = this.lost(error, this.delayMs, this.reconnects.failures);
    if (event !== undefined) {
      this.ready.push(event);
    }
  }

  private async pause(): Promise<void> {
    if (this.delayMs > 0) {
      const pause = Math.min(this.delayMs, this.timeLeft() ?? Infinity);
      this.delayMs = 0;
      await this.timing.sleep(pause, this.closing.signal);
    }
  }

  /** The next message. Time in which the caller does something else is no silence. */
  private async receive(call: ServerStream<Response>): Promise<Response | undefined> {
    const limit = this.session.silenceMs;
    if (limit === undefined) {
      return call.read();
    }
    let timer: NodeJS.Timeout | undefined;
    const silence = new Promise<never>((_, reject) => {
      timer = setTimeout(() => {
        reject(
          new TaskgateError({
            code: "UNAVAILABLE",
            message: `nothing was heard from the server for ${String(limit / 1000)} s`,
          }),
        );
      }, limit);
    });
    const read = call.read();
    read.catch(() => undefined); // nobody awaits it any more after a silence
    try {
      return await Promise.race([read, silence]);
    } finally {
      clearTimeout(timer);
    }
  }

  private callTimeout(): number | undefined {
    const left = this.timeLeft();
    return left === undefined ? undefined : left + CALL_GRACE_MS;
  }

  private timeLeft(): number | undefined {
    if (this.end === undefined) {
      return undefined;
    }
    const left = this.end - this.timing.now();
    if (left <= 0) {
      throw new TaskgateError({ code: "DEADLINE_EXCEEDED", message: "the time is up" });
    }
    return left;
  }

  private dropCall(): void {
    this.call?.cancel();
    this.call = undefined;
  }
}
