package io.taskgate.client;

import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.function.Function;

/**
 * The form of names of one type.
 *
 * @param text the form, such as {@code omics/runs/{run}/tasks/{task}}
 * @param segments its segments
 * @param make makes a name from its ids
 */
record NameForm(String text, List<String> segments, Function<List<String>, Name> make) {
  static NameForm of(String text, Function<List<String>, Name> make) {
    return new NameForm(text, List.of(text.split("/")), make);
  }

  /** Returns the name with these segments, if it has the form. */
  Optional<Name> parse(List<String> name) {
    return match(segments, name).map(make);
  }

  /** Returns the name with these ids. */
  String fill(String... ids) {
    List<String> name = new ArrayList<>();
    int next = 0;
    for (String segment : segments) {
      name.add(isId(segment) ? ids[next++] : segment);
    }
    return String.join("/", name);
  }

  /** Returns the ids in the segments of a name, if it has the form. */
  static Optional<List<String>> match(List<String> form, List<String> name) {
    if (form.size() != name.size()) {
      return Optional.empty();
    }
    List<String> ids = new ArrayList<>();
    for (int index = 0; index < form.size(); index++) {
      String segment = form.get(index);
      String each = name.get(index);
      if (isId(segment) ? each.isEmpty() : !each.equals(segment)) {
        return Optional.empty();
      }
      if (isId(segment)) {
        ids.add(each);
      }
    }
    return Optional.of(ids);
  }

  /** Returns whether a segment of a form stands for an id. */
  private static boolean isId(String segment) {
    return segment.startsWith("{");
  }
}
