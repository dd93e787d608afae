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
  it("is over with the answer", () => {
    const session = new WaitSession(timing, undefined);
    expect(session.take(DONE, 0)).toBeUndefined();
    expect(session.answer).toBe(DONE);
  });

  it("asks for five minutes at most, and for no more than is left", () => {
    expect(new WaitSession(timing, undefined).callMs(0)).toBe(300_000);
    const session = new WaitSession(timing, 400_000);
    expect(session.callMs(0)).toBe(300_000);
    expect(session.callMs(390_000)).toBe(10_000);
    expect(session.callMs(500_000)).toBe(0);
  });

  it("asks again at once after a long call, and a second after a short one", () => {
    const session = new WaitSession(timing, undefined);
    timing.pass(300_000);
    expect(session.take(NOT_YET, 0)).toBe(0);
    expect(session.take(NOT_YET, timing.now() - 10)).toBe(1_000);
  });

  it("ends with the latest answer when the time is up", () => {
    const session = new WaitSession(timing, 10_000);
    timing.pass(5_000);
    session.take(NOT_YET, 0);
    timing.pass(4_500);
    expect(session.failed(LATE, 5_000)).toBeUndefined();
    expect(session.answer).toBe(NOT_YET);
  });

  it("fails when the time is up and nothing was ever answered", () => {
    const session = new WaitSession(timing, 2_000);
    timing.pass(2_000);
    expect(() => session.failed(LATE, 0)).toThrow(LATE);
  });

  it("does not wait for a server that was never reached", () => {
    const session = new WaitSession(timing, undefined);
    timing.pass(10);
    expect(() => session.failed(GONE, 0)).toThrow(GONE);
  });

  it("goes on when a call that was long in flight is lost", () => {
    const session = new WaitSession(timing, undefined);
    timing.pass(60_000);
    expect(session.failed(GONE, 0)).toBe(1_000);
  });
});
