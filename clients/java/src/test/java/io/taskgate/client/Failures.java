package io.taskgate.client;

import com.google.protobuf.Any;
import com.google.protobuf.Duration;
import com.google.protobuf.Message;
import com.google.rpc.ErrorInfo;
import com.google.rpc.RetryInfo;
import io.grpc.Status.Code;

/** Errors of a server. */
final class Failures {
  private Failures() {}

  static TaskgateException failure(Code code, Message... details) {
    var status =
        com.google.rpc.Status.newBuilder().setCode(code.value()).setMessage("too many calls");
    for (Message each : details) {
      status.addDetails(Any.pack(each));
    }
    return TaskgateException.of(status.build());
  }

  static ErrorInfo reason(String reason) {
    return ErrorInfo.newBuilder().setReason(reason).setDomain("taskgate").build();
  }

  static RetryInfo retryAfter(long seconds, int nanos) {
    return RetryInfo.newBuilder()
        .setRetryDelay(Duration.newBuilder().setSeconds(seconds).setNanos(nanos))
        .build();
  }
}
