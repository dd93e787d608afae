import { create } from "@bufbuild/protobuf";
import { beforeEach, describe, expect, it } from "vitest";

import { WaitTaskResponseSchema } from "../src/gen/taskgate/v1/task_watch_pb.js";
import { TaskgateError } from "../src/index.js";
import { WaitSession } from "../src/wait.js";
import { TestTiming } from "./timing.js";

const DONE = create(WaitTaskResponseSchema, { done: true });
const NOT_YET = create(WaitTaskResponseSchema, {});
const GONE = new TaskgateError({ code: "UNAVAILABLE", message: "gone" });
const LATE = new TaskgateError({ code: "DEADLINE_EXCEEDED", message: "late" });

let timing: TestTiming;

beforeEach(() => {
  timing = new TestTiming();
});

describe("waiting", () => {
  it("ends when the task is done", () => {
    const session = new WaitSession(timing, undefined);
    expect(session.take(DONE, 0)).toBeUndefined();
    expect(session.response).toBe(DONE);
  });

  it("limits calls to five minutes and to the remaining time", () => {
    expect(new WaitSession(timing, undefined).callMs(0)).toBe(300_000);
    const session = new WaitSession(timing, 400_000);
    expect(session.callMs(0)).toBe(300_000);
    expect(session.callMs(390_000)).toBe(10_000);
    expect(session.callMs(500_000)).toBe(0);
  });

  it("calls again immediately after a long call, and a second after a short one", () => {
    const session = new WaitSession(timing, undefined);
    timing.pass(300_000);
    expect(session.take(NOT_YET, 0)).toBe(0);
    expect(session.take(NOT_YET, timing.now() - 10)).toBe(1_000);
  });

  it("times out with the latest response", () => {
    const session = new WaitSession(timing, 10_000);
    timing.pass(5_000);
    session.take(NOT_YET, 0);
    timing.pass(4_500);
    expect(session.fail(LATE, 5_000)).toBeUndefined();
    expect(session.response).toBe(NOT_YET);
  });

  it("fails when it times out without a response", () => {
    const session = new WaitSession(timing, 2_000);
    timing.pass(2_000);
    expect(() => session.fail(LATE, 0)).toThrow(LATE);
  });

  it("does not retry a server that never responded", () => {
    const session = new WaitSession(timing, undefined);
    timing.pass(10);
    expect(() => session.fail(GONE, 0)).toThrow(GONE);
  });

  it("continues when a long call breaks", () => {
    const session = new WaitSession(timing, undefined);
    timing.pass(60_000);
    expect(session.fail(GONE, 0)).toBe(1_000);
  });
});
