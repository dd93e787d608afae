package io.taskgate.client;

import io.grpc.Channel;
import io.taskgate.v1.LogLine;
import io.taskgate.v1.LogSource;
import io.taskgate.v1.StreamTaskLogsRequest;
import io.taskgate.v1.StreamTaskLogsResponse;
import io.taskgate.v1.TaskServiceGrpc;
import java.time.Duration;
import java.util.Optional;
import org.jspecify.annotations.Nullable;

/**
 * The lines of a log. It resumes when the connection breaks. Close it after use; any thread may
 * close it.
 */
public final class TaskLog extends ResumingStream<StreamTaskLogsResponse, LogLine> {
  private final LogSession session;

  private TaskLog(
      LogSession session,
      Channel channel,
      Lifetime lifetime,
      Timing timing,
      @Nullable Duration timeout) {
    super(
        remaining ->
            GrpcStream.open(
                channel, TaskServiceGrpc.getStreamTaskLogsMethod(), session.next(), remaining),
        session,
        (error, delay, failures) -> Optional.empty(),
        lifetime,
        timing,
        timeout);
    this.session = session;
  }

  static TaskLog of(
      StreamTaskLogsRequest request,
      Channel channel,
      Lifetime lifetime,
      Timing timing,
      @Nullable Duration timeout) {
    return new TaskLog(new LogSession(request), channel, lifetime, timing, timeout);
  }

  /**
   * Returns where the log is, and of which attempt.
   *
   * @return the source, once the server has sent it
   */
  public Optional<LogSource> source() {
    return session.source();
  }
}
