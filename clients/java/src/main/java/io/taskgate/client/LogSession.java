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
 * Requests for the calls of one log, and the new lines in their responses.
 *
 * <p>A followed log continues with the next attempt when the task is retried. After a break the
 * session first reads the rest of the interrupted attempt, so that it misses no line, and then
 * later attempts. It requests the lines since the time of the last one. As CloudWatch Logs has a
 * resolution of one millisecond, lines of that time come again; the session skips as many as it has
 * returned.
 */
final class LogSession implements Session<StreamTaskLogsResponse, LogLine> {
  private final StreamTaskLogsRequest request;
  private @Nullable LogSource source;
  private @Nullable LogLine last;
  private int returned;
  private int returnedAtLastTime;
  private int skip;
  private boolean resumeAttempt = true;
  private boolean laterAttemptsFollow;
  private boolean finished;

  /** Whether the current call has sent one; older servers send none. */
  private boolean hasHeartbeats;

  LogSession(StreamTaskLogsRequest request) {
    this.request = request;
  }

  Optional<LogSource> source() {
    return Optional.ofNullable(source);
  }

  /** Returns the request for the next call. */
  StreamTaskLogsRequest next() {
    StreamTaskLogsRequest.Builder next = request.toBuilder();
    boolean anyAttempt = request.getFollow() && !request.hasAttempt();
    if (resumeAttempt && source != null && source.getAttempt() != 0) {
      next.setAttempt(source.getAttempt()); // after a retry the latest would be another log
      laterAttemptsFollow = anyAttempt;
    }
    resumeAttempt = true;
    if (last != null) {
      next.setSince(last.getTime()).setTail(0);
      if (request.getLimit() != 0) {
        next.setLimit(request.getLimit() + returnedAtLastTime - returned);
      }
    }
    skip = returnedAtLastTime;
    hasHeartbeats = false;
    return next.build();
  }

  @Override
  public List<LogLine> take(StreamTaskLogsResponse response) {
    if (response.hasSource()) {
      setSource(response.getSource());
    }
    hasHeartbeats |= response.hasHeartbeat();
    List<LogLine> lines = new ArrayList<>();
    for (LogLine line : response.getLines().getLinesList()) {
      if (!finished && isNew(line)) {
        lines.add(line);
        finished = returned == request.getLimit(); // 0 for none: never equal
      }
    }
    return lines;
  }

  @Override
  public void end() {
    finished = finished || !laterAttemptsFollow;
    laterAttemptsFollow = false;
    resumeAttempt = false;
  }

  @Override
  public boolean finished() {
    return finished;
  }

  /** Without heartbeats a log may be silent for as long as its task computes. */
  @Override
  public @Nullable Duration silence() {
    return hasHeartbeats ? WatchSession.silenceLimit(request.getHeartbeatInterval()) : null;
  }

  /** Sets the source; with another attempt there are no repeated lines to skip. */
  private void setSource(LogSource next) {
    if (source != null && source.getAttempt() != next.getAttempt()) {
      last = null;
      returnedAtLastTime = 0;
      skip = 0;
    }
    source = next;
  }

  private boolean isNew(LogLine line) {
    boolean sameTime = last != null && last.getTime().equals(line.getTime());
    if (sameTime && skip > 0) {
      skip--;
      return false;
    }
    skip = 0;
    returnedAtLastTime = sameTime ? returnedAtLastTime + 1 : 1;
    returned++;
    last = line;
    return true;
  }
}
