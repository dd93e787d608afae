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

/** The details of an error that are known; those that are newer, or no details, are left out. */
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
        .map(each -> unpacked(each, kind))
        .flatMap(Optional::stream)
        .findFirst();
  }

  private static <M extends Message> Optional<M> unpacked(Any packed, Class<M> kind) {
    try {
      return Optional.of(packed.unpack(kind));
    } catch (InvalidProtocolBufferException unreadable) {
      return Optional.empty();
    }
  }

  private static List<TaskgateException.Violation> violations(BadRequest request) {
    return request.getFieldViolationsList().stream()
        .map(each -> new TaskgateException.Violation(each.getField(), each.getDescription()))
        .toList();
  }

  /** The message allows for 10,000 years and no more; a longer one is a server's fault. */
  private static Duration delay(RetryInfo info) {
    com.google.protobuf.Duration told = info.getRetryDelay();
    long longest = Duration.ofDays(10_000 * 366L).toSeconds();
    return Duration.ofSeconds(
        Math.max(0, Math.min(told.getSeconds(), longest)), Math.max(0, told.getNanos()));
  }

  private static String quota(QuotaFailure failure) {
    return failure.getViolationsList().stream()
        .map(QuotaFailure.Violation::getQuotaId)
        .filter(each -> !each.isEmpty())
        .findFirst()
        .orElse("");
  }
}
