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

/** Goes through tasks, and asks for a page when it has none left. For one thread. */
public final class TaskListing implements Iterable<Task> {
  private final Function<ListTasksRequest, ListTasksResponse> ask;
  private final Deque<Task> tasks = new ArrayDeque<>();
  private final Iterator<Task> iterator = new Tasks();
  private @Nullable ListTasksRequest request;
  private OptionalInt totalSize = OptionalInt.empty();
  private Optional<String> incompleteReason = Optional.empty();

  TaskListing(ListTasksRequest request, Function<ListTasksRequest, ListTasksResponse> ask) {
    this.request = request;
    this.ask = ask;
  }

  /**
   * The tasks, once: another iterator goes on where this one is.
   *
   * <p>{@code hasNext} throws a {@link TaskgateException} if a page could not be had; asking again
   * asks for the same page.
   */
  @Override
  public Iterator<Task> iterator() {
    return iterator;
  }

  /**
   * How many tasks the parent has, whatever the filter.
   *
   * @return the number where AWS tells it, known after a page
   */
  public OptionalInt totalSize() {
    return totalSize;
  }

  /**
   * Why there are tasks that are not listed.
   *
   * @return the reason, once it is known: at the latest at the end
   */
  public Optional<String> incompleteReason() {
    return incompleteReason;
  }

  private void take(ListTasksRequest asked, ListTasksResponse page) {
    tasks.addAll(page.getTasksList());
    if (page.hasTotalSize()) {
      totalSize = OptionalInt.of(page.getTotalSize());
    }
    if (page.hasIncompleteReason()) {
      incompleteReason = Optional.of(page.getIncompleteReason());
    }
    String token = page.getNextPageToken();
    request = token.isEmpty() ? null : asked.toBuilder().setPageToken(token).build();
  }

  private final class Tasks implements Iterator<Task> {
    @Override
    public boolean hasNext() {
      while (tasks.isEmpty() && request != null) {
        take(request, ask.apply(request));
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
