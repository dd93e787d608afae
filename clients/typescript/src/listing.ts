/** All tasks of a parent, page after page. */

import { create } from "@bufbuild/protobuf";
import type { MessageInitShape } from "@bufbuild/protobuf";

import type { Task } from "./gen/taskgate/v1/task_pb.js";
import { ListTasksRequestSchema } from "./gen/taskgate/v1/task_service_pb.js";
import type { ListTasksRequest, ListTasksResponse } from "./gen/taskgate/v1/task_service_pb.js";
import { Turns } from "./turns.js";

/** Goes through tasks, and asks for a page when it has none left. */
export class TaskListing implements AsyncIterableIterator<Task> {
  /** How many tasks the parent has, whatever the filter, where AWS tells; known after a page. */
  totalSize: number | undefined;
  /** Why there are tasks that are not listed, once it is known: at the latest at the end. */
  incompleteReason: string | undefined;
  private request: ListTasksRequest | undefined;
  private tasks: Task[] = [];
  private readonly turns = new Turns();

  constructor(
    request: MessageInitShape<typeof ListTasksRequestSchema>,
    private readonly ask: (request: ListTasksRequest) => Promise<ListTasksResponse>,
  ) {
    this.request = create(ListTasksRequestSchema, request);
  }

  /** Itself: it can be gone through once. */
  [Symbol.asyncIterator](): this {
    return this;
  }

  /** The next task. If it rejects, asking again asks for the same page. */
  next(): Promise<IteratorResult<Task, undefined>> {
    return this.turns.take(() => this.nextTask());
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
      this.take(this.request, await this.ask(this.request));
    }
  }

  private take(request: ListTasksRequest, page: ListTasksResponse): void {
    this.tasks = page.tasks;
    this.totalSize = page.totalSize ?? this.totalSize;
    this.incompleteReason = page.incompleteReason ?? this.incompleteReason;
    this.request =
      page.nextPageToken === "" ? undefined : { ...request, pageToken: page.nextPageToken };
  }
}
