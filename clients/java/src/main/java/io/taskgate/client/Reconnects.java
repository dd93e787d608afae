package io.taskgate.client;

import com.google.protobuf.Any;
import com.google.rpc.ErrorInfo;
import io.grpc.Status;
import java.time.Duration;
import java.util.function.DoubleSupplier;
import org.jspecify.annotations.Nullable;

/**
 * Decides, failure by failure, whether to go on and after how long. Free of clock and network. A
 * server that was never reached is not waited for, so that a wrong address shows at once.
 */
final class Reconnects {
  static final String SERVER_STOPPING = "SERVER_STOPPING";

  private static final Duration FIRST_DELAY = Duration.ofSeconds(1);
  private static final Duration LONGEST_DELAY = Duration.ofSeconds(10);
  private static final Duration PATIENCE = Duration.ofMinutes(5);

  private final DoubleSupplier random;
  private @Nullable Long contact;
  private @Nullable Long moved;
  private int failures;

  Reconnects(DoubleSupplier random) {
    this.random = random;
  }

  /** How many failures there have been since the last contact. */
  int failures() {
    return failures;
  }

  /** The server has answered. */
  void reached(long nowNanos) {
    contact = nowNanos;
    failures = 0;
  }

  /**
   * How long to wait before the next attempt. Throws the error itself, if it is final or the
   * patience is at an end.
   *
   * <p>Full jitter: the many callers of one server that is lost must not come back all at once. One
   * that stops has said so before it let its callers go, and has others take them: there is nothing
   * to wait for, the first time.
   */
  Duration delayAfter(TaskgateException error, long nowNanos) {
    boolean waits = contact != null && nowNanos - contact <= PATIENCE.toNanos();
    if (!waits || !passes(error)) {
      throw error;
    }
    failures++;
    boolean movedLately = moved != null && nowNanos - moved <= FIRST_DELAY.toNanos();
    if (error.reason().equals(SERVER_STOPPING) && !movedLately) {
      moved = nowNanos;
      return Duration.ZERO;
    }
    long doubled = FIRST_DELAY.toNanos() << Math.min(failures - 1, 10);
    double longest = Math.min(doubled, LONGEST_DELAY.toNanos());
    Duration delay = Duration.ofNanos((long) (random.getAsDouble() * longest));
    Duration asked = error.retryAfter().orElse(Duration.ZERO);
    return delay.compareTo(asked) > 0 ? delay : asked;
  }

  private static boolean passes(TaskgateException error) {
    return switch (error.code()) {
      // CANCELLED, not by us: what a server, or a proxy, that stops does to its streams.
      case UNAVAILABLE, CANCELLED, DEADLINE_EXCEEDED -> true;
      case RESOURCE_EXHAUSTED -> error.retryAfter().isPresent();
      // What gRPC makes of a stream that a proxy has reset. Taskgate's own have a reason.
      case INTERNAL, UNKNOWN -> error.reason().isEmpty();
      default -> false;
    };
  }

  /** What a server that stops has told. */
  static TaskgateException serverStops() {
    ErrorInfo info =
        ErrorInfo.newBuilder().setReason(SERVER_STOPPING).setDomain("taskgate").build();
    return TaskgateException.of(
        com.google.rpc.Status.newBuilder()
            .setCode(Status.Code.UNAVAILABLE.value())
            .setMessage("the server stops")
            .addDetails(Any.pack(info))
            .build());
  }

  /** A connection that is lost without gRPC's word. */
  static TaskgateException unavailable(String message) {
    return new TaskgateException(Status.Code.UNAVAILABLE, message);
  }
}
