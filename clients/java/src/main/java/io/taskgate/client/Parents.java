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
 * Which job or run a call is about, told beside the request for proxies that cannot read messages.
 *
 * <p>A proxy that hashes it sends all calls about one job to one replica. The server does not read
 * it.
 */
final class Parents {
  static final Metadata.Key<String> KEY =
      Metadata.Key.of("taskgate-parent", Metadata.ASCII_STRING_MARSHALLER);

  /** What one poller of the server asks for as a whole: steps and tasks are parts of it. */
  private static final Set<String> WHOLES = Set.of("jobs", "runs");

  private Parents() {}

  /** A stub for one call. An interceptor could not tell: it has no request when a call starts. */
  static <S extends AbstractStub<S>> S telling(S stub, Message request) {
    return stub.withInterceptors(MetadataUtils.newAttachHeadersInterceptor(headers(request)));
  }

  /** What is to be told of a call. */
  static Metadata headers(Message request) {
    Metadata headers = new Metadata();
    shared(request).ifPresent(parent -> headers.put(KEY, parent));
    return headers;
  }

  /** The one parent of all that a request names; nothing where there are several, or none. */
  static Optional<String> shared(Message request) {
    Set<String> parents = names(request).stream().map(Parents::of).collect(Collectors.toSet());
    // Metadata takes nothing else, and such a name is none: the server says so.
    return parents.size() == 1
        ? parents.stream().filter(Headers::canBeSent).findFirst()
        : Optional.empty();
  }

  /** The job or run in a name of it, of a step or of a task; any other name as it is. */
  static String of(String name) {
    List<String> parts = List.of(name.split("/", -1));
    for (int index = 1; index < parts.size(); index += 2) {
      if (WHOLES.contains(parts.get(index))) {
        return String.join("/", parts.subList(0, Math.min(index + 2, parts.size())));
      }
    }
    return name;
  }

  /** The names in whichever of the fields the request has. */
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
