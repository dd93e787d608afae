/** A task's log across any number of calls. Free of input and output. */

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
 * One reading of a log.
 *
 * A log that is followed goes on with the next attempt when the task is retried. After a break it
 * goes on with the same attempt first, so that no line of it is missed, then with those after it,
 * from the moment of the last line on. CloudWatch Logs tells time to the millisecond only, so the
 * lines of that moment come again; as many as were told are left out.
 */
export class LogSession {
  /** Whether all has been told. */
  finished = false;
  /** Where the log is, once the server has said so; another one with each attempt. */
  source: LogSource | undefined;
  private readonly request: StreamTaskLogsRequest;
  private last: LogLine | undefined;
  private told = 0;
  private toldAtLast = 0;
  private skip = 0;
  private sameAttempt = true;
  private goesOn = false;
  /** Whether the present call has had any: older servers send none. */
  private hasHeartbeats = false;

  constructor(request: MessageInitShape<typeof StreamTaskLogsRequestSchema>) {
    this.request = create(StreamTaskLogsRequestSchema, request);
  }

  /**
   * Milliseconds without any message that mean that the connection is dead. A log may be silent for
   * as long as its task computes, unless the server sends heartbeats.
   */
  get silenceMs(): number | undefined {
    return this.hasHeartbeats ? silenceLimitMs(this.request.heartbeatInterval) : undefined;
  }

  /** What to send for the next call. */
  next(): StreamTaskLogsRequest {
    const request = clone(StreamTaskLogsRequestSchema, this.request);
    const anyAttempt = request.follow && request.attempt === undefined;
    if (this.sameAttempt && this.source !== undefined && this.source.attempt !== 0) {
      request.attempt = this.source.attempt; // a retry meanwhile is another log
      this.goesOn = anyAttempt;
    }
    this.sameAttempt = true;
    if (this.last?.time !== undefined) {
      request.since = this.last.time;
      request.tail = 0;
      if (request.limit !== 0) {
        request.limit += this.toldAtLast - this.told;
      }
    }
    this.skip = this.toldAtLast;
    this.hasHeartbeats = false;
    return request;
  }

  /** The new lines in one message of the server. */
  take({ part }: StreamTaskLogsResponse): LogLine[] {
    if (part.case === "source") {
      this.begin(part.value);
    }
    this.hasHeartbeats ||= part.case === "heartbeat";
    const lines: LogLine[] = [];
    for (const line of part.case === "lines" ? part.value.lines : []) {
      if (!this.finished && this.isNew(line)) {
        lines.push(line);
        this.finished = this.told === this.request.limit; // 0 is none, and never reached
      }
    }
    return lines;
  }

  /** The server has closed the call: the log is at its end, or an attempt's after a break. */
  end(): void {
    this.finished ||= !this.goesOn;
    this.goesOn = this.sameAttempt = false;
  }

  /** Another attempt's lines are none of those that were told. */
  private begin(source: LogSource): void {
    if (this.source !== undefined && source.attempt !== this.source.attempt) {
      this.last = undefined;
      this.toldAtLast = this.skip = 0;
    }
    this.source = source;
  }

  private isNew(line: LogLine): boolean {
    const before = this.last?.time;
    const sameMoment =
      before !== undefined && line.time !== undefined && equals(TimestampSchema, line.time, before);
    if (sameMoment && this.skip > 0) {
      this.skip -= 1;
      return false;
    }
    this.skip = 0;
    this.toldAtLast = sameMoment ? this.toldAtLast + 1 : 1;
    this.told += 1;
    this.last = line;
    return true;
  }
}
