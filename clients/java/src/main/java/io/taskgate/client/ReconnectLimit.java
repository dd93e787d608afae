package io.taskgate.client;

import io.grpc.ConnectivityState;
import io.grpc.ManagedChannel;
import java.time.Duration;
import java.util.EnumSet;
import java.util.Set;
import java.util.concurrent.Executors;
import java.util.concurrent.ScheduledExecutorService;
import java.util.concurrent.ScheduledFuture;
import java.util.concurrent.TimeUnit;
import java.util.function.BooleanSupplier;

/**
 * Limits the time between attempts to connect to a lost server.
 *
 * <p>gRPC waits for up to two minutes, and grpc-java has no setting for it.
 */
final class ReconnectLimit implements AutoCloseable {
  static final Duration MAX_BACKOFF = Duration.ofSeconds(5);

  private final BooleanSupplier lost;
  private final Runnable reset;
  private final ScheduledExecutorService timer;

  ReconnectLimit(BooleanSupplier lost, Runnable reset, ScheduledExecutorService timer) {
    this.lost = lost;
    this.reset = reset;
    this.timer = timer;
    long period = MAX_BACKOFF.toNanos();
    ScheduledFuture<?> unused =
        timer.scheduleWithFixedDelay(this::check, period, period, TimeUnit.NANOSECONDS);
  }

  /** With several servers one may be lost while the channel as a whole is ready. */
  static ReconnectLimit of(ManagedChannel channel, boolean severalServers) {
    Set<ConnectivityState> maybeLost =
        severalServers
            ? EnumSet.of(ConnectivityState.TRANSIENT_FAILURE, ConnectivityState.READY)
            : EnumSet.of(ConnectivityState.TRANSIENT_FAILURE);
    return new ReconnectLimit(
        () -> maybeLost.contains(channel.getState(false)),
        channel::resetConnectBackoff,
        Executors.newSingleThreadScheduledExecutor(
            work -> {
              Thread thread = new Thread(work, "taskgate-reconnects");
              thread.setDaemon(true);
              return thread;
            }));
  }

  private void check() {
    if (lost.getAsBoolean()) {
      reset.run();
    }
  }

  @Override
  public void close() {
    timer.shutdownNow();
  }
}
