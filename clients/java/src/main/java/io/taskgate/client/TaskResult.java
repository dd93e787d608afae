package io.taskgate.client;

import io.taskgate.v1.Task;
import java.util.Optional;

/**
 * The result for one name: a task, or the error that {@code getTask} would throw.
 *
 * @param task the task, if there is one
 * @param error the error, if there is none
 */
public record TaskResult(Optional<Task> task, Optional<TaskgateException> error) {
  static TaskResult of(io.taskgate.v1.TaskResult result) {
    return result.hasError()
        ? new TaskResult(Optional.empty(), Optional.of(TaskgateException.of(result.getError())))
        : new TaskResult(Optional.of(result.getTask()), Optional.empty());
  }

  /**
   * Returns the task, or throws the error.
   *
   * @return the task
   * @throws TaskgateException the error, if there is no task
   */
  public Task orElseThrow() {
    error.ifPresent(
        each -> {
          throw each;
        });
    return task.orElseThrow();
  }
}
