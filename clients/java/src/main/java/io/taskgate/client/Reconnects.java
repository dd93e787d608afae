package io.taskgate.client;

import com.google.protobuf.Any;
import com.google.rpc.ErrorInfo;
import io.grpc.Status;
import java.time.Duration;
import java.util.function.DoubleSupplier;
import org.jspecify.annotations.Nullable;

/**
 * Decides after each failure whether to call again, and after what delay. It reads no clock and
 * does no input or output. A server that has never responded is not retried, so that a wrong
 * address fails immediately.
 */
final class Reconnects {
  static final String SERVER_STOPPING = "SERVER_STOPPING";

  private static final Duration FIRST_DELAY = Duration.ofSeconds(1);
  private static final Duration MAX_DELAY = Duration.ofSeconds(10);
  private static final Duration PATIENCE = Duration.ofMinutes(5);

  private final DoubleSupplier random;
  private @Nullable Long lastResponse;
  private @Nullable Long leftStoppingServer;
  private int failures;

  Reconnects(DoubleSupplier random) {
    this.random = random;
  }

  /** Returns the number of failures since the last response. */
  int failures() {
    return failures;
  }

  /** Records a response of the server. */
  void reached(long nowNanos) {
    lastResponse = nowNanos;
    failures = 0;
  }

  /**
   * Returns the delay before the next attempt. Throws the error itself if it is final or the
   * patience is exhausted.
   *
   * <p>Delays have full jitter, so that the clients of a lost server do not all return at once. A
   * server that announces its shutdown has other replicas to take over its clients, so the first
   * such delay is zero.
   */
  Duration delayAfter(TaskgateException error, long nowNanos) {
    boolean isPatient = lastResponse != null && nowNanos - lastResponse <= PATIENCE.toNanos();
    if (!isPatient || !isTransient(error)) {
      throw error;
    }
    failures++;
    boolean leftRecently =
        leftStoppingServer != null && nowNanos - leftStoppingServer <= FIRST_DELAY.toNanos();
    if (error.reason().equals(SERVER_STOPPING) && !leftRecently) {
      leftStoppingServer = nowNanos;
      return Duration.ZERO;
    }
    long doubled = FIRST_DELAY.toNanos() << Math.min(failures - 1, 10);
    double limit = Math.min(doubled, MAX_DELAY.toNanos());
    Duration delay = Duration.ofNanos((long) (random.getAsDouble() * limit));
    Duration requested = error.retryAfter().orElse(Duration.ZERO);
    return delay.compareTo(requested) > 0 ? delay : requested;
  }

  private static boolean isTransient(TaskgateException error) {
    return switch (error.code()) {
      // CANCELLED, not by this client: servers and proxies do so at shutdown.
      case UNAVAILABLE, CANCELLED, DEADLINE_EXCEEDED -> true;
      case RESOURCE_EXHAUSTED -> error.retryAfter().isPresent();
      // gRPC's codes for a stream that a proxy has reset. Taskgate's own errors have a reason.
      case INTERNAL, UNKNOWN -> error.reason().isEmpty();
      default -> false;
    };
  }

  /** Returns the error of a server that is shutting down. */
  static TaskgateException serverStopping() {
    ErrorInfo info =
        ErrorInfo.newBuilder().setReason(SERVER_STOPPING).setDomain("taskgate").build();
    return TaskgateException.of(
        com.google.rpc.Status.newBuilder()
            .setCode(Status.Code.UNAVAILABLE.value())
            .setMessage("the server is shutting down")
            .addDetails(Any.pack(info))
            .build());
  }

  /** Returns the error of a connection that was lost without an error of gRPC. */
  static TaskgateException unavailable(String message) {
    return new TaskgateException(Status.Code.UNAVAILABLE, message);
  }
}
