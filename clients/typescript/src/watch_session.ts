/** A watch across any number of calls. Free of input and output. */

import { clone, create } from "@bufbuild/protobuf";
import type { MessageInitShape } from "@bufbuild/protobuf";
import type { Duration } from "@bufbuild/protobuf/wkt";
import { durationMs, timestampDate } from "@bufbuild/protobuf/wkt";

import { TaskgateError } from "./errors.js";
import type { Heartbeat, WatchEvent } from "./events.js";
import type { Task } from "./gen/taskgate/v1/task_pb.js";
import * as pb from "./gen/taskgate/v1/task_watch_pb.js";
import { SERVER_STOPPING } from "./reconnects.js";

/** What the server takes where the request has none. */
const DEFAULT_HEARTBEAT_MS = 10_000;
/** After how many heartbeats that did not come a connection is given up. */
const SILENT_HEARTBEATS = 3;

/** Milliseconds without any message that mean that a stream with heartbeats is dead. */
export function silenceLimitMs(interval: Duration | undefined): number {
  const asked = interval === undefined ? 0 : durationMs(interval);
  return SILENT_HEARTBEATS * (asked || DEFAULT_HEARTBEAT_MS);
}

/**
 * One watch, however often it has to be called for.
 *
 * A snapshot is handed on when it is whole. A call that breaks within one begins again: the tokens
 * inside of it are of use only to those who keep its first part.
 */
export class WatchSession {
  /** Whether the watch has ended by itself. */
  finished = false;
  /** Where another watch of the same could go on after the events so far; may be empty. */
  resumeToken: Uint8Array;
  /** Milliseconds without any message that mean that the connection is dead. */
  readonly silenceMs: number;
  private readonly request: pb.WatchTasksRequest;
  private snapshot: Task[] | undefined;
  private reason = pb.SnapshotReason.UNSPECIFIED;

  constructor(request: MessageInitShape<typeof pb.WatchTasksRequestSchema>) {
    this.request = create(pb.WatchTasksRequestSchema, request);
    this.resumeToken = this.request.resumeToken;
    this.silenceMs = silenceLimitMs(this.request.heartbeatInterval);
  }

  /** What to send for the next call. */
  next(): pb.WatchTasksRequest {
    this.snapshot = undefined;
    const request = clone(pb.WatchTasksRequestSchema, this.request);
    request.resumeToken = this.resumeToken;
    return request;
  }

  /**
   * The events in one message of the server: one, or none.
   *
   * @throws TaskgateError where the call is of no more use.
   */
  take(response: pb.WatchTasksResponse): WatchEvent[] {
    const events = this.events(response);
    if (response.resumeToken.length > 0 && this.snapshot === undefined) {
      this.resumeToken = response.resumeToken;
    }
    return events;
  }

  /**
   * The server has closed the call and said that all is well.
   *
   * @throws TaskgateError if the watch has not ended; some proxy may have had enough.
   */
  end(): void {
    if (!this.finished) {
      throw new TaskgateError({
        code: "UNAVAILABLE",
        message: "the stream ended before the watch did",
      });
    }
  }

  private events({ event }: pb.WatchTasksResponse): WatchEvent[] {
    switch (event.case) {
      case "snapshotBegin":
        this.snapshot = [];
        this.reason = event.value.reason;
        return [];
      case "snapshotTasks":
        this.snapshot?.push(...event.value.tasks);
        return [];
      case "snapshotEnd":
        return this.wholeSnapshot(event.value);
      case "resumed":
        return [{ event: "resumed" }];
      case "taskChange":
        return change(event.value);
      case "heartbeat":
        return [heartbeat(event.value)];
      case "watchEnd":
        return this.ended(event.value);
      default: // of a newer server
        return [];
    }
  }

  private wholeSnapshot(end: pb.SnapshotEnd): WatchEvent[] {
    const tasks = this.snapshot;
    this.snapshot = undefined;
    if (tasks === undefined) {
      return [];
    }
    const observeTime = end.observeTime === undefined ? undefined : timestampDate(end.observeTime);
    return [{ event: "snapshot", tasks, reason: this.reason, observeTime }];
  }

  private ended(end: pb.WatchEnd): WatchEvent[] {
    if (end.reason === pb.WatchEndReason.SERVER_STOPPING) {
      throw new TaskgateError({
        code: "UNAVAILABLE",
        message: "the server stops",
        reason: SERVER_STOPPING,
        domain: "taskgate",
      });
    }
    this.finished = true;
    const { reason, counts, parentStatus } = end;
    return [{ event: "end", reason, counts, parentStatus }];
  }
}

function change({ task, kind, previousState, sequence }: pb.TaskChange): WatchEvent[] {
  return task === undefined ? [] : [{ event: "change", task, kind, previousState, sequence }];
}

function heartbeat(message: pb.Heartbeat): Heartbeat {
  const { staleness, nextPoll, upstreamError } = message;
  return {
    event: "heartbeat",
    stalenessMs: staleness === undefined ? undefined : durationMs(staleness),
    nextPollMs: nextPoll === undefined ? undefined : durationMs(nextPoll),
    upstreamError: upstreamError === undefined ? undefined : TaskgateError.ofStatus(upstreamError),
  };
}
