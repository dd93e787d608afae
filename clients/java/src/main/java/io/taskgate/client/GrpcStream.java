package io.taskgate.client;

import com.google.protobuf.Message;
import io.grpc.CallOptions;
import io.grpc.Channel;
import io.grpc.ClientCall;
import io.grpc.Metadata;
import io.grpc.MethodDescriptor;
import io.grpc.Status;
import java.math.BigDecimal;
import java.time.Duration;
import java.util.Optional;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import java.util.function.Supplier;
import org.jspecify.annotations.Nullable;

/** A call of gRPC with a timeout for each read, which stubs of gRPC do not have. */
final class GrpcStream<R> extends ClientCall.Listener<R> implements ServerStream<R> {
  private final ClientCall<?, R> call;
  private final BlockingQueue<Supplier<Optional<R>>> received = new LinkedBlockingQueue<>();

  private GrpcStream(ClientCall<?, R> call) {
    this.call = call;
  }

  static <Q extends Message, R> ServerStream<R> open(
      Channel channel, MethodDescriptor<Q, R> method, Q request, @Nullable Duration timeout) {
    CallOptions unlimited = CallOptions.DEFAULT.withOption(Writes.ROOTS, Parents.roots(request));
    CallOptions options =
        timeout == null
            ? unlimited
            : unlimited.withDeadlineAfter(Timing.nanosOf(timeout), TimeUnit.NANOSECONDS);
    ClientCall<Q, R> call = channel.newCall(method, options);
    GrpcStream<R> stream = new GrpcStream<>(call);
    call.start(stream, Parents.headers(request));
    call.request(1);
    call.sendMessage(request);
    call.halfClose();
    return stream;
  }

  @Override
  public Optional<R> read(@Nullable Duration silence) throws InterruptedException {
    Supplier<Optional<R>> next =
        silence == null
            ? received.take()
            : received.poll(Timing.nanosOf(silence), TimeUnit.NANOSECONDS);
    if (next == null) {
      cancel();
      throw Reconnects.unavailable("no message from the server for " + seconds(silence));
    }
    Optional<R> message = next.get();
    call.request(1);
    return message;
  }

  @Override
  public void cancel() {
    call.cancel("the stream is closed", null);
  }

  @Override
  public void onMessage(R message) {
    received.add(() -> Optional.of(message));
  }

  @Override
  public void onClose(Status status, Metadata trailers) {
    received.add(
        () -> {
          if (status.isOk()) {
            return Optional.empty();
          }
          throw TaskgateException.of(status.asRuntimeException(trailers));
        });
  }

  private static String seconds(@Nullable Duration time) {
    Duration known = time == null ? Duration.ZERO : time;
    return BigDecimal.valueOf(known.toMillis(), 3).stripTrailingZeros().toPlainString() + " s";
  }
}
