package io.taskgate.client;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.function.Function;
import java.util.stream.Collectors;

/** Parsing and formatting of names. */
final class Names {
  static final List<String> DEADLINE = List.of("farm", "queue", "job", "step", "task");
  static final List<String> OMICS = List.of("run", "task");

  /** A kind of name: its service, its collections, and its constructor. */
  record Form(String service, List<String> collections, Function<List<String>, Name> make) {
    boolean matches(String prefix, List<String> parts) {
      if (!prefix.equals(service) || parts.size() != 2 * collections.size()) {
        return false;
      }
      for (int index = 0; index < collections.size(); index++) {
        boolean same = parts.get(2 * index).equals(collections.get(index) + "s");
        if (!same || parts.get(2 * index + 1).isEmpty()) {
          return false;
        }
      }
      return true;
    }

    @Override
    public String toString() {
      return collections.stream()
          .map(each -> each + "s/{" + each + "}")
          .collect(Collectors.joining("/", service + "/", ""));
    }
  }

  static final List<Form> TASKS =
      List.of(
          new Form(
              "deadline",
              DEADLINE,
              ids ->
                  new Name.DeadlineTask(
                      ids.get(0), ids.get(1), ids.get(2), ids.get(3), ids.get(4))),
          new Form("omics", OMICS, ids -> new Name.OmicsTask(ids.get(0), ids.get(1))));

  static final List<Form> PARENTS =
      List.of(
          new Form(
              "deadline",
              DEADLINE.subList(0, 4),
              ids -> new Name.DeadlineStep(ids.get(0), ids.get(1), ids.get(2), ids.get(3))),
          new Form(
              "deadline",
              DEADLINE.subList(0, 3),
              ids -> new Name.DeadlineJob(ids.get(0), ids.get(1), ids.get(2))),
          new Form(
              "deadline",
              DEADLINE.subList(0, 2),
              ids -> new Name.DeadlineQueue(ids.get(0), ids.get(1))),
          new Form("omics", OMICS.subList(0, 1), ids -> new Name.OmicsRun(ids.get(0))));

  private Names() {}

  static Name parse(String name, List<Form> forms) {
    List<String> all = Arrays.asList(name.split("/", -1));
    List<String> parts = all.subList(1, all.size());
    for (Form form : forms) {
      if (form.matches(all.get(0), parts)) {
        List<String> ids = new ArrayList<>();
        for (int index = 1; index < parts.size(); index += 2) {
          ids.add(parts.get(index));
        }
        return form.make().apply(ids);
      }
    }
    String known = forms.stream().map(Form::toString).collect(Collectors.joining(" or "));
    throw new IllegalArgumentException("\"" + name + "\" is not a name; the form is " + known);
  }

  static void check(List<String> collections, String... ids) {
    for (int index = 0; index < ids.length; index++) {
      if (ids[index].isEmpty() || ids[index].contains("/")) {
        throw new IllegalArgumentException(
            String.format(
                "the id \"%s\" in %ss is empty or contains a slash",
                ids[index], collections.get(index)));
      }
    }
  }

  static String join(String service, List<String> collections, String... ids) {
    StringBuilder name = new StringBuilder(service);
    for (int index = 0; index < ids.length; index++) {
      name.append('/').append(collections.get(index)).append("s/").append(ids[index]);
    }
    return name.toString();
  }
}
