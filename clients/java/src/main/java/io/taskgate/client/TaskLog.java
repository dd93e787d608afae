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
 * The lines of a log. It goes on by itself when the connection breaks; close it in the end, from
 * any thread.
 */
public final class TaskLog extends ResumingStream<StreamTaskLogsResponse, LogLine> {
  private final LogSession session;

  private TaskLog(
      LogSession session,
      Channel channel,
      Lifetime lifetime,
      Timing timing,
      @Nullable Duration limit) {
    super(
        left ->
            GrpcStream.open(
                channel, TaskServiceGrpc.getStreamTaskLogsMethod(), session.next(), left),
        session,
        (error, delay, failures) -> Optional.empty(),
        lifetime,
        timing,
        limit);
    this.session = session;
  }

  static TaskLog of(
      StreamTaskLogsRequest request,
      Channel channel,
      Lifetime lifetime,
      Timing timing,
      @Nullable Duration limit) {
    return new TaskLog(new LogSession(request), channel, lifetime, timing, limit);
  }

  /**
   * Where the log is and which attempt's it is.
   *
   * @return the source, once the server has said so
   */
  public Optional<LogSource> source() {
    return session.source();
  }
}
