/** The iterator over all tasks of a parent. */

import { create } from "@bufbuild/protobuf";
import type { MessageInitShape } from "@bufbuild/protobuf";

import type { Task } from "./gen/taskgate/v1/task_pb.js";
import { ListTasksRequestSchema } from "./gen/taskgate/v1/task_service_pb.js";
import type { ListTasksRequest, ListTasksResponse } from "./gen/taskgate/v1/task_service_pb.js";
import { SerialExecutor } from "./serial_executor.js";

/** An iterator over tasks, which fetches pages as needed. */
export class TaskListing implements AsyncIterableIterator<Task> {
  /** Number of tasks of the parent, regardless of the filter; undefined before the first page. */
  totalSize: number | undefined;
  /** Why the listing omits tasks; known at its end at the latest. */
  incompleteReason: string | undefined;
  private request: ListTasksRequest | undefined;
  private tasks: Task[] = [];
  private readonly executor = new SerialExecutor();

  constructor(
    request: MessageInitShape<typeof ListTasksRequestSchema>,
    private readonly fetch: (request: ListTasksRequest) => Promise<ListTasksResponse>,
  ) {
    this.request = create(ListTasksRequestSchema, request);
  }

  /** Returns itself: it can be iterated once. */
  [Symbol.asyncIterator](): this {
    return this;
  }

  /** Returns the next task. After a rejection the next call requests the same page again. */
  next(): Promise<IteratorResult<Task, undefined>> {
    return this.executor.run(() => this.nextTask());
  }

  private async nextTask(): Promise<IteratorResult<Task, undefined>> {
    for (;;) {
      const task = this.tasks.shift();
      if (task !== undefined) {
        return { done: false, value: task };
      }
      if (this.request === undefined) {
        return { done: true, value: undefined };
      }
      this.add(this.request, await this.fetch(this.request));
    }
  }

  private add(request: ListTasksRequest, page: ListTasksResponse): void {
    this.tasks = page.tasks;
    this.totalSize = page.totalSize ?? this.totalSize;
    this.incompleteReason = page.incompleteReason ?? this.incompleteReason;
    this.request =
      page.nextPageToken === "" ? undefined : { ...request, pageToken: page.nextPageToken };
  }
}
