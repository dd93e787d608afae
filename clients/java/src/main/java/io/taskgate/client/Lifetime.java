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
 * Whether a client is open, and what ends when it is closed.
 *
 * <p>gRPC calls a channel that was closed UNAVAILABLE, which reads as if the server were gone.
 */
final class Lifetime implements ClientInterceptor {
  private static final Status CLOSED = Status.CANCELLED.withDescription("the client is closed");

  private final Set<Runnable> endings = ConcurrentHashMap.newKeySet();
  private final CountDownLatch closing = new CountDownLatch(1);

  /** Opens when the client is closed. */
  CountDownLatch closing() {
    return closing;
  }

  boolean isClosed() {
    return closing.getCount() == 0;
  }

  /** Has something run when the client is closed. Throws where it is already. */
  void add(Runnable ending) {
    endings.add(ending);
    if (isClosed()) {
      endings.remove(ending);
      throw TaskgateException.of(CLOSED.asRuntimeException());
    }
  }

  void remove(Runnable ending) {
    endings.remove(ending);
  }

  void close() {
    closing.countDown();
    endings.forEach(Runnable::run);
    endings.clear();
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
        super.start(new Told<>(listener), headers);
      }
    };
  }

  /** Tells of the end of a call that the client's own end was why. */
  private final class Told<A> extends SimpleForwardingClientCallListener<A> {
    private Told(ClientCall.Listener<A> listener) {
      super(listener);
    }

    @Override
    public void onClose(Status status, Metadata trailers) {
      boolean ours = isClosed() && status.getCode() == Status.Code.UNAVAILABLE;
      super.onClose(ours ? CLOSED : status, trailers);
    }
  }

  /** A call that is not made. */
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
