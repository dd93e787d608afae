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

/** A call of gRPC, read with a limit for silence, which no stub of gRPC has. */
final class GrpcStream<R> extends ClientCall.Listener<R> implements ServerStream<R> {
  private final ClientCall<?, R> call;
  private final BlockingQueue<Supplier<Optional<R>>> arrived = new LinkedBlockingQueue<>();

  private GrpcStream(ClientCall<?, R> call) {
    this.call = call;
  }

  static <Q extends Message, R> ServerStream<R> open(
      Channel channel, MethodDescriptor<Q, R> method, Q request, @Nullable Duration limit) {
    CallOptions options =
        limit == null
            ? CallOptions.DEFAULT
            : CallOptions.DEFAULT.withDeadlineAfter(Timing.nanosOf(limit), TimeUnit.NANOSECONDS);
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
            ? arrived.take()
            : arrived.poll(Timing.nanosOf(silence), TimeUnit.NANOSECONDS);
    if (next == null) {
      cancel();
      throw Reconnects.unavailable("nothing was heard from the server for " + words(silence));
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
    arrived.add(() -> Optional.of(message));
  }

  @Override
  public void onClose(Status status, Metadata trailers) {
    arrived.add(
        () -> {
          if (status.isOk()) {
            return Optional.empty();
          }
          throw TaskgateException.of(status.asRuntimeException(trailers));
        });
  }

  private static String words(@Nullable Duration time) {
    Duration known = time == null ? Duration.ZERO : time;
    return BigDecimal.valueOf(known.toMillis(), 3).stripTrailingZeros().toPlainString() + " s";
  }
}
