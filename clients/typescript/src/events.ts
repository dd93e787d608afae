/** The events of a watch, as a discriminated union. */

import type { TaskgateError } from "./errors.js";
import type { ParentStatus, Task, TaskCounts, TaskState } from "./gen/taskgate/v1/task_pb.js";
import type {
  SnapshotReason,
  TaskChangeKind,
  WatchEndReason,
} from "./gen/taskgate/v1/task_watch_pb.js";

/** All watched tasks. It replaces everything that earlier events reported. */
export interface Snapshot {
  /** The kind of the event. */
  readonly event: "snapshot";
  /** In the order of the server. */
  readonly tasks: readonly Task[];
  /** Why it was sent: the watch is new, or the server could not resume it. */
  readonly reason: SnapshotReason;
  /** When AWS returned the oldest response that is part of it. */
  readonly observeTime: Date | undefined;
}

/** A task was added, updated or removed. */
export interface TaskChange {
  /** The kind of the event. */
  readonly event: "change";
  /** The current task; the last known one if it was removed. */
  readonly task: Task;
  /** A newer server may send a number that is not a member of the enum. */
  readonly kind: TaskChangeKind;
  /** The state before; unspecified for an added task. */
  readonly previousState: TaskState;
  /** Increases with each change of the same parent. Gaps have no meaning. */
  readonly sequence: bigint;
}

/** There was no other event for a while. */
export interface Heartbeat {
  /** The kind of the event. */
  readonly event: "heartbeat";
  /** Milliseconds since AWS last returned the state of everything that is watched. */
  readonly stalenessMs: number | undefined;
  /** Milliseconds until the next poll of AWS. */
  readonly nextPollMs: number | undefined;
  /** Why the latest poll of AWS failed. */
  readonly upstreamError: TaskgateError | undefined;
}

/** The call broke. The client calls again after the delay and resumes the watch. */
export interface Reconnecting {
  /** The kind of the event. */
  readonly event: "reconnecting";
  /** The error of the call. */
  readonly error: TaskgateError;
  /** Milliseconds until the next call. */
  readonly delayMs: number;
  /** Number of failures since the latest message of the server, with this one. */
  readonly failures: number;
}

/** The watch resumed without a snapshot; no change was missed. */
export interface Resumed {
  /** The kind of the event. */
  readonly event: "resumed";
}

/** The last event: the watch is complete. */
export interface WatchEnd {
  /** The kind of the event. */
  readonly event: "end";
  /** SETTLED or GONE, or a number from a newer server. */
  readonly reason: WatchEndReason;
  /** The watched tasks by state. */
  readonly counts: TaskCounts | undefined;
  /**
   * The state of the watched parent itself, with the reason if it failed. For a watch of named tasks
   * that of an ended parent whose tasks can never settle. Older servers send none.
   */
  readonly parentStatus: ParentStatus | undefined;
}

/** An event of a watch. */
export type WatchEvent = Snapshot | TaskChange | Heartbeat | Reconnecting | Resumed | WatchEnd;
