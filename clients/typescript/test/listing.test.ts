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
  const requested: string[] = [];
  const fetch = ({ pageToken }: ListTasksRequest) => {
    requested.push(pageToken);
    const page = PAGES[pageToken === "" ? 0 : Number(pageToken) - 1];
    if (page === undefined || (fault !== undefined && requested.length === 2)) {
      return Promise.reject(fault ?? new Error("no such page"));
    }
    return Promise.resolve({ ...page, tasks: [...page.tasks] });
  };
  return { tasks: new TaskListing({ parent: "omics/runs/1" }, fetch), requested };
}

describe("a listing", () => {
  it("iterates over all pages, empty ones too", async () => {
    const { tasks, requested } = listing();
    const names = [];
    for await (const { name } of tasks) {
      names.push(name);
    }
    expect(names).toEqual(["a", "b", "c"]);
    expect(requested).toEqual(["", "2", "3"]);
    expect(tasks).toMatchObject({ totalSize: 3, incompleteReason: "too many" });
  });

  it("fetches no page before it is needed", async () => {
    const { tasks, requested } = listing();
    await tasks.next();
    await tasks.next();
    expect(requested).toEqual([""]);
  });

  it("requests a failed page again", async () => {
    const { tasks, requested } = listing(
      new TaskgateError({ code: "UNAVAILABLE", message: "gone" }),
    );
    await tasks.next();
    await tasks.next();
    await expect(tasks.next()).rejects.toMatchObject({ code: "UNAVAILABLE" });
    expect(await tasks.next()).toMatchObject({ value: { name: "c" } });
    expect(requested).toEqual(["", "2", "2", "3"]);
  });

  it("returns each task once to concurrent calls", async () => {
    const { tasks } = listing();
    const results = await Promise.all([tasks.next(), tasks.next(), tasks.next(), tasks.next()]);
    expect(results.map(({ value }) => value?.name)).toEqual(["a", "b", "c", undefined]);
  });
});
