/** Server streams that call again when a call breaks: watches and logs. */

import type { ServerStream } from "./channel.js";
import { TaskgateError } from "./errors.js";
import { Reconnects } from "./reconnects.js";
import type { Timing } from "./reconnects.js";
import { SerialExecutor } from "./serial_executor.js";

/** What outlives a call: a watch or a log. */
export interface Session<Response, Event> {
  /** Whether the stream is complete. */
  readonly finished: boolean;
  /** Milliseconds without a message after which the connection counts as dead, if any. */
  readonly silenceMs: number | undefined;
  /** Returns the events in a response. Throws to end the call. */
  take(response: Response): Event[];
  /** Handles a call that the server has ended. Throws if it ended too early. */
  end(): void;
}

/** Options of a stream. */
export interface StreamOptions {
  /** Aborts the stream, which then rejects with the signal's reason. */
  readonly signal?: AbortSignal | undefined;
  /** Timeout of the whole stream, over all calls, in milliseconds. */
  readonly timeoutMs?: number | undefined;
}

/**
 * How much longer the timeout of a call is than that of the stream. grpc-js uses another clock with
 * whole milliseconds: a call that timed out slightly before the stream would count as broken.
 */
const CALL_GRACE_MS = 5;

/**
 * An iterator over the events of a stream, which calls again when a call breaks. Leaving a `for await`
 * loop closes it.
 */
export class ResumingStream<Response, Event> implements AsyncIterableIterator<Event> {
  private readonly reconnects: Reconnects;
  private readonly end: number | undefined;
  private readonly closing = new AbortController();
  private readonly signal: AbortSignal | undefined;
  private readonly removeListener: () => void;
  private readonly executor = new SerialExecutor();
  private readonly ready: Event[] = [];
  private call: ServerStream<Response> | undefined;
  private delayMs = 0;

  constructor(
    private readonly open: (timeoutMs: number | undefined) => ServerStream<Response>,
    private readonly session: Session<Response, Event>,
    private readonly reconnecting: (
      error: TaskgateError,
      delayMs: number,
      failures: number,
    ) => Event | undefined,
    private readonly timing: Timing,
    onAbort: (listener: () => void, signal: AbortSignal | undefined) => () => void,
    options: StreamOptions,
  ) {
    this.reconnects = new Reconnects(() => timing.random());
    this.end = options.timeoutMs === undefined ? undefined : timing.now() + options.timeoutMs;
    this.signal = options.signal;
    this.removeListener = onAbort(() => {
      this.close();
    }, this.signal);
  }

  /** Returns itself: it can be iterated once. */
  [Symbol.asyncIterator](): this {
    return this;
  }

  /** Returns the next event. Rejects with a {@link TaskgateError} if the stream cannot continue. */
  next(): Promise<IteratorResult<Event, undefined>> {
    return this.executor.run(() => this.nextEvent());
  }

  /** Ends the call and the iteration. */
  close(): void {
    this.removeListener();
    this.closing.abort();
    this.dropCall();
  }

  /** Closes the stream; called when a loop is left. */
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
        return; // a call opened now would never be ended
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
      this.timeRemaining();
      this.delayMs = this.reconnects.delayAfter(error, this.timing.now());
    } catch (final) {
      this.close();
      throw final;
    }
    const event = this.reconnecting(error, this.delayMs, this.reconnects.failures);
    if (event !== undefined) {
      this.ready.push(event);
    }
  }

  private async pause(): Promise<void> {
    if (this.delayMs > 0) {
      const pause = Math.min(this.delayMs, this.timeRemaining() ?? Infinity);
      this.delayMs = 0;
      await this.timing.sleep(pause, this.closing.signal);
    }
  }

  /** Returns the next message. Time between two reads does not count as silence. */
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
            message: `no message from the server for ${String(limit / 1000)} s`,
          }),
        );
      }, limit);
    });
    const read = call.read();
    read.catch(() => undefined); // it is not awaited after a timeout
    try {
      return await Promise.race([read, silence]);
    } finally {
      clearTimeout(timer);
    }
  }

  private callTimeout(): number | undefined {
    const remaining = this.timeRemaining();
    return remaining === undefined ? undefined : remaining + CALL_GRACE_MS;
  }

  private timeRemaining(): number | undefined {
    if (this.end === undefined) {
      return undefined;
    }
    const remaining = this.end - this.timing.now();
    if (remaining <= 0) {
      throw new TaskgateError({ code: "DEADLINE_EXCEEDED", message: "timed out" });
    }
    return remaining;
  }

  private dropCall(): void {
    this.call?.cancel();
    this.call = undefined;
  }
}
