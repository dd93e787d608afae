/** The state of a watch over several calls. It does no input or output. */

import { clone, create } from "@bufbuild/protobuf";
import type { MessageInitShape } from "@bufbuild/protobuf";
import type { Duration } from "@bufbuild/protobuf/wkt";
import { durationMs, timestampDate } from "@bufbuild/protobuf/wkt";

import { TaskgateError } from "./errors.js";
import type { Heartbeat, WatchEvent } from "./events.js";
import type { Task } from "./gen/taskgate/v1/task_pb.js";
import * as pb from "./gen/taskgate/v1/task_watch_pb.js";
import { SERVER_STOPPING } from "./reconnects.js";

/** The server's interval for requests without one. */
const DEFAULT_HEARTBEAT_MS = 10_000;
/** Number of missed heartbeats after which a connection counts as dead. */
const MAX_MISSED_HEARTBEATS = 3;

/** Returns the milliseconds without a message after which a stream with heartbeats is dead. */
export function silenceLimitMs(interval: Duration | undefined): number {
  const requested = interval === undefined ? 0 : durationMs(interval);
  return MAX_MISSED_HEARTBEATS * (requested || DEFAULT_HEARTBEAT_MS);
}

/**
 * Requests for the calls of one watch, and the events in their responses.
 *
 * The session returns a snapshot only when it is complete. If a call breaks within one, the next call
 * starts over: a resume token from within a snapshot is valid only for a client that keeps the part it
 * has received.
 */
export class WatchSession {
  /** Whether the server has ended the watch. */
  finished = false;
  /** Where another watch can resume after the events so far; may be empty. */
  resumeToken: Uint8Array;
  /** Milliseconds without a message after which the connection counts as dead. */
  readonly silenceMs: number;
  private readonly request: pb.WatchTasksRequest;
  private snapshot: Task[] | undefined;
  private reason = pb.SnapshotReason.UNSPECIFIED;

  constructor(request: MessageInitShape<typeof pb.WatchTasksRequestSchema>) {
    this.request = create(pb.WatchTasksRequestSchema, request);
    this.resumeToken = this.request.resumeToken;
    this.silenceMs = silenceLimitMs(this.request.heartbeatInterval);
  }

  /** Returns the request for the next call. */
  next(): pb.WatchTasksRequest {
    this.snapshot = undefined;
    const request = clone(pb.WatchTasksRequestSchema, this.request);
    request.resumeToken = this.resumeToken;
    return request;
  }

  /**
   * Returns the events in a response: one, or none.
   *
   * @throws TaskgateError if the server is shutting down; call again.
   */
  take(response: pb.WatchTasksResponse): WatchEvent[] {
    const events = this.events(response);
    if (response.resumeToken.length > 0 && this.snapshot === undefined) {
      this.resumeToken = response.resumeToken;
    }
    return events;
  }

  /**
   * Handles a call that ended with the status OK.
   *
   * @throws TaskgateError if the watch is not complete, since then a proxy ended the call.
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
        return this.completeSnapshot(event.value);
      case "resumed":
        return [{ event: "resumed" }];
      case "taskChange":
        return change(event.value);
      case "heartbeat":
        return [heartbeat(event.value)];
      case "watchEnd":
        return this.ended(event.value);
      default: // an event of a newer server
        return [];
    }
  }

  private completeSnapshot(end: pb.SnapshotEnd): WatchEvent[] {
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
        message: "the server is shutting down",
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
