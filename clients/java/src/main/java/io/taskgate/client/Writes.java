package io.taskgate.client;

import io.grpc.CallOptions;
import io.grpc.Channel;
import io.grpc.ClientCall;
import io.grpc.ClientInterceptor;
import io.grpc.ForwardingClientCall.SimpleForwardingClientCall;
import io.grpc.ForwardingClientCallListener.SimpleForwardingClientCallListener;
import io.grpc.Metadata;
import io.grpc.MethodDescriptor;
import io.grpc.Status;
import java.util.HashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Objects;
import java.util.Optional;
import java.util.Set;
import java.util.concurrent.TimeUnit;
import java.util.function.LongSupplier;
import org.jspecify.annotations.Nullable;

/**
 * When the writes of a client ended, so that its reads show them, whichever replica serves them.
 *
 * <p>A read sends the time since the latest write of what it names. A replica that shares nothing
 * with the one that executed the write then returns only what AWS returned after it. No clocks are
 * compared: the time that the request takes only makes the response fresher.
 */
final class Writes implements ClientInterceptor {
  static final Metadata.Key<String> SINCE_WRITE =
      Metadata.Key.of("taskgate-since-write", Metadata.ASCII_STRING_MARSHALLER);

  /** The jobs and runs that a call concerns; empty if it may concern others. */
  static final CallOptions.Key<Set<String>> ROOTS =
      CallOptions.Key.createWithDefault("taskgate-roots", Set.of());

  /** How the names of methods that read begin. All others may write. */
  private static final List<String> READS =
      List.of("BatchGet", "Get", "List", "Search", "Stream", "Summarize", "Wait", "Watch");

  /** Older writes are not sent: no server caches a response for longer. */
  private static final long MAX_NANOS = TimeUnit.SECONDS.toNanos(300);

  /** Jobs and runs whose latest write is stored. With more, all of them count as written. */
  private static final int MAX_PARENTS = 1_000;

  private static final long NEVER = -1;

  private final LongSupplier nanoTime;
  private final long start;
  private final Map<String, Long> byParent = new HashMap<>();

  /** When the latest write of anything ended, in nanoseconds since the start. */
  private long latest = NEVER;

  /** When the latest write ended that may concern any job or run. */
  private long ofAll = NEVER;

  Writes(LongSupplier nanoTime) {
    this.nanoTime = nanoTime;
    start = nanoTime.getAsLong();
  }

  static boolean isRead(MethodDescriptor<?, ?> method) {
    String name = Objects.requireNonNull(method.getBareMethodName());
    return READS.stream().anyMatch(name::startsWith);
  }

  /** Returns whether a method may write; those of gRPC's own services, such as health, do not. */
  static boolean isWrite(MethodDescriptor<?, ?> method) {
    return !isRead(method) && !method.getFullMethodName().startsWith("grpc.");
  }

  /** Records that a write has ended. One that failed may have been executed all the same. */
  synchronized void record(Set<String> roots) {
    latest = now();
    roots.forEach(each -> byParent.put(each, latest));
    if (roots.isEmpty() || byParent.size() > MAX_PARENTS) {
      byParent.clear();
      ofAll = latest;
    }
  }

  /**
   * Returns the seconds since the latest write that a read has to show, rounded down, if there is
   * one that matters.
   */
  synchronized Optional<String> since(Set<String> roots) {
    long ended = roots.isEmpty() ? latest : ofAll;
    for (String each : roots) {
      ended = Math.max(ended, byParent.getOrDefault(each, NEVER));
    }
    long elapsed = now() - ended;
    if (ended == NEVER || elapsed > MAX_NANOS) {
      return Optional.empty();
    }
    long millis = TimeUnit.NANOSECONDS.toMillis(elapsed);
    return Optional.of(String.format(Locale.ROOT, "%d.%03d", millis / 1000, millis % 1000));
  }

  @Override
  public <Q, A> ClientCall<Q, A> interceptCall(
      MethodDescriptor<Q, A> method, CallOptions options, Channel next) {
    Set<String> roots = options.getOption(ROOTS);
    ClientCall<Q, A> call = next.newCall(method, options);
    return isWrite(method) ? new Write<>(call, roots) : new Read<>(call, roots, isRead(method));
  }

  private long now() {
    return nanoTime.getAsLong() - start;
  }

  private final class Read<Q, A> extends SimpleForwardingClientCall<Q, A> {
    private final Set<String> roots;
    private final boolean isRead;

    private Read(ClientCall<Q, A> call, Set<String> roots, boolean isRead) {
      super(call);
      this.roots = roots;
      this.isRead = isRead;
    }

    @Override
    public void start(Listener<A> listener, Metadata headers) {
      if (isRead) {
        since(roots).ifPresent(each -> headers.put(SINCE_WRITE, each));
      }
      super.start(listener, headers);
    }
  }

  private final class Write<Q, A> extends SimpleForwardingClientCall<Q, A> {
    private final Set<String> roots;

    private Write(ClientCall<Q, A> call, Set<String> roots) {
      super(call);
      this.roots = roots;
    }

    @Override
    public void start(Listener<A> listener, Metadata headers) {
      super.start(
          new SimpleForwardingClientCallListener<A>(listener) {
            @Override
            public void onMessage(A message) {
              record(roots); // observers get the response before the end of the call
              super.onMessage(message);
            }

            @Override
            public void onClose(Status status, Metadata trailers) {
              record(roots);
              super.onClose(status, trailers);
            }
          },
          headers);
    }

    @Override
    public void cancel(@Nullable String message, @Nullable Throwable cause) {
      record(roots); // the caller does not wait for the end
      super.cancel(message, cause);
    }
  }
}
