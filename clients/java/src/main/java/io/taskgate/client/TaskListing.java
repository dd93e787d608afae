package io.taskgate.client;

import io.taskgate.v1.ListTasksRequest;
import io.taskgate.v1.ListTasksResponse;
import io.taskgate.v1.Task;
import java.util.ArrayDeque;
import java.util.Deque;
import java.util.Iterator;
import java.util.NoSuchElementException;
import java.util.Optional;
import java.util.OptionalInt;
import java.util.function.Function;
import org.jspecify.annotations.Nullable;

/** An iteration over tasks, which fetches pages as needed. It is not thread-safe. */
public final class TaskListing implements Iterable<Task> {
  private final Function<ListTasksRequest, ListTasksResponse> fetch;
  private final Deque<Task> tasks = new ArrayDeque<>();
  private final Iterator<Task> iterator = new Tasks();
  private @Nullable ListTasksRequest request;
  private OptionalInt totalSize = OptionalInt.empty();
  private Optional<String> incompleteReason = Optional.empty();

  TaskListing(ListTasksRequest request, Function<ListTasksRequest, ListTasksResponse> fetch) {
    this.request = request;
    this.fetch = fetch;
  }

  /**
   * Returns the only iterator, which later calls return, too.
   *
   * <p>{@code hasNext} throws a {@link TaskgateException} if a page could not be fetched; the next
   * attempt requests the same page again.
   */
  @Override
  public Iterator<Task> iterator() {
    return iterator;
  }

  /**
   * Returns the number of tasks of the parent, regardless of the filter.
   *
   * @return the number; empty before the first page, and if AWS does not return it
   */
  public OptionalInt totalSize() {
    return totalSize;
  }

  /**
   * Returns why the listing omits tasks.
   *
   * @return the reason; known at the end of the listing at the latest
   */
  public Optional<String> incompleteReason() {
    return incompleteReason;
  }

  private void add(ListTasksRequest current, ListTasksResponse page) {
    tasks.addAll(page.getTasksList());
    if (page.hasTotalSize()) {
      totalSize = OptionalInt.of(page.getTotalSize());
    }
    if (page.hasIncompleteReason()) {
      incompleteReason = Optional.of(page.getIncompleteReason());
    }
    String token = page.getNextPageToken();
    request = token.isEmpty() ? null : current.toBuilder().setPageToken(token).build();
  }

  private final class Tasks implements Iterator<Task> {
    @Override
    public boolean hasNext() {
      while (tasks.isEmpty() && request != null) {
        add(request, fetch.apply(request));
      }
      return !tasks.isEmpty();
    }

    @Override
    public Task next() {
      if (!hasNext()) {
        throw new NoSuchElementException("there are no more tasks");
      }
      return tasks.remove();
    }
  }
}
