package io.taskgate.client;

import com.google.protobuf.ByteString;
import io.grpc.Channel;
import io.taskgate.v1.TaskServiceGrpc;
import io.taskgate.v1.WatchTasksRequest;
import io.taskgate.v1.WatchTasksResponse;
import java.time.Duration;
import java.util.Optional;
import org.jspecify.annotations.Nullable;

/**
 * The events of a watch. It resumes when the connection breaks. Close it after use; any thread may
 * close it.
 */
public final class Watch extends ResumingStream<WatchTasksResponse, WatchEvent> {
  private final WatchSession session;

  private Watch(
      WatchSession session,
      Channel channel,
      Lifetime lifetime,
      Timing timing,
      @Nullable Duration timeout) {
    super(
        remaining ->
            GrpcStream.open(
                channel, TaskServiceGrpc.getWatchTasksMethod(), session.next(), remaining),
        session,
        (error, delay, failures) ->
            Optional.of(new WatchEvent.Reconnecting(error, delay, failures)),
        lifetime,
        timing,
        timeout);
    this.session = session;
  }

  static Watch of(
      WatchTasksRequest request,
      Channel channel,
      Lifetime lifetime,
      Timing timing,
      @Nullable Duration timeout) {
    return new Watch(new WatchSession(request), channel, lifetime, timing, timeout);
  }

  /**
   * Returns where another watch can resume after the events so far.
   *
   * @return the token; may be empty
   */
  public ByteString resumeToken() {
    return session.token();
  }
}
