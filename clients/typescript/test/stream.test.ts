import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";

import type { ServerStream } from "../src/channel.js";
import { TaskgateError } from "../src/index.js";
import { ResumingStream } from "../src/stream.js";
import type { Session, StreamOptions } from "../src/stream.js";
import { TestTiming } from "./timing.js";

const GONE = new TaskgateError({ code: "UNAVAILABLE", message: "gone" });
const REFUSED = new TaskgateError({ code: "INVALID_ARGUMENT", message: "no" });

const SILENT = Symbol("silent");

/** The result of a read: a text, the end, an error, or silence. */
type Read = string | undefined | TaskgateError | typeof SILENT;

class Call implements ServerStream<string> {
  cancelled = false;
  private fail: (error: TaskgateError) => void = () => undefined;

  constructor(private readonly reads: Read[]) {}

  read(): Promise<string | undefined> {
    const read = this.reads.shift();
    if (read === SILENT) {
      return new Promise((_, reject) => (this.fail = reject));
    }
    return read instanceof TaskgateError ? Promise.reject(read) : Promise.resolve(read);
  }

  cancel(): void {
    this.cancelled = true;
    this.fail(new TaskgateError({ code: "CANCELLED", message: "by the client" }));
  }
}

class Texts implements Session<string, string> {
  finished = false;

  constructor(readonly silenceMs: number | undefined) {}

  take(response: string): string[] {
    return [response];
  }

  end(): void {
    this.finished = true;
  }
}

let timing: TestTiming;
let calls: Call[];
let timeouts: (number | undefined)[];
let closeClient: () => void;

beforeEach(() => {
  timing = new TestTiming();
  calls = [];
  timeouts = [];
});

afterEach(() => {
  vi.useRealTimers();
});

function stream(scripts: Read[][], options: StreamOptions = {}, silenceMs?: number) {
  return new ResumingStream<string, string>(
    (timeoutMs) => {
      const call = new Call(scripts.shift() ?? []);
      calls.push(call);
      timeouts.push(timeoutMs);
      return call;
    },
    new Texts(silenceMs),
    (error, delayMs, failures) => `${error.code} ${String(delayMs)} ${String(failures)}`,
    timing,
    (listener) => {
      closeClient = listener;
      return () => undefined;
    },
    options,
  );
}

async function all(texts: AsyncIterable<string>): Promise<string[]> {
  const events = [];
  for await (const text of texts) {
    events.push(text);
  }
  return events;
}

describe("a resuming stream", () => {
  it("calls again after a pause", async () => {
    const events = await all(stream([["one", GONE], [GONE], ["two", undefined]]));
    expect(events).toEqual(["one", "UNAVAILABLE 1000 1", "UNAVAILABLE 2000 2", "two"]);
    expect(timing.pauses).toEqual([1_000, 2_000]);
    expect(calls.map(({ cancelled }) => cancelled)).toEqual([true, true, true]);
  });

  it("fails when it is refused, and then ends", async () => {
    const refused = stream([["one", REFUSED]]);
    expect(await refused.next()).toEqual({ done: false, value: "one" });
    await expect(refused.next()).rejects.toBe(REFUSED);
    expect(await refused.next()).toEqual({ done: true, value: undefined });
  });

  it("fails immediately when the server never responded", async () => {
    await expect(stream([[GONE]]).next()).rejects.toBe(GONE);
    expect(timing.pauses).toEqual([]);
  });

  it("ends a call that is silent for too long", async () => {
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
    const silent = stream([["one", SILENT], ["two"]], {}, 3_000);
    await silent.next();
    const next = silent.next();
    await vi.advanceTimersByTimeAsync(3_000);
    expect(await next).toEqual({ done: false, value: "UNAVAILABLE 1000 1" });
    expect(calls[0]?.cancelled).toBe(true);
    expect(await silent.next()).toEqual({ done: false, value: "two" });
    expect(vi.getTimerCount()).toBe(0);
  });

  it("times out, also between two calls", async () => {
    const limited = stream([["one", GONE]], { timeoutMs: 500 });
    await limited.next();
    expect(await limited.next()).toEqual({ done: false, value: "UNAVAILABLE 1000 1" });
    await expect(limited.next()).rejects.toMatchObject({ code: "DEADLINE_EXCEEDED" });
    expect(timing.pauses).toEqual([500]);
  });

  it("has calls with a slightly longer timeout", async () => {
    await stream([["one"]], { timeoutMs: 500 }).next();
    await stream([["one"]]).next();
    expect(timeouts).toEqual([505, undefined]);
  });

  it("ends its call when a loop is left", async () => {
    for await (const text of stream([["one", "two"]])) {
      expect(text).toBe("one");
      break;
    }
    expect(calls[0]?.cancelled).toBe(true);
  });

  it("ends while it waits when it or its client is closed", async () => {
    for (const close of [
      (it: { close(): void }) => {
        it.close();
      },
      () => {
        closeClient();
      },
    ]) {
      const waiting = stream([[SILENT]]);
      const next = waiting.next();
      await vi.waitFor(() => {
        expect(calls).toHaveLength(1);
      });
      close(waiting);
      expect(await next).toEqual({ done: true, value: undefined });
      expect(calls.pop()?.cancelled).toBe(true);
    }
  });

  it("opens no call after it is closed", async () => {
    const closed = stream([[SILENT]]);
    const next = closed.next();
    closed.close();
    expect(await next).toEqual({ done: true, value: undefined });
    expect(calls).toHaveLength(0);
  });

  it("returns events to concurrent calls in order", async () => {
    const concurrent = stream([["one", "two", undefined]]);
    const events = await Promise.all([concurrent.next(), concurrent.next(), concurrent.next()]);
    expect(events.map(({ value }) => value)).toEqual(["one", "two", undefined]);
    expect(calls).toHaveLength(1);
  });
});
