/** The client: one channel, the unified tasks, and every operation of both AWS services. */

import type { MessageInitShape, MessageShape } from "@bufbuild/protobuf";

import type { CallOptions, Caller } from "./caller.js";
import { TaskgateError } from "./errors.js";
import type { WatchEvent } from "./events.js";
import { DeadlineService } from "./gen/taskgate/deadline/v1/deadline_pb.js";
import { OmicsService } from "./gen/taskgate/omics/v1/omics_pb.js";
import { TaskService } from "./gen/taskgate/v1/task_service_pb.js";
import type { StreamTaskLogsResponse, LogLine, LogSource } from "./gen/taskgate/v1/task_log_pb.js";
import type { Task } from "./gen/taskgate/v1/task_pb.js";
import type { WatchTasksResponse } from "./gen/taskgate/v1/task_watch_pb.js";
import { checkHealth } from "./health.js";
import { TaskListing } from "./listing.js";
import { LogSession } from "./log_session.js";
import type { Timing } from "./reconnects.js";
import { serviceClient } from "./services.js";
import type { ServiceClient } from "./services.js";
import { ResumingStream } from "./stream.js";
import type { StreamOptions } from "./stream.js";
import { waitForTask } from "./wait.js";
import { WatchSession } from "./watch_session.js";

type Methods = typeof TaskService.method;

/** What a method of TaskService is asked, as an object with some of the message's fields. */
export type Request<Name extends keyof Methods> = MessageInitShape<Methods[Name]["input"]>;

/** What a method of TaskService answers. */
export type Answer<Name extends keyof Methods> = MessageShape<Methods[Name]["output"]>;

/** How many tasks one request may name. */
const MOST_NAMES = 1_000;

/** The events of a watch. */
export type Watch = ResumingStream<WatchTasksResponse, WatchEvent> & {
  /** Where another watch of the same could go on after the events so far; may be empty. */
  readonly resumeToken: Uint8Array;
};

/** The lines of a log. */
export type TaskLog = ResumingStream<StreamTaskLogsResponse, LogLine> & {
  /** Where the log is and which attempt's it is, once the server has said so. */
  readonly source: LogSource | undefined;
};

/** A connection to Taskgate. Methods reject with a {@link TaskgateError}. Close it in the end. */
export class Client {
  /** Every operation of AWS Deadline Cloud. */
  readonly deadline: ServiceClient<typeof DeadlineService>;
  /** Every operation of AWS HealthOmics. */
  readonly omics: ServiceClient<typeof OmicsService>;
  private readonly tasks: ServiceClient<typeof TaskService>;

  constructor(
    private readonly caller: Caller,
    private readonly timing: Timing,
  ) {
    this.deadline = serviceClient(DeadlineService, caller);
    this.omics = serviceClient(OmicsService, caller);
    this.tasks = serviceClient(TaskService, caller);
  }

  /** One task of either AWS service. */
  async getTask(request: Request<"getTask">, options?: CallOptions): Promise<Task> {
    return taskOf(await this.tasks.getTask(request, options));
  }

  /** Any number of tasks: for each name, in their order, the task, or its error. */
  async batchGetTasks(
    request: Request<"batchGetTasks">,
    options?: CallOptions,
  ): Promise<(Task | TaskgateError)[]> {
    const names = request.names ?? [];
    const results: (Task | TaskgateError)[] = [];
    for (let start = 0; start < names.length; start += MOST_NAMES) {
      const part = { ...request, names: names.slice(start, start + MOST_NAMES) };
      for (const { result } of (await this.tasks.batchGetTasks(part, options)).results) {
        results.push(
          result.case === "task"
            ? result.value
            : result.case === "error"
              ? TaskgateError.ofStatus(result.value)
              : new TaskgateError({ code: "UNKNOWN", message: "a result of a newer server" }),
        );
      }
    }
    return results;
  }

  /** The tasks of a queue, a job, a step or a run; asks for page after page by itself. */
  listTasks(request: Request<"listTasks">, options?: CallOptions): TaskListing {
    return new TaskListing(request, (page) => this.tasks.listTasks(page, options));
  }

  /** How many tasks of a job, a step or a run are in which state. */
  summarizeTasks(
    request: Request<"summarizeTasks">,
    options?: CallOptions,
  ): Promise<Answer<"summarizeTasks">> {
    return this.tasks.summarizeTasks(request, options);
  }

  /**
   * The tasks of a parent, or those named, and every change of them.
   *
   * When the connection breaks, the server is started anew, or nothing is heard for three heartbeats,
   * the watch goes on by itself where it was: an event `reconnecting` tells of it, then `resumed`, or
   * a new `snapshot`.
   */
  watchTasks(request: Request<"watchTasks">, options: StreamOptions = {}): Watch {
    const session = new WatchSession(request);
    const method = TaskService.method.watchTasks;
    const stream = new ResumingStream<WatchTasksResponse, WatchEvent>(
      (timeoutMs) => this.caller.stream(method, session.next(), timeoutMs),
      session,
      (error, delayMs, failures) => ({ event: "reconnecting", error, delayMs, failures }),
      this.timing,
      (act, signal) => this.caller.whenGivenUp(act, signal),
      options,
    );
    return Object.defineProperty(stream, "resumeToken", {
      get: () => session.resumeToken,
    }) as Watch;
  }

  /**
   * Waits until a task is in one of the states, or has settled if none are given, also across
   * restarts of the server. The response is `done`, with a `parentStatus`, too, if the task can never
   * settle because its run or job has ended. It is not `done` when the time is up.
   */
  waitTask(request: Request<"waitTask">, options: CallOptions = {}): Promise<Answer<"waitTask">> {
    return waitForTask(this.caller, request, options, this.timing);
  }

  /** Ends a task of Deadline Cloud. With a request id it is safe to call again. */
  async cancelTask(request: Request<"cancelTask">, options?: CallOptions): Promise<Task> {
    return taskOf(await this.tasks.cancelTask(request, options));
  }

  /** Queues a task of Deadline Cloud again. */
  async retryTask(request: Request<"retryTask">, options?: CallOptions): Promise<Task> {
    return taskOf(await this.tasks.retryTask(request, options));
  }

  /** Holds a task of Deadline Cloud. */
  async suspendTask(request: Request<"suspendTask">, options?: CallOptions): Promise<Task> {
    return taskOf(await this.tasks.suspendTask(request, options));
  }

  /** Cancels, retries and suspends up to 1,000 tasks: by name the error of each, or undefined. */
  async batchUpdateTasks(
    request: Request<"batchUpdateTasks">,
    options?: CallOptions,
  ): Promise<Map<string, TaskgateError | undefined>> {
    const { results } = await this.tasks.batchUpdateTasks(request, options);
    return new Map(
      results.map(({ name, error }) => [name, error && TaskgateError.ofStatus(error)]),
    );
  }

  /**
   * What a task has written to its log, and with `follow` what it writes later. When the connection
   * breaks, or three heartbeats of the server do not come, it calls again and continues.
   */
  streamTaskLogs(request: Request<"streamTaskLogs">, options: StreamOptions = {}): TaskLog {
    const session = new LogSession(request);
    const method = TaskService.method.streamTaskLogs;
    const stream = new ResumingStream<StreamTaskLogsResponse, LogLine>(
      (timeoutMs) => this.caller.stream(method, session.next(), timeoutMs),
      session,
      () => undefined,
      this.timing,
      (act, signal) => this.caller.whenGivenUp(act, signal),
      options,
    );
    return Object.defineProperty(stream, "source", { get: () => session.source }) as TaskLog;
  }

  /** What the server is and which AWS services it can serve now. */
  getServerInfo(options?: CallOptions): Promise<Answer<"getServerInfo">> {
    return this.tasks.getServerInfo({}, options);
  }

  /** Whether a gRPC service of the server, or the server as a whole, can be used now. */
  isServing(service = "", options?: CallOptions): Promise<boolean> {
    return checkHealth(this.caller, service, options);
  }

  /**
   * Ends the connection and the calls in flight on it: they reject with CANCELLED, and watches and
   * logs end.
   */
  close(): void {
    this.caller.close();
  }
}

/** The task in an answer. An answer without one is a server's fault. */
function taskOf({ task }: { task?: Task | undefined }): Task {
  if (task === undefined) {
    throw new TaskgateError({ code: "INTERNAL", message: "the answer has no task" });
  }
  return task;
}
