package io.taskgate.client;

import com.google.protobuf.Message;
import io.grpc.Metadata;
import io.grpc.stub.AbstractStub;
import io.grpc.stub.MetadataUtils;
import io.taskgate.v1.TaskUpdate;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.Set;
import java.util.stream.Collectors;

/**
 * The job or run that a call is about, sent as metadata for proxies, which cannot read messages.
 *
 * <p>A proxy that hashes it routes all calls about one job to one replica. The server does not read
 * it.
 */
final class Parents {
  static final Metadata.Key<String> KEY =
      Metadata.Key.of("taskgate-parent", Metadata.ASCII_STRING_MARSHALLER);

  /** Collections whose members the server polls as a whole, with their steps and tasks. */
  private static final Set<String> POLLED_COLLECTIONS = Set.of("jobs", "runs");

  private Parents() {}

  /** Returns a stub for one call. An interceptor has no request yet when the call starts. */
  static <S extends AbstractStub<S>> S attach(S stub, Message request) {
    return stub.withInterceptors(MetadataUtils.newAttachHeadersInterceptor(headers(request)));
  }

  /** Returns the metadata of a call. */
  static Metadata headers(Message request) {
    Metadata headers = new Metadata();
    shared(request).ifPresent(parent -> headers.put(KEY, parent));
    return headers;
  }

  /** Returns the parent that all names in a request share, if there is one. */
  static Optional<String> shared(Message request) {
    Set<String> parents = names(request).stream().map(Parents::of).collect(Collectors.toSet());
    // Metadata has to be printable ASCII. No valid name is anything else; the server rejects it.
    return parents.size() == 1
        ? parents.stream().filter(Headers::canBeSent).findFirst()
        : Optional.empty();
  }

  /** Returns the job or run in the name of a job, run, step or task; other names unchanged. */
  static String of(String name) {
    List<String> parts = List.of(name.split("/", -1));
    for (int index = 1; index < parts.size(); index += 2) {
      if (POLLED_COLLECTIONS.contains(parts.get(index))) {
        return String.join("/", parts.subList(0, Math.min(index + 2, parts.size())));
      }
    }
    return name;
  }

  /** Returns the names in whichever of these fields the request has. */
  private static List<String> names(Message request) {
    List<String> names = new ArrayList<>();
    request
        .getAllFields()
        .forEach(
            (field, value) -> {
              switch (field.getName()) {
                case "name", "parent" -> names.add((String) value);
                case "names" -> ((List<?>) value).forEach(each -> names.add((String) each));
                case "updates" ->
                    ((List<?>) value).forEach(each -> names.add(((TaskUpdate) each).getName()));
                default -> {}
              }
            });
    return names;
  }
}
