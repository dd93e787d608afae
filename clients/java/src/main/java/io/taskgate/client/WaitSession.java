package io.taskgate.client;

import io.grpc.Status;
import io.taskgate.v1.WaitTaskRequest;
import io.taskgate.v1.WaitTaskResponse;
import java.time.Duration;
import java.util.Optional;
import org.jspecify.annotations.Nullable;

/** The state of a wait over several calls. It does no input or output. */
final class WaitSession {
  /** Timeout of one call. Load balancers cut calls that last for hours. */
  private static final Duration MAX_CALL = Duration.ofMinutes(5);

  /**
   * {@code max_wait} of requests without one. Proxies cut calls that are silent for longer; 30 s is
   * a common limit.
   */
  private static final int MAX_WAIT_SECONDS = 25;

  /** Minimum time for another call, and minimum interval between calls. */
  private static final Duration MIN_CALL = Duration.ofSeconds(1);

  private final @Nullable Long end;
  private final Reconnects reconnects;
  private @Nullable WaitTaskResponse response;

  WaitSession(@Nullable Duration timeout, long now, Reconnects reconnects) {
    end = timeout == null ? null : now + Timing.nanosOf(timeout);
    this.reconnects = reconnects;
  }

  /** Returns the latest response. */
  Optional<WaitTaskResponse> response() {
    return Optional.ofNullable(response);
  }

  /** Returns the request with a {@code max_wait}. */
  static WaitTaskRequest bounded(WaitTaskRequest request) {
    if (request.hasMaxWait()) {
      return request;
    }
    var wait = com.google.protobuf.Duration.newBuilder().setSeconds(MAX_WAIT_SECONDS);
    return request.toBuilder().setMaxWait(wait).build();
  }

  /** Returns the timeout of the next call. */
  Duration callTimeout(long now) {
    long remaining = end == null ? Long.MAX_VALUE : Math.max(end - now, 0);
    return Duration.ofNanos(Math.min(remaining, MAX_CALL.toNanos()));
  }

  /** Stores a response; returns the time until the next call, or empty if the wait is over. */
  Optional<Duration> take(WaitTaskResponse next, long start, long now) {
    response = next;
    reconnects.reached(now);
    if (next.getDone() || isTimedOut(now)) {
      return Optional.empty();
    }
    // A server that is shutting down responds early.
    boolean early = now - start < MIN_CALL.toNanos();
    return Optional.of(early ? MIN_CALL : Duration.ZERO);
  }

  /**
   * Handles a failed call; returns what {@code take} returns. Throws the error if it is final, or
   * if the wait timed out without any response.
   */
  Optional<Duration> fail(TaskgateException error, long start, long now) {
    if (isTimedOut(now)) {
      if (response != null && error.code() == Status.Code.DEADLINE_EXCEEDED) {
        return Optional.empty();
      }
      throw error;
    }
    if (now - start > MIN_CALL.toNanos()) {
      // A refused connection fails faster: the server was there when the call started.
      reconnects.reached(start);
    }
    return Optional.of(reconnects.delayAfter(error, now));
  }

  private boolean isTimedOut(long now) {
    return end != null && end - now < MIN_CALL.toNanos();
  }
}
