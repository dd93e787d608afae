package io.taskgate.client;

import io.grpc.Status;
import io.taskgate.v1.WaitTaskRequest;
import io.taskgate.v1.WaitTaskResponse;
import java.time.Duration;
import java.util.Optional;
import org.jspecify.annotations.Nullable;

/** One waiting, over any number of calls. Free of input and output. */
final class WaitSession {
  /** How long one call may wait. Load balancers cut calls that live for hours. */
  private static final Duration LONGEST_CALL = Duration.ofMinutes(5);

  /**
   * The request's {@code max_wait} if it has none. Proxies cut calls that are silent for longer; 30
   * s is a common limit.
   */
  private static final int MAX_WAIT_SECONDS = 25;

  /** With less time than that left there is no point in asking again. */
  private static final Duration SHORTEST_CALL = Duration.ofSeconds(1);

  private final @Nullable Long end;
  private final Reconnects reconnects;
  private @Nullable WaitTaskResponse answer;

  WaitSession(@Nullable Duration limit, long now, Reconnects reconnects) {
    end = limit == null ? null : now + Timing.nanosOf(limit);
    this.reconnects = reconnects;
  }

  /** The latest answer. */
  Optional<WaitTaskResponse> answer() {
    return Optional.ofNullable(answer);
  }

  /** The request, bounded so that no proxy cuts it. */
  static WaitTaskRequest bounded(WaitTaskRequest request) {
    if (request.hasMaxWait()) {
      return request;
    }
    var wait = com.google.protobuf.Duration.newBuilder().setSeconds(MAX_WAIT_SECONDS);
    return request.toBuilder().setMaxWait(wait).build();
  }

  /** How long the next call may take. */
  Duration callLimit(long now) {
    long left = end == null ? Long.MAX_VALUE : Math.max(end - now, 0);
    return Duration.ofNanos(Math.min(left, LONGEST_CALL.toNanos()));
  }

  /** Keeps an answer: how long to wait before asking again, or nothing, the waiting is over. */
  Optional<Duration> take(WaitTaskResponse next, long asked, long now) {
    answer = next;
    reconnects.reached(now);
    if (next.getDone() || isLate(now)) {
      return Optional.empty();
    }
    // A server that stops answers early.
    boolean early = now - asked < SHORTEST_CALL.toNanos();
    return Optional.of(early ? SHORTEST_CALL : Duration.ZERO);
  }

  /**
   * As {@code take}, for a call that failed. Throws the error if it is final, or if the time is up
   * and no answer ever came.
   */
  Optional<Duration> failed(TaskgateException error, long asked, long now) {
    if (isLate(now)) {
      if (answer != null && error.code() == Status.Code.DEADLINE_EXCEEDED) {
        return Optional.empty();
      }
      throw error;
    }
    if (now - asked > SHORTEST_CALL.toNanos()) {
      reconnects.reached(asked); // nobody refuses a connection that slowly
    }
    return Optional.of(reconnects.delayAfter(error, now));
  }

  private boolean isLate(long now) {
    return end != null && end - now < SHORTEST_CALL.toNanos();
  }
}
