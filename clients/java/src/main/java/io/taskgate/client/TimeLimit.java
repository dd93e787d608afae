package io.taskgate.client;

import io.grpc.CallOptions;
import io.grpc.Channel;
import io.grpc.ClientCall;
import io.grpc.ClientInterceptor;
import io.grpc.MethodDescriptor;
import java.time.Duration;
import java.util.concurrent.TimeUnit;

/** Ends calls with one request and one answer that have no other limit. Streams may go on. */
record TimeLimit(Duration limit) implements ClientInterceptor {
  @Override
  public <Q, A> ClientCall<Q, A> interceptCall(
      MethodDescriptor<Q, A> method, CallOptions options, Channel next) {
    boolean limited =
        options.getDeadline() != null || method.getType() != MethodDescriptor.MethodType.UNARY;
    return next.newCall(
        method,
        limited ? options : options.withDeadlineAfter(Timing.nanosOf(limit), TimeUnit.NANOSECONDS));
  }
}
