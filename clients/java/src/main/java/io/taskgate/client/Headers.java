package io.taskgate.client;

import io.grpc.ClientInterceptor;
import io.grpc.Metadata;
import io.grpc.stub.MetadataUtils;

/** Metadata of calls. */
final class Headers {
  private static final Metadata.Key<String> TARGET =
      Metadata.Key.of("taskgate-target", Metadata.ASCII_STRING_MARSHALLER);

  private Headers() {}

  /** Returns whether gRPC can send a text as a header: printable ASCII. */
  static boolean canBeSent(String text) {
    return !text.isEmpty() && text.chars().allMatch(each -> each >= ' ' && each <= '~');
  }

  /** Returns an interceptor that adds the AWS account and region to calls. */
  static ClientInterceptor target(String name) {
    Metadata headers = new Metadata();
    headers.put(TARGET, name);
    return MetadataUtils.newAttachHeadersInterceptor(headers);
  }
}
