package io.taskgate.client;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertThrows;

import io.grpc.Status.Code;
import io.taskgate.v1.ListTasksRequest;
import io.taskgate.v1.ListTasksResponse;
import io.taskgate.v1.Task;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.NoSuchElementException;
import java.util.Optional;
import java.util.OptionalInt;
import org.junit.jupiter.api.Test;

class TaskListingTest {
  private static final Map<String, ListTasksResponse> PAGES =
      Map.of(
          "",
          ListTasksResponse.newBuilder()
              .addTasks(task("a"))
              .addTasks(task("b"))
              .setNextPageToken("2")
              .setTotalSize(3)
              .build(),
          "2",
          ListTasksResponse.newBuilder().setNextPageToken("3").build(),
          "3",
          ListTasksResponse.newBuilder().addTasks(task("c")).setIncompleteReason("many").build());

  private final List<String> requested = new ArrayList<>();
  private final TaskListing listing =
      new TaskListing(ListTasksRequest.getDefaultInstance(), this::fetch);
  private boolean faulty;

  private static Task task(String name) {
    return Task.newBuilder().setName(name).build();
  }

  private ListTasksResponse fetch(ListTasksRequest request) {
    requested.add(request.getPageToken());
    if (faulty && requested.size() == 2) {
      throw Failures.failure(Code.UNAVAILABLE);
    }
    return PAGES.get(request.getPageToken());
  }

  @Test
  void iteratesOverAllPagesEmptyOnesToo() {
    List<String> names = new ArrayList<>();
    listing.forEach(each -> names.add(each.getName()));
    assertEquals(List.of("a", "b", "c"), names);
    assertEquals(List.of("", "2", "3"), requested);
    assertEquals(OptionalInt.of(3), listing.totalSize());
    assertEquals(Optional.of("many"), listing.incompleteReason());
    assertThrows(NoSuchElementException.class, () -> listing.iterator().next());
  }

  @Test
  void fetchesNoPageBeforeItIsNeeded() {
    assertEquals(List.of(), requested);
    assertSame("a", listing.iterator().next().getName());
    assertSame("b", listing.iterator().next().getName());
    assertEquals(List.of(""), requested);
  }

  @Test
  void requestsFailedPageAgain() {
    faulty = true;
    var tasks = listing.iterator();
    assertEquals("a", tasks.next().getName());
    assertEquals("b", tasks.next().getName());
    assertThrows(TaskgateException.class, tasks::hasNext);
    assertEquals("c", tasks.next().getName());
    assertEquals(List.of("", "2", "2", "3"), requested);
  }
}
