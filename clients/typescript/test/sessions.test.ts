import { create } from "@bufbuild/protobuf";
import type { MessageInitShape } from "@bufbuild/protobuf";
import { timestampFromDate } from "@bufbuild/protobuf/wkt";
import { describe, expect, it } from "vitest";

import { TaskgateError } from "../src/errors.js";
import { StreamTaskLogsResponseSchema } from "../src/gen/taskgate/v1/task_log_pb.js";
import { WatchTasksResponseSchema } from "../src/gen/taskgate/v1/task_watch_pb.js";
import { LogSession } from "../src/log_session.js";
import { Reconnects } from "../src/reconnects.js";
import { WatchSession } from "../src/watch_session.js";

const GONE = new TaskgateError({ code: "UNAVAILABLE", message: "gone" });

describe("reconnects", () => {
  it("do not retry a server that never responded", () => {
    expect(() => new Reconnects(() => 1).delayAfter(GONE, 0)).toThrow(GONE);
  });

  it("wait longer each time, ten seconds at most, for five minutes", () => {
    const reconnects = new Reconnects(() => 1);
    reconnects.reached(0);
    const delays = [1, 2, 3, 4, 5, 6].map(() => reconnects.delayAfter(GONE, 60_000));
    expect(delays).toEqual([1_000, 2_000, 4_000, 8_000, 10_000, 10_000]);
    expect(() => reconnects.delayAfter(GONE, 301_000)).toThrow(GONE);
  });

  it.each([
    new TaskgateError({ code: "NOT_FOUND", message: "" }),
    new TaskgateError({ code: "RESOURCE_EXHAUSTED", message: "" }),
    new TaskgateError({ code: "INTERNAL", message: "", reason: "TASKGATE_BUG" }),
  ])("do not retry a final error: $code", (error) => {
    const reconnects = new Reconnects(() => 1);
    reconnects.reached(0);
    expect(() => reconnects.delayAfter(error, 0)).toThrow(error);
  });

  it("leave a server that shuts down immediately, once", () => {
    const reconnects = new Reconnects(() => 1);
    reconnects.reached(0);
    const stopping = new TaskgateError({
      code: "UNAVAILABLE",
      message: "",
      reason: "SERVER_STOPPING",
    });
    expect(reconnects.delayAfter(stopping, 0)).toBe(0);
    expect(reconnects.delayAfter(stopping, 0)).toBeGreaterThan(0);
  });

  it("wait as long as the server requests", () => {
    const reconnects = new Reconnects(() => 0);
    reconnects.reached(0);
    const busy = new TaskgateError({
      code: "RESOURCE_EXHAUSTED",
      message: "",
      retryAfterMs: 7_000,
    });
    expect(reconnects.delayAfter(busy, 0)).toBe(7_000);
  });
});

describe("a watch", () => {
  const response = (init: MessageInitShape<typeof WatchTasksResponseSchema>) =>
    create(WatchTasksResponseSchema, init);
  const half = new TextEncoder().encode("half");
  const whole = new TextEncoder().encode("whole");

  it("starts over when it breaks within a snapshot", () => {
    const session = new WatchSession({ parent: "omics/runs/1" });
    session.take(response({ event: { case: "snapshotBegin", value: {} } }));
    session.take(
      response({ event: { case: "snapshotTasks", value: { tasks: [{}] } }, resumeToken: half }),
    );
    expect(session.next().resumeToken).toHaveLength(0);
    expect(session.take(response({ event: { case: "snapshotEnd", value: {} } }))).toEqual([]);
    session.take(response({ resumeToken: whole }));
    expect(session.next().resumeToken).toEqual(whole);
  });

  it("is dead after three missed heartbeats", () => {
    expect(new WatchSession({}).silenceMs).toBe(30_000);
    expect(new WatchSession({ heartbeatInterval: { seconds: 2n } }).silenceMs).toBe(6_000);
  });
});

describe("a log", () => {
  it("skips repeated lines of the last time", () => {
    const time = timestampFromDate(new Date(0));
    const lines = (...texts: string[]) =>
      create(StreamTaskLogsResponseSchema, {
        part: { case: "lines", value: { lines: texts.map((message) => ({ time, message })) } },
      });
    const session = new LogSession({});
    session.next();
    expect(session.take(lines("one", "two"))).toHaveLength(2);
    session.next();
    const resumed = session.take(lines("one", "two", "three")).map(({ message }) => message);
    expect(resumed).toEqual(["three"]);
  });
});
