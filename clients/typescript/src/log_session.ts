/** The state of a log that is read over several calls. It does no input or output. */

import { clone, create, equals } from "@bufbuild/protobuf";
import type { MessageInitShape } from "@bufbuild/protobuf";
import { TimestampSchema } from "@bufbuild/protobuf/wkt";

import { StreamTaskLogsRequestSchema } from "./gen/taskgate/v1/task_log_pb.js";
import type {
  LogLine,
  LogSource,
  StreamTaskLogsRequest,
  StreamTaskLogsResponse,
} from "./gen/taskgate/v1/task_log_pb.js";
import { silenceLimitMs } from "./watch_session.js";

/**
 * Requests for the calls of one log, and the new lines in their responses.
 *
 * A followed log continues with the next attempt when the task is retried. After a break the session
 * first reads the rest of the interrupted attempt, so that it misses no line, and then later
 * attempts. It requests the lines since the time of the last one. As CloudWatch Logs has a resolution
 * of one millisecond, lines of that time come again; the session skips as many as it has returned.
 */
export class LogSession {
  /** Whether all lines were returned. */
  finished = false;
  /** Where the log is, once the server has sent it; changes with each attempt. */
  source: LogSource | undefined;
  private readonly request: StreamTaskLogsRequest;
  private last: LogLine | undefined;
  private returned = 0;
  private returnedAtLastTime = 0;
  private skip = 0;
  private resumeAttempt = true;
  private laterAttemptsFollow = false;
  /** Whether the current call has sent one; older servers send none. */
  private hasHeartbeats = false;

  constructor(request: MessageInitShape<typeof StreamTaskLogsRequestSchema>) {
    this.request = create(StreamTaskLogsRequestSchema, request);
  }

  /**
   * Milliseconds without a message after which the connection counts as dead. Without heartbeats a
   * log may be silent for as long as its task computes.
   */
  get silenceMs(): number | undefined {
    return this.hasHeartbeats ? silenceLimitMs(this.request.heartbeatInterval) : undefined;
  }

  /** Returns the request for the next call. */
  next(): StreamTaskLogsRequest {
    const request = clone(StreamTaskLogsRequestSchema, this.request);
    const anyAttempt = request.follow && request.attempt === undefined;
    if (this.resumeAttempt && this.source !== undefined && this.source.attempt !== 0) {
      request.attempt = this.source.attempt; // after a retry the latest would be another log
      this.laterAttemptsFollow = anyAttempt;
    }
    this.resumeAttempt = true;
    if (this.last?.time !== undefined) {
      request.since = this.last.time;
      request.tail = 0;
      if (request.limit !== 0) {
        request.limit += this.returnedAtLastTime - this.returned;
      }
    }
    this.skip = this.returnedAtLastTime;
    this.hasHeartbeats = false;
    return request;
  }

  /** Returns the new lines in a response. */
  take({ part }: StreamTaskLogsResponse): LogLine[] {
    if (part.case === "source") {
      this.setSource(part.value);
    }
    this.hasHeartbeats ||= part.case === "heartbeat";
    const lines: LogLine[] = [];
    for (const line of part.case === "lines" ? part.value.lines : []) {
      if (!this.finished && this.isNew(line)) {
        lines.push(line);
        this.finished = this.returned === this.request.limit; // 0 for none: never equal
      }
    }
    return lines;
  }

  /** Handles the end of a call: of the whole log, or of an attempt that was resumed. */
  end(): void {
    this.finished ||= !this.laterAttemptsFollow;
    this.laterAttemptsFollow = this.resumeAttempt = false;
  }

  /** Sets the source; with another attempt there are no repeated lines to skip. */
  private setSource(source: LogSource): void {
    if (this.source !== undefined && source.attempt !== this.source.attempt) {
      this.last = undefined;
      this.returnedAtLastTime = this.skip = 0;
    }
    this.source = source;
  }

  private isNew(line: LogLine): boolean {
    const before = this.last?.time;
    const sameTime =
      before !== undefined && line.time !== undefined && equals(TimestampSchema, line.time, before);
    if (sameTime && this.skip > 0) {
      this.skip -= 1;
      return false;
    }
    this.skip = 0;
    this.returnedAtLastTime = sameTime ? this.returnedAtLastTime + 1 : 1;
    this.returned += 1;
    this.last = line;
    return true;
  }
}
