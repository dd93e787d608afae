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
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.CountDownLatch;
import org.jspecify.annotations.Nullable;

/**
 * The lifetime of a client: whether it is open, and what to run when it is closed.
 *
 * <p>It fails the calls of a closed client with CANCELLED. gRPC would use UNAVAILABLE, as for a
 * lost server.
 */
final class Lifetime implements ClientInterceptor {
  private static final Status CLOSED = Status.CANCELLED.withDescription("the client is closed");

  private final Set<Runnable> listeners = ConcurrentHashMap.newKeySet();
  private final CountDownLatch closing = new CountDownLatch(1);

  /** Returns a latch that opens when the client is closed. */
  CountDownLatch closing() {
    return closing;
  }

  boolean isClosed() {
    return closing.getCount() == 0;
  }

  /** Adds a listener for the close of the client. Throws if it is already closed. */
  void add(Runnable listener) {
    listeners.add(listener);
    if (isClosed()) {
      listeners.remove(listener);
      throw TaskgateException.of(CLOSED.asRuntimeException());
    }
  }

  void remove(Runnable listener) {
    listeners.remove(listener);
  }

  void close() {
    closing.countDown();
    listeners.forEach(Runnable::run);
    listeners.clear();
  }

  @Override
  public <Q, A> ClientCall<Q, A> interceptCall(
      MethodDescriptor<Q, A> method, CallOptions options, Channel next) {
    if (isClosed()) {
      return new RefusedCall<>();
    }
    return new SimpleForwardingClientCall<Q, A>(next.newCall(method, options)) {
      @Override
      public void start(Listener<A> listener, Metadata headers) {
        super.start(new CloseStatus<>(listener), headers);
      }
    };
  }

  /** Replaces the status of calls that ended because the client was closed. */
  private final class CloseStatus<A> extends SimpleForwardingClientCallListener<A> {
    private CloseStatus(ClientCall.Listener<A> listener) {
      super(listener);
    }

    @Override
    public void onClose(Status status, Metadata trailers) {
      boolean byClose = isClosed() && status.getCode() == Status.Code.UNAVAILABLE;
      super.onClose(byClose ? CLOSED : status, trailers);
    }
  }

  /** A call of a closed client. */
  private static final class RefusedCall<Q, A> extends ClientCall<Q, A> {
    @Override
    public void start(Listener<A> listener, Metadata headers) {
      listener.onClose(CLOSED, new Metadata());
    }

    @Override
    public void request(int messages) {}

    @Override
    public void cancel(@Nullable String message, @Nullable Throwable cause) {}

    @Override
    public void halfClose() {}

    @Override
    public void sendMessage(Q message) {}
  }
}
