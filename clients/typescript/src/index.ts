/**
 * The client of Taskgate, one gRPC service in front of AWS Deadline Cloud and AWS HealthOmics.
 *
 * Enum values and union members that are newer than this package are not errors: an enum is a number,
 * and a union has no case.
 *
 * @packageDocumentation
 */

export { durationFromMs, timestampFromDate } from "@bufbuild/protobuf/wkt";

export { DEFAULT_TIMEOUT_MS } from "./channel.js";
export type { CallOptions } from "./channel.js";
export { Client } from "./client.js";
export type { Request, Response, TaskLog, Watch } from "./client.js";
export { connect } from "./connect.js";
export type { ConnectOptions } from "./connect.js";
export { TaskgateError } from "./errors.js";
export type { Code, ErrorDetails, Violation } from "./errors.js";
export type {
  Heartbeat,
  Reconnecting,
  Resumed,
  Snapshot,
  TaskChange,
  WatchEnd,
  WatchEvent,
} from "./events.js";
export { TaskState, TaskView } from "./gen/taskgate/v1/task_pb.js";
export type { ParentStatus, Task, TaskCounts, TaskParameter } from "./gen/taskgate/v1/task_pb.js";
export type { LogLine, LogSource } from "./gen/taskgate/v1/task_log_pb.js";
export { TaskAction } from "./gen/taskgate/v1/task_update_pb.js";
export { SnapshotReason, TaskChangeKind, WatchEndReason } from "./gen/taskgate/v1/task_watch_pb.js";
export type { TaskListing } from "./listing.js";
export { formatName, parseParentName, parseTaskName } from "./names.js";
export type { Name, NameKind, ParentName, TaskName } from "./names.js";
export type { Timing } from "./reconnects.js";
export type { Tls, Token } from "./security.js";
export type { ServiceClient } from "./services.js";
export type { StreamOptions } from "./stream.js";
