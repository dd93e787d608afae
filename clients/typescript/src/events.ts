/** What a watch tells, as values to switch on. */

import type { TaskgateError } from "./errors.js";
import type { ParentStatus, Task, TaskCounts, TaskState } from "./gen/taskgate/v1/task_pb.js";
import type {
  SnapshotReason,
  TaskChangeKind,
  WatchEndReason,
} from "./gen/taskgate/v1/task_watch_pb.js";

/** All the tasks there are. Whatever the watch told before is void. */
export interface Snapshot {
  /** Which event it is. */
  readonly event: "snapshot";
  /** In the order in which the server told them. */
  readonly tasks: readonly Task[];
  /** Why there is one: the watch is new, or the server could not go on where it was. */
  readonly reason: SnapshotReason;
  /** When AWS gave the oldest answer of which the snapshot was made. */
  readonly observeTime: Date | undefined;
}

/** A task came, changed or went. */
export interface TaskChange {
  /** Which event it is. */
  readonly event: "change";
  /** As it now is; as it last was, if it went. */
  readonly task: Task;
  /** A number that is no member of the enum is one that a newer server knows. */
  readonly kind: TaskChangeKind;
  /** The state in which the server saw it before; unspecified for one that was added. */
  readonly previousState: TaskState;
  /** Grows with each change of the same parent. Gaps mean nothing. */
  readonly sequence: bigint;
}

/** Nothing has happened for a while. */
export interface Heartbeat {
  /** Which event it is. */
  readonly event: "heartbeat";
  /** Milliseconds since AWS was last asked successfully about everything that is watched. */
  readonly stalenessMs: number | undefined;
  /** Milliseconds until AWS is asked again, if all goes well. */
  readonly nextPollMs: number | undefined;
  /** Why AWS could not be asked lately. */
  readonly upstreamError: TaskgateError | undefined;
}

/** The server was lost; it is called again after the delay, and the watch goes on. */
export interface Reconnecting {
  /** Which event it is. */
  readonly event: "reconnecting";
  /** How it was lost. */
  readonly error: TaskgateError;
  /** Milliseconds until it is called again. */
  readonly delayMs: number;
  /** How many there have been since the server was last heard, this one included. */
  readonly failures: number;
}

/** The watch goes on where it was: nothing was missed, and no snapshot comes. */
export interface Resumed {
  /** Which event it is. */
  readonly event: "resumed";
}

/** The last event: the watch has ended by itself. */
export interface WatchEnd {
  /** Which event it is. */
  readonly event: "end";
  /** Nothing changes until a caller acts, or AWS has no tasks any more; or a newer server's number. */
  readonly reason: WatchEndReason;
  /** The tasks as a whole, at the end. */
  readonly counts: TaskCounts | undefined;
  /**
   * The state of the watched parent itself, with the reason if it failed. For a watch of named tasks
   * that of an ended parent whose tasks can never settle. Older servers send none.
   */
  readonly parentStatus: ParentStatus | undefined;
}

/** What a watch tells. */
export type WatchEvent = Snapshot | TaskChange | Heartbeat | Reconnecting | Resumed | WatchEnd;
