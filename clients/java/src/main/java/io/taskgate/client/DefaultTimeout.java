package io.taskgate.client;

import io.grpc.CallOptions;
import io.grpc.Channel;
import io.grpc.ClientCall;
import io.grpc.ClientInterceptor;
import io.grpc.MethodDescriptor;
import java.time.Duration;
import java.util.concurrent.TimeUnit;

/** Adds a timeout to unary calls that have none. */
record DefaultTimeout(Duration timeout) implements ClientInterceptor {
  @Override
  public <Q, A> ClientCall<Q, A> interceptCall(
      MethodDescriptor<Q, A> method, CallOptions options, Channel next) {
    boolean unchanged =
        options.getDeadline() != null || method.getType() != MethodDescriptor.MethodType.UNARY;
    return next.newCall(
        method,
        unchanged
            ? options
            : options.withDeadlineAfter(Timing.nanosOf(timeout), TimeUnit.NANOSECONDS));
  }
}
