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

/** A call that Taskgate answered with an error, or could not answer, with its details unpacked. */
public final class TaskgateException extends RuntimeException {
  private static final long serialVersionUID = 1L;

  private static final Metadata.Key<byte[]> DETAILS =
      Metadata.Key.of("grpc-status-details-bin", Metadata.BINARY_BYTE_MARSHALLER);

  /**
   * What is wrong with one field of a request.
   *
   * @param field where in the request it is, such as {@code updates[2].name}
   * @param description what is wrong with it, for a person
   */
  public record Violation(String field, String description) {}

  /**
   * A thing that is missing or in conflict.
   *
   * @param type what it is, such as {@code task}
   * @param id which one
   */
  public record Resource(String type, String id) {}

  /** gRPC's status. */
  private final Status.Code code;

  /** What the server said, its details still packed. */
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
   * What an error of any stub says; works for servers of other makes too.
   *
   * @param error of gRPC
   * @return the same, unpacked, with the same cause
   */
  public static TaskgateException of(StatusRuntimeException error) {
    Status status = error.getStatus();
    com.google.rpc.Status told =
        detailsIn(error.getTrailers()).toBuilder()
            .setCode(status.getCode().value())
            .setMessage(Optional.ofNullable(status.getDescription()).orElse(""))
            .build();
    // Not the error itself: gRPC's cannot be serialized.
    return new TaskgateException(status.getCode(), told, status.getCause());
  }

  /**
   * What an error inside an answer says, such as that of one item of a batch.
   *
   * @param status in the answer
   * @return the same, unpacked
   */
  public static TaskgateException of(com.google.rpc.Status status) {
    Status.Code code = Status.fromCodeValue(status.getCode()).getCode();
    return new TaskgateException(code, status, null);
  }

  /** The error of a caller whose thread was interrupted. */
  static TaskgateException interrupted() {
    return new TaskgateException(Status.Code.CANCELLED, "the caller was interrupted");
  }

  /** Details are extra: what cannot be read must not hide the error that it came with. */
  private static com.google.rpc.Status detailsIn(@Nullable Metadata trailers) {
    try {
      byte[] packed = trailers == null ? null : trailers.get(DETAILS);
      return packed == null
          ? com.google.rpc.Status.getDefaultInstance()
          : com.google.rpc.Status.parseFrom(packed);
    } catch (InvalidProtocolBufferException unreadable) {
      return com.google.rpc.Status.getDefaultInstance();
    }
  }

  /**
   * gRPC's status.
   *
   * @return its code
   */
  public Status.Code code() {
    return code;
  }

  /**
   * What went wrong, for a person; {@link #getMessage} has the code before it.
   *
   * @return the server's own words
   */
  public String description() {
    return status.getMessage();
  }

  /**
   * AWS's error code or Taskgate's own reason, such as RESOURCE_NOT_FOUND_EXCEPTION.
   *
   * @return the reason, or an empty text
   */
  public String reason() {
    return details().info().map(ErrorInfo::getReason).orElse("");
  }

  /**
   * Whose word the reason is.
   *
   * @return {@code deadline.amazonaws.com}, {@code omics.amazonaws.com} or {@code taskgate}; or an
   *     empty text
   */
  public String domain() {
    return details().info().map(ErrorInfo::getDomain).orElse("");
  }

  /**
   * What else is told of the reason.
   *
   * @return by name
   */
  public Map<String, String> metadata() {
    return details().info().map(ErrorInfo::getMetadataMap).orElse(Map.of());
  }

  /**
   * Every field of the request that is wrong.
   *
   * @return the fields
   */
  public List<Violation> violations() {
    return details().violations();
  }

  /**
   * How long to wait before trying again.
   *
   * @return the time, where it is known
   */
  public Optional<Duration> retryAfter() {
    return details().retryAfter();
  }

  /**
   * The thing that is missing or in conflict.
   *
   * @return the thing, where there is one to name
   */
  public Optional<Resource> resource() {
    return details().resource();
  }

  /**
   * The AWS quota that was exceeded.
   *
   * @return its id, or an empty text
   */
  public String quota() {
    return details().quota();
  }

  /**
   * AWS's id of the request if there was one, else Taskgate's id of the call.
   *
   * @return the id, or an empty text
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
