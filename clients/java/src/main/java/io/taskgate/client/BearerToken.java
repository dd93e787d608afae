package io.taskgate.client;

import io.grpc.CallCredentials;
import io.grpc.Metadata;
import io.grpc.Status;
import java.io.IOException;
import java.util.concurrent.Executor;

/** Adds the token to each call. */
final class BearerToken extends CallCredentials {
  static final Metadata.Key<String> AUTHORIZATION =
      Metadata.Key.of("authorization", Metadata.ASCII_STRING_MARSHALLER);

  private final Token token;

  BearerToken(Token token) {
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
      // An Error, too: without a result the call would never end.
      Status status = Status.UNAUTHENTICATED.withDescription("cannot get the token: " + error);
      applier.fail(status.withCause(error));
      return;
    }
    if (Headers.canBeSent(current)) {
      Metadata headers = new Metadata();
      headers.put(AUTHORIZATION, "Bearer " + current);
      applier.apply(headers);
    } else {
      // gRPC would omit the header, and log the token.
      applier.fail(
          Status.UNAUTHENTICATED.withDescription(
              current.isEmpty()
                  ? "the token is empty"
                  : "the token has characters that cannot be sent; use printable ASCII"));
    }
  }
}
