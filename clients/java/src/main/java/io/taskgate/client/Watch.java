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
 * The events of a watch. It goes on by itself when the connection breaks; close it in the end, from
 * any thread.
 */
public final class Watch extends ResumingStream<WatchTasksResponse, WatchEvent> {
  private final WatchSession session;

  private Watch(
      WatchSession session,
      Channel channel,
      Lifetime lifetime,
      Timing timing,
      @Nullable Duration limit) {
    super(
        left ->
            GrpcStream.open(channel, TaskServiceGrpc.getWatchTasksMethod(), session.next(), left),
        session,
        (error, delay, failures) ->
            Optional.of(new WatchEvent.Reconnecting(error, delay, failures)),
        lifetime,
        timing,
        limit);
    this.session = session;
  }

  static Watch of(
      WatchTasksRequest request,
      Channel channel,
      Lifetime lifetime,
      Timing timing,
      @Nullable Duration limit) {
    return new Watch(new WatchSession(request), channel, lifetime, timing, limit);
  }

  /**
   * Where another watch of the same could go on after the events so far.
   *
   * @return the token; may be empty
   */
  public ByteString resumeToken() {
    return session.token();
  }
}
