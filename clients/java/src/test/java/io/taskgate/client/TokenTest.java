package io.taskgate.client;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.grpc.Attributes;
import io.grpc.CallCredentials.MetadataApplier;
import io.grpc.CallCredentials.RequestInfo;
import io.grpc.Metadata;
import io.grpc.MethodDescriptor;
import io.grpc.SecurityLevel;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import io.taskgate.v1.TaskServiceGrpc;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.util.Optional;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class TokenTest {
  @TempDir Path folder;

  /** Returns the header of a call; throws the error of the call. */
  private static String sent(Token token) {
    Applier applier = new Applier();
    new BearerToken(token).applyRequestMetadata(new Call(), Runnable::run, applier);
    return Optional.ofNullable(applier.header)
        .orElseThrow(
            () -> Optional.ofNullable(applier.status).orElse(Status.OK).asRuntimeException());
  }

  private static StatusRuntimeException refusal(Token token) {
    StatusRuntimeException error =
        assertThrows(
            StatusRuntimeException.class,
            () -> {
              String unused = sent(token);
            });
    assertEquals(Status.Code.UNAUTHENTICATED, error.getStatus().getCode());
    return error;
  }

  @Test
  void isSentUnchanged() {
    assertEquals("Bearer abc", sent(Token.text("abc")));
  }

  @Test
  void isReadFromItsFileForEachCallWithoutNewline() throws IOException {
    Path file = folder.resolve("token");
    Token token = Token.file(file);
    Files.writeString(file, "one\n");
    assertEquals("Bearer one", sent(token));
    Files.writeString(file, "two\r\n");
    assertEquals("Bearer two", sent(token));
  }

  @Test
  void failsTheCallWhenThereIsNone() {
    var noFile = refusal(Token.file(folder.resolve("absent")));
    assertEquals(NoSuchFileException.class, noFile.getCause().getClass());
    var failure =
        refusal(
            () -> {
              throw new IllegalStateException("not logged in");
            });
    assertTrue(failure.getMessage().contains("not logged in"), failure.getMessage());
    var broken =
        refusal(
            () -> {
              throw new StackOverflowError();
            });
    assertTrue(broken.getMessage().contains("cannot get the token"), broken.getMessage());
  }

  @ParameterizedTest
  @ValueSource(strings = {"secret\nsecret", "secret\u00e9", "secret\u0000", "secret\u20ac"})
  void isRejectedWithoutBeingPrintedWhenItCannotBeSent(String token) {
    var error = refusal(Token.text(token));
    assertTrue(error.getMessage().contains("characters"), error.getMessage());
    assertFalse(error.toString().contains("secret"), error.toString());
    assertEquals(null, error.getCause());
  }

  @Test
  void isRejectedWhenItIsEmpty() {
    assertTrue(refusal(Token.text(" \n")).getMessage().contains("empty"));
  }

  @Test
  void isRejectedWithoutTls() {
    ClientBuilder builder = TaskgateClient.builder("127.0.0.1:1").token(Token.text("abc"));
    var error = assertThrows(IllegalArgumentException.class, builder::build);
    assertTrue(error.getMessage().contains("TLS"), error.getMessage());
  }

  private static final class Applier extends MetadataApplier {
    private @Nullable String header;
    private @Nullable Status status;

    @Override
    public void apply(Metadata headers) {
      header = headers.get(BearerToken.AUTHORIZATION);
    }

    @Override
    public void fail(Status failure) {
      status = failure;
    }
  }

  private static final class Call extends RequestInfo {
    @Override
    public MethodDescriptor<?, ?> getMethodDescriptor() {
      return TaskServiceGrpc.getGetTaskMethod();
    }

    @Override
    public SecurityLevel getSecurityLevel() {
      return SecurityLevel.PRIVACY_AND_INTEGRITY;
    }

    @Override
    public String getAuthority() {
      return "taskgate.example";
    }

    @Override
    public Attributes getTransportAttrs() {
      return Attributes.EMPTY;
    }
  }
}
