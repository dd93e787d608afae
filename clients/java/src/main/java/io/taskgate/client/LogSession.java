package io.taskgate.client;

import io.taskgate.v1.LogLine;
import io.taskgate.v1.LogSource;
import io.taskgate.v1.StreamTaskLogsRequest;
import io.taskgate.v1.StreamTaskLogsResponse;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import org.jspecify.annotations.Nullable;

/**
 * One reading of a log.
 *
 * <p>A log that is followed goes on with the next attempt when the task is retried. After a break
 * it goes on with the same attempt first, so that no line of it is missed, then with those after
 * it, from the moment of the last line on. CloudWatch Logs tells time to the millisecond only, so
 * the lines of that moment come again; as many as were told are left out.
 */
final class LogSession implements Session<StreamTaskLogsResponse, LogLine> {
  private final StreamTaskLogsRequest request;
  private @Nullable LogSource source;
  private @Nullable LogLine last;
  private int told;
  private int toldAtLast;
  private int skip;
  private boolean sameAttempt = true;
  private boolean goesOn;
  private boolean finished;

  /** Whether the present call has had any: older servers send none. */
  private boolean hasHeartbeats;

  LogSession(StreamTaskLogsRequest request) {
    this.request = request;
  }

  Optional<LogSource> source() {
    return Optional.ofNullable(source);
  }

  /** What to send for the next call. */
  StreamTaskLogsRequest next() {
    StreamTaskLogsRequest.Builder next = request.toBuilder();
    boolean anyAttempt = request.getFollow() && !request.hasAttempt();
    if (sameAttempt && source != null && source.getAttempt() != 0) {
      next.setAttempt(source.getAttempt()); // a retry meanwhile is another log
      goesOn = anyAttempt;
    }
    sameAttempt = true;
    if (last != null) {
      next.setSince(last.getTime()).setTail(0);
      if (request.getLimit() != 0) {
        next.setLimit(request.getLimit() + toldAtLast - told);
      }
    }
    skip = toldAtLast;
    hasHeartbeats = false;
    return next.build();
  }

  @Override
  public List<LogLine> take(StreamTaskLogsResponse response) {
    if (response.hasSource()) {
      begin(response.getSource());
    }
    hasHeartbeats |= response.hasHeartbeat();
    List<LogLine> lines = new ArrayList<>();
    for (LogLine line : response.getLines().getLinesList()) {
      if (!finished && isNew(line)) {
        lines.add(line);
        finished = told == request.getLimit(); // 0 is none, and never reached
      }
    }
    return lines;
  }

  @Override
  public void end() {
    finished = finished || !goesOn;
    goesOn = false;
    sameAttempt = false;
  }

  @Override
  public boolean finished() {
    return finished;
  }

  /** A log may be silent for as long as its task computes, unless the server sends heartbeats. */
  @Override
  public @Nullable Duration silence() {
    return hasHeartbeats ? WatchSession.silenceLimit(request.getHeartbeatInterval()) : null;
  }

  /** Another attempt's lines are none of those that were told. */
  private void begin(LogSource next) {
    if (source != null && source.getAttempt() != next.getAttempt()) {
      last = null;
      toldAtLast = 0;
      skip = 0;
    }
    source = next;
  }

  private boolean isNew(LogLine line) {
    boolean sameMoment = last != null && last.getTime().equals(line.getTime());
    if (sameMoment && skip > 0) {
      skip--;
      return false;
    }
    skip = 0;
    toldAtLast = sameMoment ? toldAtLast + 1 : 1;
    told++;
    last = line;
    return true;
  }
}
