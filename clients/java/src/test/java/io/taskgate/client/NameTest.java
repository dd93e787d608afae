package io.taskgate.client;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;
import org.junit.jupiter.params.provider.ValueSource;

class NameTest {
  static Stream<Name> names() {
    return Stream.of(
        new Name.DeadlineQueue("f", "q"),
        new Name.DeadlineJob("f", "q", "j"),
        new Name.DeadlineStep("f", "q", "j", "s"),
        new Name.DeadlineTask("f", "q", "j", "s", "t"),
        new Name.OmicsRun("1"),
        new Name.OmicsTask("1", "2"));
  }

  @ParameterizedTest
  @MethodSource("names")
  void areParsedAndFormatted(Name name) {
    boolean isTask = name instanceof Name.DeadlineTask || name instanceof Name.OmicsTask;
    String text = name.toString();
    assertEquals(name, isTask ? Name.parseTask(text) : Name.parseParent(text));
    assertThrows(
        IllegalArgumentException.class,
        () -> {
          Name unused = isTask ? Name.parseParent(text) : Name.parseTask(text);
        });
  }

  @ParameterizedTest
  @ValueSource(
      strings = {"", "omics", "omics/runs/1/tasks", "omics/runs//tasks/2", "omics/runs/1/tasks/2/"})
  void thatAreMalformedAreRejectedWithTheValidForms(String text) {
    var error = assertThrows(IllegalArgumentException.class, () -> Name.parseTask(text));
    assertTrue(error.getMessage().contains("omics/runs/{run}/tasks/{task}"), error.getMessage());
  }

  @Test
  void rejectIdsThatCannotBeParsed() {
    assertThrows(IllegalArgumentException.class, () -> new Name.OmicsTask("1", ""));
    assertThrows(IllegalArgumentException.class, () -> new Name.OmicsTask("1", "2/3"));
  }
}
