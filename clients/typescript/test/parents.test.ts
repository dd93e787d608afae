import type * as grpc from "@grpc/grpc-js";
import { describe, expect, it } from "vitest";

import { Health } from "../src/gen/grpc/health/v1/health_pb.js";
import { OmicsService } from "../src/gen/taskgate/omics/v1/omics_pb.js";
import { TaskService } from "../src/gen/taskgate/v1/task_service_pb.js";
import { connect } from "../src/index.js";
import { PARENT_KEY, parentOf, parentOfTask, sharedParent } from "../src/parents.js";
import { serve } from "./server.js";

const JOB = "deadline/farms/farm-1/queues/queue-2/jobs/job-3";
const RUN = "omics/runs/1234567";
const TASKS = [0, 1, 2].map((number) => `${RUN}/tasks/${String(number)}`);
const { getTask, batchGetTasks, batchUpdateTasks, getServerInfo, watchTasks } = TaskService.method;

describe("the parent of a call", () => {
  it.each([
    [`${JOB}/steps/step-4/tasks/task-5`, JOB],
    [`${JOB}/steps/step-4`, JOB],
    [JOB, JOB],
    ["deadline/farms/farm-1/queues/queue-2", "deadline/farms/farm-1/queues/queue-2"],
    [`${RUN}/tasks/8`, RUN],
    [RUN, RUN],
    [
      "deadline/farms/jobs/queues/runs/jobs/job-3/steps/s",
      "deadline/farms/jobs/queues/runs/jobs/job-3",
    ],
    ["omics/runs", "omics/runs"],
    ["no name", "no name"],
  ])("about %s is its job or run", (name, parent) => {
    expect(parentOf(name)).toBe(parent);
  });

  it.each([
    [`${RUN}/tasks/8`, RUN],
    ["batch/queues/q/jobs/j", "batch/queues/q"],
    ["batch/queues/q/jobs/j/childJobs/3", "batch/queues/q/jobs/j"],
    ["batch/queues/q", "batch/queues/q"],
    ["no name", "no name"],
  ])("about the task %s of any service is what contains it", (name, parent) => {
    expect(parentOfTask(name)).toBe(parent);
    expect(sharedParent(getTask, { name })).toBe(parent);
  });

  it("about a parent of an unknown service is the parent itself", () => {
    const parent = "batch/queues/q/jobs/j";
    expect(sharedParent(watchTasks, { parent })).toBe(parent);
  });

  it("is that of all names if they share one", () => {
    expect(sharedParent(batchGetTasks, { names: TASKS })).toBe(RUN);
    expect(sharedParent(watchTasks, { parent: RUN, names: TASKS })).toBe(RUN);
    expect(sharedParent(watchTasks, { names: [...TASKS, `${JOB}/steps/s/tasks/t`] })).toBe(
      undefined,
    );
    expect(sharedParent(watchTasks, { parent: JOB, names: TASKS })).toBe(undefined);
    const updates = TASKS.map((name) => ({ name }));
    expect(sharedParent(batchUpdateTasks, { updates })).toBe(RUN);
    expect(sharedParent(batchUpdateTasks, { updates: [...updates, {}] })).toBe(undefined);
  });

  it.each(["omics/runs/größe/tasks/1", "omics/runs/1\n/tasks/1", "omics/runs/1\n", ""])(
    "is not sent if it is not printable ASCII: %j",
    (name) => {
      expect(sharedParent(getTask, { name })).toBe(undefined);
    },
  );

  it("is not sent without names, or to another service", () => {
    expect(sharedParent(getServerInfo, {})).toBe(undefined);
    expect(sharedParent(OmicsService.method.createWorkflow, { name: RUN })).toBe(undefined);
    expect(sharedParent(Health.method.check, { service: RUN })).toBe(undefined);
  });

  it("is sent beside the target", async () => {
    let metadata: grpc.Metadata | undefined;
    const record: grpc.handleUnaryCall<Buffer, Buffer> = (call, respond) => {
      metadata = call.metadata;
      respond(null, Buffer.alloc(0));
    };
    const server = await serve([TaskService.method.summarizeTasks, record]);
    const client = connect(server.address, { target: "studio" });
    await client.summarizeTasks({ parent: `${JOB}/steps/step-4` });
    client.close();
    server.stop();
    expect(metadata?.get(PARENT_KEY)).toEqual([JOB]);
    expect(metadata?.get("taskgate-target")).toEqual(["studio"]);
  });
});
