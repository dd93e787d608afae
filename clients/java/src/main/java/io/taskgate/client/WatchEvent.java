package io.taskgate.client;

import io.taskgate.v1.ParentStatus;
import io.taskgate.v1.SnapshotEnd;
import io.taskgate.v1.SnapshotReason;
import io.taskgate.v1.Task;
import java.time.Duration;
import java.util.List;
import java.util.Optional;

/**
 * An event of a watch. An enum of a message may have a value that is newer than this package:
 * {@code UNRECOGNIZED}, whose number the getter that ends in {@code Value} returns.
 */
public sealed interface WatchEvent {
  /**
   * All watched tasks. It replaces everything that earlier events reported.
   *
   * @param tasks the tasks
   * @param reasonValue the number of the reason
   * @param end the end of the snapshot, with the time of the oldest response of AWS
   */
  record Snapshot(List<Task> tasks, int reasonValue, SnapshotEnd end) implements WatchEvent {
    /**
     * Returns why the snapshot was sent.
     *
     * @return the watch is new, or the server could not resume it
     */
    public SnapshotReason reason() {
      return Optional.ofNullable(SnapshotReason.forNumber(reasonValue))
          .orElse(SnapshotReason.UNRECOGNIZED);
    }
  }

  /**
   * A task was added, updated or removed.
   *
   * @param change the change, with the previous state
   */
  record TaskChange(io.taskgate.v1.TaskChange change) implements WatchEvent {
    /**
     * Returns the task.
     *
     * @return the current task; the last known one if it was removed
     */
    public Task task() {
      return change.getTask();
    }
  }

  /**
   * There was no other event for a while.
   *
   * @param heartbeat the times of the latest and next poll of AWS
   * @param upstreamError why the latest poll of AWS failed, if it did
   */
  record Heartbeat(io.taskgate.v1.Heartbeat heartbeat, Optional<TaskgateException> upstreamError)
      implements WatchEvent {}

  /**
   * The call broke. The client calls again after the delay and resumes the watch.
   *
   * @param error the error of the call
   * @param delay the time until the next call
   * @param failures number of failures since the latest message of the server, with this one
   */
  record Reconnecting(TaskgateException error, Duration delay, int failures)
      implements WatchEvent {}

  /** The watch resumed without a snapshot; no change was missed. */
  record Resumed() implements WatchEvent {}

  /**
   * The last event: the watch is complete.
   *
   * @param end the reason, and the counts of the tasks
   */
  record WatchEnd(io.taskgate.v1.WatchEnd end) implements WatchEvent {
    /**
     * Returns the state of the watched parent itself, with the reason if it failed.
     *
     * @return the state; for a watch of named tasks that of an ended parent whose tasks can never
     *     settle; empty if there is none, and from an older server
     */
    public Optional<ParentStatus> parentStatus() {
      return end.hasParentStatus() ? Optional.of(end.getParentStatus()) : Optional.empty();
    }
  }
}
