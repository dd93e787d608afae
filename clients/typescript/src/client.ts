/** The client: unified tasks, and every operation of the AWS services. */

import type { DescService, MessageInitShape, MessageShape } from "@bufbuild/protobuf";

import { AwsServices } from "./aws_services.js";
import type { CallOptions, Channel } from "./channel.js";
import { TaskgateError } from "./errors.js";
import type { WatchEvent } from "./events.js";
import { Health, HealthCheckResponse_ServingStatus } from "./gen/grpc/health/v1/health_pb.js";
import { TaskService } from "./gen/taskgate/v1/task_service_pb.js";
import type { StreamTaskLogsResponse, LogLine, LogSource } from "./gen/taskgate/v1/task_log_pb.js";
import type { Task } from "./gen/taskgate/v1/task_pb.js";
import type { WatchTasksResponse } from "./gen/taskgate/v1/task_watch_pb.js";
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

/** The request of a method of TaskService, as an object with some of the message's fields. */
export type Request<Name extends keyof Methods> = MessageInitShape<Methods[Name]["input"]>;

/** The response of a method of TaskService. */
export type Response<Name extends keyof Methods> = MessageShape<Methods[Name]["output"]>;

/** Maximum number of names in a request. */
const MAX_NAMES = 1_000;

/** An iterator over the events of a watch. */
export type Watch = ResumingStream<WatchTasksResponse, WatchEvent> & {
  /** Where another watch can resume after the events so far; may be empty. */
  readonly resumeToken: Uint8Array;
};

/** An iterator over the lines of a log. */
export type TaskLog = ResumingStream<StreamTaskLogsResponse, LogLine> & {
  /** Where the log is, and of which attempt, once the server has sent it. */
  readonly source: LogSource | undefined;
};

/** A connection to Taskgate. Its methods reject with a {@link TaskgateError}. Close it after use. */
export class Client extends AwsServices {
  private readonly tasks: ServiceClient<typeof TaskService>;

  constructor(
    private readonly channel: Channel,
    private readonly timing: Timing,
  ) {
    super(channel);
    this.tasks = serviceClient(TaskService, channel);
  }

  /**
   * Returns the methods of another gRPC service of the server, such as that of a plug-in. Its calls
   * have the connection, token, target and default timeout of this client.
   */
  service<Service extends DescService>(service: Service): ServiceClient<Service> {
    return serviceClient(service, this.channel);
  }

  /** Returns a task of either AWS service. */
  async getTask(request: Request<"getTask">, options?: CallOptions): Promise<Task> {
    return taskOf(await this.tasks.getTask(request, options));
  }

  /** Returns any number of tasks: for each name, in order, the task or its error. */
  async batchGetTasks(
    request: Request<"batchGetTasks">,
    options?: CallOptions,
  ): Promise<(Task | TaskgateError)[]> {
    const names = request.names ?? [];
    const results: (Task | TaskgateError)[] = [];
    for (let start = 0; start < names.length; start += MAX_NAMES) {
      const part = { ...request, names: names.slice(start, start + MAX_NAMES) };
      for (const { result } of (await this.tasks.batchGetTasks(part, options)).results) {
        results.push(
          result.case === "task"
            ? result.value
            : result.case === "error"
              ? TaskgateError.ofStatus(result.value)
              : new TaskgateError({
                  code: "UNKNOWN",
                  message: "unknown kind of result, from a newer server",
                }),
        );
      }
    }
    return results;
  }

  /** Lists the tasks of a queue, job, step or run. The iterator fetches pages as needed. */
  listTasks(request: Request<"listTasks">, options?: CallOptions): TaskListing {
    return new TaskListing(request, (page) => this.tasks.listTasks(page, options));
  }

  /** Counts the tasks of a job, step or run by state. */
  summarizeTasks(
    request: Request<"summarizeTasks">,
    options?: CallOptions,
  ): Promise<Response<"summarizeTasks">> {
    return this.tasks.summarizeTasks(request, options);
  }

  /**
   * Watches the tasks of a parent, or the named tasks: a snapshot first, then every change.
   *
   * When the connection breaks, the server restarts, or three heartbeats are missed, the client
   * reconnects and resumes the watch: after `reconnecting` comes `resumed`, or another `snapshot`.
   */
  watchTasks(request: Request<"watchTasks">, options: StreamOptions = {}): Watch {
    const session = new WatchSession(request);
    const method = TaskService.method.watchTasks;
    const stream = new ResumingStream<WatchTasksResponse, WatchEvent>(
      (timeoutMs) => this.channel.stream(method, session.next(), timeoutMs),
      session,
      (error, delayMs, failures) => ({ event: "reconnecting", error, delayMs, failures }),
      this.timing,
      (listener, signal) => this.channel.onAbort(listener, signal),
      options,
    );
    return Object.defineProperty(stream, "resumeToken", {
      get: () => session.resumeToken,
    }) as Watch;
  }

  /**
   * Waits until a task is in one of the states, or has settled if there are none, also across
   * restarts of the server. The response is also `done`, with a `parentStatus`, if the task can never
   * settle because its run or job has ended. It is not `done` after a timeout.
   */
  waitTask(request: Request<"waitTask">, options: CallOptions = {}): Promise<Response<"waitTask">> {
    return waitForTask(this.channel, request, options, this.timing);
  }

  /** Cancels a task of Deadline Cloud. With a request id the call is idempotent. */
  async cancelTask(request: Request<"cancelTask">, options?: CallOptions): Promise<Task> {
    return taskOf(await this.tasks.cancelTask(request, options));
  }

  /** Queues a task of Deadline Cloud again. */
  async retryTask(request: Request<"retryTask">, options?: CallOptions): Promise<Task> {
    return taskOf(await this.tasks.retryTask(request, options));
  }

  /** Suspends a task of Deadline Cloud. */
  async suspendTask(request: Request<"suspendTask">, options?: CallOptions): Promise<Task> {
    return taskOf(await this.tasks.suspendTask(request, options));
  }

  /** Cancels, retries and suspends up to 1,000 tasks; returns each error, or undefined, by name. */
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
   * Reads the log of a task; with `follow` it continues until the task has settled. When the
   * connection breaks, or three heartbeats are missed, the client calls again and continues.
   */
  streamTaskLogs(request: Request<"streamTaskLogs">, options: StreamOptions = {}): TaskLog {
    const session = new LogSession(request);
    const method = TaskService.method.streamTaskLogs;
    const stream = new ResumingStream<StreamTaskLogsResponse, LogLine>(
      (timeoutMs) => this.channel.stream(method, session.next(), timeoutMs),
      session,
      () => undefined,
      this.timing,
      (listener, signal) => this.channel.onAbort(listener, signal),
      options,
    );
    return Object.defineProperty(stream, "source", { get: () => session.source }) as TaskLog;
  }

  /** Returns the server's version, and which AWS services it can call now. */
  getServerInfo(options?: CallOptions): Promise<Response<"getServerInfo">> {
    return this.tasks.getServerInfo({}, options);
  }

  /** Returns whether the server, or one of its gRPC services, is serving. */
  async isServing(service = "", options?: CallOptions): Promise<boolean> {
    const { status } = await this.channel.unary(Health.method.check, { service }, options);
    return status === HealthCheckResponse_ServingStatus.SERVING;
  }

  /**
   * Closes the connection and ends its calls: they reject with CANCELLED, and watches and logs
   * end.
   */
  close(): void {
    this.channel.close();
  }
}

/** Returns the task in a response. A response without one is a bug of the server. */
function taskOf({ task }: { task?: Task | undefined }): Task {
  if (task === undefined) {
    throw new TaskgateError({ code: "INTERNAL", message: "the response has no task" });
  }
  return task;
}
