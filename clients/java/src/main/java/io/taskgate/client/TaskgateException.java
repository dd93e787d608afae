package io.taskgate.client;

import com.google.protobuf.InvalidProtocolBufferException;
import com.google.rpc.ErrorInfo;
import io.grpc.Metadata;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import org.jspecify.annotations.Nullable;

/** A call that failed, on the server or on the way to it, with its details unpacked. */
public final class TaskgateException extends RuntimeException {
  private static final long serialVersionUID = 1L;

  private static final Metadata.Key<byte[]> DETAILS =
      Metadata.Key.of("grpc-status-details-bin", Metadata.BINARY_BYTE_MARSHALLER);

  /**
   * An invalid field of a request.
   *
   * @param field the path of the field, such as {@code updates[2].name}
   * @param description what is wrong with it
   */
  public record Violation(String field, String description) {}

  /**
   * A resource that is missing or in conflict.
   *
   * @param type its type, such as {@code task}
   * @param id its id
   */
  public record Resource(String type, String id) {}

  /** The gRPC status code. */
  private final Status.Code code;

  /** The status of the server, with packed details. */
  private final com.google.rpc.Status status;

  private transient @Nullable ErrorDetails details;

  TaskgateException(Status.Code code, String message) {
    this(
        code,
        com.google.rpc.Status.newBuilder().setCode(code.value()).setMessage(message).build(),
        null);
  }

  private TaskgateException(
      Status.Code code, com.google.rpc.Status status, @Nullable Throwable cause) {
    super(code + ": " + status.getMessage(), cause);
    this.code = code;
    this.status = status;
  }

  /**
   * Converts the error of any stub, also of other servers than Taskgate.
   *
   * @param error the error of gRPC
   * @return the exception, with the same cause
   */
  public static TaskgateException of(StatusRuntimeException error) {
    Status status = error.getStatus();
    com.google.rpc.Status converted =
        detailsIn(error.getTrailers()).toBuilder()
            .setCode(status.getCode().value())
            .setMessage(Optional.ofNullable(status.getDescription()).orElse(""))
            .build();
    // The error of gRPC is not the cause, as it cannot be serialized.
    return new TaskgateException(status.getCode(), converted, status.getCause());
  }

  /**
   * Converts an error within a response, such as that of one item of a batch.
   *
   * @param status the status in the response
   * @return the exception
   */
  public static TaskgateException of(com.google.rpc.Status status) {
    Status.Code code = Status.fromCodeValue(status.getCode()).getCode();
    return new TaskgateException(code, status, null);
  }

  /** Returns the exception of an interrupted thread. */
  static TaskgateException interrupted() {
    return new TaskgateException(Status.Code.CANCELLED, "the calling thread was interrupted");
  }

  /** Returns the details; malformed ones must not hide the error itself. */
  private static com.google.rpc.Status detailsIn(@Nullable Metadata trailers) {
    try {
      byte[] packed = trailers == null ? null : trailers.get(DETAILS);
      return packed == null
          ? com.google.rpc.Status.getDefaultInstance()
          : com.google.rpc.Status.parseFrom(packed);
    } catch (InvalidProtocolBufferException malformed) {
      return com.google.rpc.Status.getDefaultInstance();
    }
  }

  /**
   * Returns the gRPC status code.
   *
   * @return the code
   */
  public Status.Code code() {
    return code;
  }

  /**
   * Returns what went wrong; {@link #getMessage} has the code before it.
   *
   * @return the message of the server
   */
  public String description() {
    return status.getMessage();
  }

  /**
   * Returns AWS's error code or Taskgate's reason, such as RESOURCE_NOT_FOUND_EXCEPTION.
   *
   * @return the reason, or an empty string
   */
  public String reason() {
    return details().info().map(ErrorInfo::getReason).orElse("");
  }

  /**
   * Returns the origin of the reason.
   *
   * @return {@code deadline.amazonaws.com}, {@code omics.amazonaws.com} or {@code taskgate}; or an
   *     empty string
   */
  public String domain() {
    return details().info().map(ErrorInfo::getDomain).orElse("");
  }

  /**
   * Returns further details of the reason.
   *
   * @return the details by name
   */
  public Map<String, String> metadata() {
    return details().info().map(ErrorInfo::getMetadataMap).orElse(Map.of());
  }

  /**
   * Returns all invalid fields of the request.
   *
   * @return the fields
   */
  public List<Violation> violations() {
    return details().violations();
  }

  /**
   * Returns how long to wait before a retry.
   *
   * @return the time, if known
   */
  public Optional<Duration> retryAfter() {
    return details().retryAfter();
  }

  /**
   * Returns the resource that is missing or in conflict.
   *
   * @return the resource, if there is one
   */
  public Optional<Resource> resource() {
    return details().resource();
  }

  /**
   * Returns the exceeded AWS quota.
   *
   * @return its id, or an empty string
   */
  public String quota() {
    return details().quota();
  }

  /**
   * Returns AWS's request id if AWS was called, otherwise Taskgate's id of the call.
   *
   * @return the id, or an empty string
   */
  public String requestId() {
    return details().requestId();
  }

  private ErrorDetails details() {
    ErrorDetails known = details;
    if (known == null) {
      known = ErrorDetails.of(status.getDetailsList());
      details = known;
    }
    return known;
  }
}
