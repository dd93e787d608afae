import * as grpc from "@grpc/grpc-js";
import { describe, expect, it } from "vitest";

import { Health } from "../src/gen/grpc/health/v1/health_pb.js";
import { OmicsService } from "../src/gen/taskgate/omics/v1/omics_pb.js";
import { TaskService } from "../src/gen/taskgate/v1/task_service_pb.js";
import { connect } from "../src/index.js";
import { rootsIn } from "../src/parents.js";
import { isWrite, SINCE_WRITE_KEY, Writes } from "../src/writes.js";
import { serve } from "./server.js";

const JOB = "deadline/farms/farm-1/queues/queue-2/jobs/job-3";
const RUN = "omics/runs/1234567";
const { getTask, batchGetTasks, listTasks, batchUpdateTasks, cancelTask, getServerInfo } =
  TaskService.method;

function manualWrites(): { writes: Writes; advance: (ms: number) => void } {
  let now = 1_000_000;
  const advance = (ms: number) => {
    now += ms;
  };
  return { writes: new Writes(() => now), advance };
}

function since(writes: Writes, ...parents: string[]): string | undefined {
  return writes.since(new Set(parents));
}

describe("the time since the latest write", () => {
  it("is sent, rounded down", () => {
    const { writes, advance } = manualWrites();
    expect(since(writes, JOB)).toBe(undefined);
    writes.record(new Set([JOB]));
    expect(since(writes, JOB)).toBe("0.000");
    advance(12_034.9);
    expect(since(writes, JOB)).toBe("12.034");
  });

  it("concerns reads of the write's job or run, and reads of anything else", () => {
    const { writes, advance } = manualWrites();
    writes.record(new Set([JOB]));
    advance(1_000);
    expect(since(writes, RUN)).toBe(undefined);
    expect(since(writes, RUN, JOB)).toBe("1.000");
    expect(writes.since(undefined)).toBe("1.000");
  });

  it("concerns all reads if the write may concern anything", () => {
    const { writes, advance } = manualWrites();
    writes.record(new Set([JOB]));
    advance(1_000);
    writes.record(undefined);
    advance(1_000);
    expect([since(writes, JOB), since(writes, RUN)]).toEqual(["1.000", "1.000"]);
  });

  it("is not sent for an old write", () => {
    const { writes, advance } = manualWrites();
    writes.record(new Set([JOB]));
    advance(300_000);
    expect(since(writes, JOB)).toBe("300.000");
    advance(1);
    expect(since(writes, JOB)).toBe(undefined);
  });

  it("concerns all reads after writes of very many jobs", () => {
    const { writes, advance } = manualWrites();
    for (let number = 0; number < 1_000; number++) {
      writes.record(new Set([String(number)]));
    }
    expect(since(writes, JOB)).toBe(undefined);
    advance(1_000);
    writes.record(new Set(["one more"]));
    advance(1_000);
    expect([since(writes, JOB), since(writes, "7")]).toEqual(["1.000", "1.000"]);
  });
});

describe("a request", () => {
  const name = `${JOB}/steps/step-4/tasks/task-5`;

  it("concerns the jobs and runs in its names", () => {
    expect(rootsIn(getTask, { name })).toEqual(new Set([JOB]));
    expect(rootsIn(batchUpdateTasks, { updates: [{ name }] })).toEqual(new Set([JOB]));
    const names = [name, `${RUN}/tasks/1`];
    expect(rootsIn(batchGetTasks, { names })).toEqual(new Set([JOB, RUN]));
  });

  it("may concern others if it names a queue, a task of an unknown service, or nothing", () => {
    expect(rootsIn(listTasks, { parent: "deadline/farms/f/queues/q" })).toBe(undefined);
    expect(rootsIn(batchGetTasks, { names: [name, "batch/queues/q/jobs/j"] })).toBe(undefined);
    expect(rootsIn(getServerInfo, {})).toBe(undefined);
    expect(rootsIn(OmicsService.method.createWorkflow, { name: RUN })).toBe(undefined);
  });

  it("may write, unless it is a read by its name or of gRPC's own services", () => {
    expect(isWrite(cancelTask)).toBe(true);
    expect(isWrite(OmicsService.method.uploadReadSetPart)).toBe(true);
    expect(isWrite(OmicsService.method.listRuns)).toBe(false);
    expect(isWrite(TaskService.method.summarizeTasks)).toBe(false);
    expect(isWrite(Health.method.check)).toBe(false);
  });
});

describe("a write", () => {
  it.each([undefined, grpc.status.UNAVAILABLE])(
    "counts whatever its outcome is: %s",
    async (code) => {
      const sent: number[] = [];
      const read: grpc.handleUnaryCall<Buffer, Buffer> = (call, respond) => {
        sent.push(call.metadata.get(SINCE_WRITE_KEY).length);
        respond(null, Buffer.alloc(0));
      };
      const write: grpc.handleUnaryCall<Buffer, Buffer> = (_, respond) => {
        respond(code === undefined ? null : { code }, Buffer.alloc(0));
      };
      const server = await serve(
        [TaskService.method.summarizeTasks, read],
        [OmicsService.method.cancelRun, write],
      );
      const client = connect(server.address);
      await client.summarizeTasks({ parent: RUN });
      await client.omics.cancelRun({ id: "1234567" }).catch(() => undefined);
      await client.summarizeTasks({ parent: RUN });
      client.close();
      server.stop();
      expect(sent).toEqual([0, 1]);
    },
  );

  it("counts if its caller cancels it", async () => {
    const sent: number[] = [];
    const read: grpc.handleUnaryCall<Buffer, Buffer> = (call, respond) => {
      sent.push(call.metadata.get(SINCE_WRITE_KEY).length);
      respond(null, Buffer.alloc(0));
    };
    const caller = new AbortController();
    const write: grpc.handleUnaryCall<Buffer, Buffer> = () => {
      caller.abort();
    };
    const server = await serve(
      [TaskService.method.summarizeTasks, read],
      [TaskService.method.cancelTask, write],
    );
    const client = connect(server.address);
    const { signal } = caller;
    await client.cancelTask({ name: `${RUN}/tasks/1` }, { signal }).catch(() => undefined);
    await client.summarizeTasks({ parent: RUN });
    client.close();
    server.stop();
    expect(sent).toEqual([1]);
  });
});
