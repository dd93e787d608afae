package io.taskgate.client;

import com.google.protobuf.Any;
import com.google.protobuf.InvalidProtocolBufferException;
import com.google.protobuf.Message;
import com.google.rpc.BadRequest;
import com.google.rpc.ErrorInfo;
import com.google.rpc.QuotaFailure;
import com.google.rpc.RequestInfo;
import com.google.rpc.ResourceInfo;
import com.google.rpc.RetryInfo;
import java.time.Duration;
import java.util.List;
import java.util.Optional;

/** The unpacked details of an error, without malformed and unknown ones. */
record ErrorDetails(
    Optional<ErrorInfo> info,
    String requestId,
    List<TaskgateException.Violation> violations,
    Optional<Duration> retryAfter,
    Optional<TaskgateException.Resource> resource,
    String quota) {

  static ErrorDetails of(List<Any> packed) {
    return new ErrorDetails(
        find(packed, ErrorInfo.class),
        find(packed, RequestInfo.class).map(RequestInfo::getRequestId).orElse(""),
        find(packed, BadRequest.class).map(ErrorDetails::violations).orElse(List.of()),
        find(packed, RetryInfo.class).map(ErrorDetails::delay),
        find(packed, ResourceInfo.class)
            .map(
                each ->
                    new TaskgateException.Resource(each.getResourceType(), each.getResourceName())),
        find(packed, QuotaFailure.class).map(ErrorDetails::quota).orElse(""));
  }

  private static <M extends Message> Optional<M> find(List<Any> packed, Class<M> kind) {
    return packed.stream()
        .filter(each -> each.is(kind))
        .map(each -> unpack(each, kind))
        .flatMap(Optional::stream)
        .findFirst();
  }

  private static <M extends Message> Optional<M> unpack(Any packed, Class<M> kind) {
    try {
      return Optional.of(packed.unpack(kind));
    } catch (InvalidProtocolBufferException malformed) {
      return Optional.empty();
    }
  }

  private static List<TaskgateException.Violation> violations(BadRequest request) {
    return request.getFieldViolationsList().stream()
        .map(each -> new TaskgateException.Violation(each.getField(), each.getDescription()))
        .toList();
  }

  /** Returns the delay, limited to the 10,000 years that the message allows. */
  private static Duration delay(RetryInfo info) {
    com.google.protobuf.Duration delay = info.getRetryDelay();
    long max = Duration.ofDays(10_000 * 366L).toSeconds();
    return Duration.ofSeconds(
        Math.max(0, Math.min(delay.getSeconds(), max)), Math.max(0, delay.getNanos()));
  }

  private static String quota(QuotaFailure failure) {
    return failure.getViolationsList().stream()
        .map(QuotaFailure.Violation::getQuotaId)
        .filter(each -> !each.isEmpty())
        .findFirst()
        .orElse("");
  }
}
