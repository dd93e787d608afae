package io.taskgate.client;

import java.util.List;
import java.util.Optional;
import java.util.stream.Collectors;

/** Parsing and formatting of names. */
final class Names {
  private Names() {}

  static Name parse(String name, List<NameForm> forms) {
    List<String> segments = List.of(name.split("/", -1));
    for (NameForm form : forms) {
      Optional<Name> parsed = form.parse(segments);
      if (parsed.isPresent()) {
        return parsed.get();
      }
    }
    String known = forms.stream().map(NameForm::text).collect(Collectors.joining(" or "));
    throw new IllegalArgumentException("\"" + name + "\" is not a name; the form is " + known);
  }

  static void check(NameForm form, String... ids) {
    for (String id : ids) {
      if (id.isEmpty() || id.contains("/")) {
        throw new IllegalArgumentException(
            String.format("an id is empty or contains a slash: \"%s\", in %s", id, form.text()));
      }
    }
  }

  static String join(NameForm form, String... ids) {
    return form.fill(ids);
  }
}
