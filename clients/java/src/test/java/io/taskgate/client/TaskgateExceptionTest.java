package io.taskgate.client;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertSame;

import com.google.protobuf.Any;
import com.google.protobuf.ByteString;
import com.google.rpc.BadRequest;
import com.google.rpc.ErrorInfo;
import com.google.rpc.QuotaFailure;
import com.google.rpc.RequestInfo;
import com.google.rpc.ResourceInfo;
import io.grpc.Metadata;
import io.grpc.Status;
import io.grpc.Status.Code;
import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.ObjectInputStream;
import java.io.ObjectOutputStream;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import org.junit.jupiter.api.Test;

class TaskgateExceptionTest {
  private static final Metadata.Key<byte[]> DETAILS =
      Metadata.Key.of("grpc-status-details-bin", Metadata.BINARY_BYTE_MARSHALLER);

  private final TaskgateException full =
      Failures.failure(
          Code.RESOURCE_EXHAUSTED,
          ErrorInfo.newBuilder()
              .setReason("CALLER_LIMIT")
              .setDomain("taskgate")
              .putMetadata("limit", "5")
              .build(),
          Failures.retryAfter(1, 500_000_000),
          RequestInfo.newBuilder().setRequestId("r-1").build(),
          BadRequest.newBuilder()
              .addFieldViolations(
                  BadRequest.FieldViolation.newBuilder().setField("name").setDescription("no"))
              .build(),
          ResourceInfo.newBuilder().setResourceType("task").setResourceName("task-1").build(),
          QuotaFailure.newBuilder()
              .addViolations(QuotaFailure.Violation.newBuilder().setQuotaId("L-1"))
              .build());

  private static void assertIsFull(TaskgateException error) {
    assertEquals(Code.RESOURCE_EXHAUSTED, error.code());
    assertEquals("RESOURCE_EXHAUSTED: too many calls", error.getMessage());
    assertEquals("too many calls", error.description());
    assertEquals("CALLER_LIMIT", error.reason());
    assertEquals("taskgate", error.domain());
    assertEquals(Map.of("limit", "5"), error.metadata());
    assertEquals(Optional.of(Duration.ofMillis(1_500)), error.retryAfter());
    assertEquals("r-1", error.requestId());
    assertEquals(List.of(new TaskgateException.Violation("name", "no")), error.violations());
    assertEquals(Optional.of(new TaskgateException.Resource("task", "task-1")), error.resource());
    assertEquals("L-1", error.quota());
  }

  @Test
  void hasItsDetails() {
    assertIsFull(full);
  }

  @Test
  void hasItsDetailsAfterSerialization() throws Exception {
    assertIsFull(copy(full));
    var ofCall = TaskgateException.of(Status.ABORTED.withDescription("no").asRuntimeException());
    assertEquals("ABORTED: no", copy(ofCall).getMessage());
  }

  private static TaskgateException copy(TaskgateException error) throws Exception {
    ByteArrayOutputStream bytes = new ByteArrayOutputStream();
    try (ObjectOutputStream out = new ObjectOutputStream(bytes)) {
      out.writeObject(error);
    }
    try (ObjectInputStream in =
        new ObjectInputStream(new ByteArrayInputStream(bytes.toByteArray()))) {
      return (TaskgateException) in.readObject();
    }
  }

  @Test
  void omitsMalformedDetails() {
    ByteString garbage = ByteString.copyFrom(new byte[] {(byte) 0xff});
    var status =
        com.google.rpc.Status.newBuilder()
            .setCode(4711)
            .addDetails(
                Any.newBuilder()
                    .setTypeUrl("type.googleapis.com/google.rpc.BadRequest")
                    .setValue(garbage))
            .addDetails(Any.newBuilder().setTypeUrl("type.googleapis.com/example.Newer"))
            .addDetails(Any.newBuilder().setTypeUrl("no type at all"))
            .addDetails(Any.pack(Failures.retryAfter(Long.MAX_VALUE, Integer.MAX_VALUE)))
            .addDetails(Any.pack(Failures.reason("ODD")))
            .build();
    TaskgateException error = TaskgateException.of(status);
    assertEquals(Code.UNKNOWN, error.code());
    assertEquals("ODD", error.reason());
    assertEquals(List.of(), error.violations());
    assertEquals(true, error.retryAfter().isPresent());
  }

  @Test
  void keepsTheStatusWhenItsDetailsAreMalformed() {
    Metadata trailers = new Metadata();
    trailers.put(DETAILS, new byte[] {(byte) 0xff, (byte) 0xff, (byte) 0xff});
    IOException cause = new IOException("reset");
    TaskgateException error =
        TaskgateException.of(
            Status.DATA_LOSS
                .withDescription("it is gone")
                .withCause(cause)
                .asRuntimeException(trailers));
    assertEquals(Code.DATA_LOSS, error.code());
    assertEquals("it is gone", error.description());
    assertEquals("", error.reason());
    assertSame(cause, error.getCause());
  }

  @Test
  void prefersTheCodeOfTheCallToThatOfItsDetails() {
    Metadata trailers = new Metadata();
    trailers.put(
        DETAILS,
        com.google.rpc.Status.newBuilder()
            .setCode(Code.NOT_FOUND.value())
            .addDetails(Any.pack(Failures.reason("MOVED")))
            .build()
            .toByteArray());
    TaskgateException error = TaskgateException.of(Status.UNAVAILABLE.asRuntimeException(trailers));
    assertEquals(Code.UNAVAILABLE, error.code());
    assertEquals("MOVED", error.reason());
  }
}
