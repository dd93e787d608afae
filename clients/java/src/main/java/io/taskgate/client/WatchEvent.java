package io.taskgate.client;

import io.taskgate.v1.ParentStatus;
import io.taskgate.v1.SnapshotEnd;
import io.taskgate.v1.SnapshotReason;
import io.taskgate.v1.Task;
import java.time.Duration;
import java.util.List;
import java.util.Optional;

/**
 * What a watch tells. An enum of a message may have a value that is newer than this package: {@code
 * UNRECOGNIZED}, and its number by the getter that ends in {@code Value}.
 */
public sealed interface WatchEvent {
  /**
   * All the tasks there are. Whatever the watch told before is void.
   *
   * @param tasks the tasks
   * @param reasonValue why there is one, as a number
   * @param end what the server said at its end, such as when AWS was asked
   */
  record Snapshot(List<Task> tasks, int reasonValue, SnapshotEnd end) implements WatchEvent {
    /**
     * Why there is a snapshot.
     *
     * @return the watch is new, or the server could not go on where it was
     */
    public SnapshotReason reason() {
      return Optional.ofNullable(SnapshotReason.forNumber(reasonValue))
          .orElse(SnapshotReason.UNRECOGNIZED);
    }
  }

  /**
   * A task came, changed or went.
   *
   * @param change what happened to it, and its state before
   */
  record TaskChange(io.taskgate.v1.TaskChange change) implements WatchEvent {
    /**
     * Which task.
     *
     * @return the task as it now is; as it last was, if it went
     */
    public Task task() {
      return change.getTask();
    }
  }

  /**
   * Nothing has happened for a while.
   *
   * @param heartbeat how old the picture is
   * @param upstreamError why AWS could not be asked lately, if so
   */
  record Heartbeat(io.taskgate.v1.Heartbeat heartbeat, Optional<TaskgateException> upstreamError)
      implements WatchEvent {}

  /**
   * The server was lost; it is called again after the delay, and the watch goes on.
   *
   * @param error how it was lost
   * @param delay until it is called
   * @param failures how many there have been since the server was last heard, this one included
   */
  record Reconnecting(TaskgateException error, Duration delay, int failures)
      implements WatchEvent {}

  /** The watch goes on where it was: nothing was missed, and no snapshot comes. */
  record Resumed() implements WatchEvent {}

  /**
   * The last event: the watch has ended by itself.
   *
   * @param end why, and the tasks as a whole
   */
  record WatchEnd(io.taskgate.v1.WatchEnd end) implements WatchEvent {
    /**
     * The state of the watched parent itself, with the reason if it failed.
     *
     * @return the state; for a watch of named tasks that of an ended parent whose tasks can never
     *     settle; empty if there is none, and from an older server
     */
    public Optional<ParentStatus> parentStatus() {
      return end.hasParentStatus() ? Optional.of(end.getParentStatus()) : Optional.empty();
    }
  }
}
