package io.taskgate.client;

import com.google.protobuf.ByteString;
import io.taskgate.v1.Heartbeat;
import io.taskgate.v1.Task;
import io.taskgate.v1.WatchEnd;
import io.taskgate.v1.WatchEndReason;
import io.taskgate.v1.WatchTasksRequest;
import io.taskgate.v1.WatchTasksResponse;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import org.jspecify.annotations.Nullable;

/**
 * Requests for the calls of one watch, and the events in their responses.
 *
 * <p>The session returns a snapshot only when it is complete. If a call breaks within one, the next
 * call starts over: a resume token from within a snapshot is valid only for a client that keeps the
 * part it has received.
 */
final class WatchSession implements Session<WatchTasksResponse, WatchEvent> {
  /** The server's interval for requests without one. */
  private static final Duration DEFAULT_HEARTBEAT = Duration.ofSeconds(10);

  /** Number of missed heartbeats after which a connection counts as dead. */
  private static final int MAX_MISSED_HEARTBEATS = 3;

  private final WatchTasksRequest request;
  private ByteString token;
  private int reason;
  private @Nullable List<Task> snapshot;
  private boolean finished;

  WatchSession(WatchTasksRequest request) {
    this.request = request;
    token = request.getResumeToken();
  }

  ByteString token() {
    return token;
  }

  /** Returns the request for the next call. */
  WatchTasksRequest next() {
    snapshot = null;
    return request.toBuilder().setResumeToken(token).build();
  }

  @Override
  public List<WatchEvent> take(WatchTasksResponse response) {
    List<WatchEvent> events = events(response);
    if (!response.getResumeToken().isEmpty() && snapshot == null) {
      token = response.getResumeToken();
    }
    return events;
  }

  @Override
  public void end() {
    if (!finished) {
      throw Reconnects.unavailable("the stream ended before the watch did");
    }
  }

  @Override
  public boolean finished() {
    return finished;
  }

  @Override
  public Duration silence() {
    return silenceLimit(request.getHeartbeatInterval());
  }

  /** Returns after how long without a message a stream with heartbeats is dead. */
  static Duration silenceLimit(com.google.protobuf.Duration interval) {
    Duration heartbeat = Duration.ofSeconds(interval.getSeconds(), interval.getNanos());
    return (heartbeat.isZero() ? DEFAULT_HEARTBEAT : heartbeat).multipliedBy(MAX_MISSED_HEARTBEATS);
  }

  private List<WatchEvent> events(WatchTasksResponse response) {
    switch (response.getEventCase()) {
      case SNAPSHOT_BEGIN -> {
        snapshot = new ArrayList<>();
        reason = response.getSnapshotBegin().getReasonValue();
        return List.of();
      }
      case SNAPSHOT_TASKS -> {
        if (snapshot != null) {
          snapshot.addAll(response.getSnapshotTasks().getTasksList());
        }
        return List.of();
      }
      case SNAPSHOT_END -> {
        if (snapshot == null) {
          return List.of();
        }
        List<Task> tasks = List.copyOf(snapshot);
        snapshot = null;
        return List.of(new WatchEvent.Snapshot(tasks, reason, response.getSnapshotEnd()));
      }
      case RESUMED -> {
        return List.of(new WatchEvent.Resumed());
      }
      case TASK_CHANGE -> {
        return List.of(new WatchEvent.TaskChange(response.getTaskChange()));
      }
      case HEARTBEAT -> {
        return List.of(heartbeat(response.getHeartbeat()));
      }
      case WATCH_END -> {
        return List.of(ended(response.getWatchEnd()));
      }
      default -> { // an event of a newer server
        return List.of();
      }
    }
  }

  private WatchEvent ended(WatchEnd end) {
    if (end.getReason() == WatchEndReason.WATCH_END_REASON_SERVER_STOPPING) {
      throw Reconnects.serverStopping();
    }
    finished = true;
    return new WatchEvent.WatchEnd(end);
  }

  private static WatchEvent heartbeat(Heartbeat message) {
    Optional<TaskgateException> error =
        message.hasUpstreamError()
            ? Optional.of(TaskgateException.of(message.getUpstreamError()))
            : Optional.empty();
    return new WatchEvent.Heartbeat(message, error);
  }
}
