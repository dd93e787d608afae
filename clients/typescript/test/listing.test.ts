import { create } from "@bufbuild/protobuf";
import { describe, expect, it } from "vitest";

import { ListTasksResponseSchema } from "../src/gen/taskgate/v1/task_service_pb.js";
import type { ListTasksRequest } from "../src/gen/taskgate/v1/task_service_pb.js";
import { TaskgateError } from "../src/index.js";
import { TaskListing } from "../src/listing.js";

const PAGES = [
  create(ListTasksResponseSchema, {
    tasks: [{ name: "a" }, { name: "b" }],
    nextPageToken: "2",
    totalSize: 3,
  }),
  create(ListTasksResponseSchema, { nextPageToken: "3" }),
  create(ListTasksResponseSchema, { tasks: [{ name: "c" }], incompleteReason: "too many" }),
];

function listing(fault?: TaskgateError) {
  const asked: string[] = [];
  const ask = ({ pageToken }: ListTasksRequest) => {
    asked.push(pageToken);
    const page = PAGES[pageToken === "" ? 0 : Number(pageToken) - 1];
    if (page === undefined || (fault !== undefined && asked.length === 2)) {
      return Promise.reject(fault ?? new Error("there is no such page"));
    }
    return Promise.resolve({ ...page, tasks: [...page.tasks] });
  };
  return { tasks: new TaskListing({ parent: "omics/runs/1" }, ask), asked };
}

describe("a listing", () => {
  it("goes through all pages, empty ones too", async () => {
    const { tasks, asked } = listing();
    const names = [];
    for await (const { name } of tasks) {
      names.push(name);
    }
    expect(names).toEqual(["a", "b", "c"]);
    expect(asked).toEqual(["", "2", "3"]);
    expect(tasks).toMatchObject({ totalSize: 3, incompleteReason: "too many" });
  });

  it("asks for no page before it is needed", async () => {
    const { tasks, asked } = listing();
    await tasks.next();
    await tasks.next();
    expect(asked).toEqual([""]);
  });

  it("asks for a page again that it could not have", async () => {
    const { tasks, asked } = listing(new TaskgateError({ code: "UNAVAILABLE", message: "gone" }));
    await tasks.next();
    await tasks.next();
    await expect(tasks.next()).rejects.toMatchObject({ code: "UNAVAILABLE" });
    expect(await tasks.next()).toMatchObject({ value: { name: "c" } });
    expect(asked).toEqual(["", "2", "2", "3"]);
  });

  it("tells each task once to those who ask at once", async () => {
    const { tasks } = listing();
    const told = await Promise.all([tasks.next(), tasks.next(), tasks.next(), tasks.next()]);
    expect(told.map(({ value }) => value?.name)).toEqual(["a", "b", "c", undefined]);
  });
});
