package io.taskgate.client;

import com.google.protobuf.Message;
import io.grpc.Metadata;
import io.grpc.stub.AbstractStub;
import io.grpc.stub.MetadataUtils;
import io.taskgate.v1.TaskUpdate;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.stream.Collectors;

/**
 * The parent that a call is about, sent as metadata for proxies, which cannot read messages.
 *
 * <p>A proxy that hashes it routes all calls about one job to one replica. The server does not read
 * it.
 *
 * <p>It is the parent that the server polls with everything it contains, such as a job or a run.
 * Names of services that this version does not know belong to what directly contains the task.
 */
final class Parents {
  static final Metadata.Key<String> KEY =
      Metadata.Key.of("taskgate-parent", Metadata.ASCII_STRING_MARSHALLER);

  /** The segments of the form by service. */
  private static final Map<String, List<String>> ROOTS =
      NameForms.ROOTS.stream()
          .map(form -> List.of(form.split("/", -1)))
          .collect(Collectors.toMap(form -> form.get(0), form -> form));

  private Parents() {}

  /** Returns a stub for one call. An interceptor has no request yet when the call starts. */
  static <S extends AbstractStub<S>> S attach(S stub, Message request) {
    return stub.withOption(Writes.ROOTS, roots(request))
        .withInterceptors(MetadataUtils.newAttachHeadersInterceptor(headers(request)));
  }

  /** Returns the metadata of a call. */
  static Metadata headers(Message request) {
    Metadata headers = new Metadata();
    shared(request).ifPresent(parent -> headers.put(KEY, parent));
    return headers;
  }

  /** Returns the parent that all names in a request share, if there is one. */
  static Optional<String> shared(Message request) {
    Set<String> parents = Set.copyOf(parents(request));
    // Metadata has to be printable ASCII. No valid name is anything else; the server rejects it.
    return parents.size() == 1
        ? parents.stream().filter(Headers::canBeSent).findFirst()
        : Optional.empty();
  }

  /** Returns the jobs and runs of all names in a request; empty if it may concern others, too. */
  static Set<String> roots(Message request) {
    Set<String> parents = Set.copyOf(parents(request));
    return parents.stream().allMatch(Parents::isRoot) ? parents : Set.of();
  }

  private static boolean isRoot(String name) {
    List<String> parts = List.of(name.split("/", -1));
    List<String> root = ROOTS.getOrDefault(parts.get(0), List.of());
    return !root.isEmpty() && NameForm.match(root, parts).isPresent();
  }

  /** Returns the job or run in the name of a job, run, step or task; other names unchanged. */
  static String of(String name) {
    List<String> parts = List.of(name.split("/", -1));
    List<String> root = ROOTS.getOrDefault(parts.get(0), List.of());
    List<String> start = parts.subList(0, Math.min(root.size(), parts.size()));
    return root.isEmpty() || NameForm.match(root, start).isEmpty() ? name : String.join("/", start);
  }

  /** Returns the job or run of a task, or what contains the task of an unknown service. */
  static String ofTask(String name) {
    List<String> parts = List.of(name.split("/", -1));
    return ROOTS.containsKey(parts.get(0)) || parts.size() <= 3
        ? of(name)
        : String.join("/", parts.subList(0, parts.size() - 2));
  }

  /** Returns the parent of each name in whichever of these fields the request has. */
  private static List<String> parents(Message request) {
    List<String> parents = new ArrayList<>();
    request
        .getAllFields()
        .forEach(
            (field, value) -> {
              switch (field.getName()) {
                case "name" -> parents.add(ofTask((String) value));
                case "parent" -> parents.add(of((String) value));
                case "names" ->
                    ((List<?>) value).forEach(each -> parents.add(ofTask((String) each)));
                case "updates" ->
                    ((List<?>) value)
                        .forEach(each -> parents.add(ofTask(((TaskUpdate) each).getName())));
                default -> {}
              }
            });
    return parents;
  }
}
