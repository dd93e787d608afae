package io.taskgate.client;

import io.grpc.CallCredentials;
import io.grpc.Metadata;
import io.grpc.Status;
import java.io.IOException;
import java.util.concurrent.Executor;

/** Puts the token into each call. */
final class Bearer extends CallCredentials {
  static final Metadata.Key<String> AUTHORIZATION =
      Metadata.Key.of("authorization", Metadata.ASCII_STRING_MARSHALLER);

  private final Token token;

  Bearer(Token token) {
    this.token = token;
  }

  @Override
  public void applyRequestMetadata(RequestInfo info, Executor executor, MetadataApplier applier) {
    executor.execute(() -> apply(applier));
  }

  private void apply(MetadataApplier applier) {
    String current;
    try {
      current = token.current().strip();
    } catch (IOException | RuntimeException | Error error) {
      // Also for an Error: a call whose credentials never come would never end.
      Status status = Status.UNAUTHENTICATED.withDescription("there is no token: " + error);
      applier.fail(status.withCause(error));
      return;
    }
    if (Headers.canBeSent(current)) {
      Metadata headers = new Metadata();
      headers.put(AUTHORIZATION, "Bearer " + current);
      applier.apply(headers);
    } else {
      // gRPC would leave it out, and log it.
      applier.fail(
          Status.UNAUTHENTICATED.withDescription(
              current.isEmpty()
                  ? "the token is empty"
                  : "the token has characters that cannot be sent"));
    }
  }
}
