package io.taskgate.client;

import io.grpc.ClientInterceptor;
import io.grpc.Metadata;
import io.grpc.stub.MetadataUtils;

/** What is told with each call, beside the request. */
final class Headers {
  private static final Metadata.Key<String> TARGET =
      Metadata.Key.of("taskgate-target", Metadata.ASCII_STRING_MARSHALLER);

  private Headers() {}

  /** Whether a text is one that HTTP/2 headers of gRPC can have: visible ASCII and spaces. */
  static boolean canBeSent(String text) {
    return !text.isEmpty() && text.chars().allMatch(each -> each >= ' ' && each <= '~');
  }

  /** Says which AWS account and region the calls are for. */
  static ClientInterceptor target(String name) {
    Metadata headers = new Metadata();
    headers.put(TARGET, name);
    return MetadataUtils.newAttachHeadersInterceptor(headers);
  }
}
