package io.taskgate.client;

import static org.junit.jupiter.api.Assertions.assertEquals;

import io.grpc.health.v1.HealthCheckRequest;
import io.taskgate.v1.BatchGetTasksRequest;
import io.taskgate.v1.BatchUpdateTasksRequest;
import io.taskgate.v1.GetServerInfoRequest;
import io.taskgate.v1.GetTaskRequest;
import io.taskgate.v1.TaskUpdate;
import io.taskgate.v1.WatchTasksRequest;
import java.util.List;
import java.util.Optional;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;
import org.junit.jupiter.params.provider.ValueSource;

class ParentsTest {
  private static final String JOB = "deadline/farms/farm-1/queues/queue-2/jobs/job-3";
  private static final String RUN = "omics/runs/1234567";
  private static final List<String> TASKS =
      List.of(RUN + "/tasks/0", RUN + "/tasks/1", RUN + "/tasks/2");

  static Stream<Arguments> names() {
    return Stream.of(
        Arguments.of(JOB + "/steps/step-4/tasks/task-5", JOB),
        Arguments.of(JOB + "/steps/step-4", JOB),
        Arguments.of(JOB, JOB),
        Arguments.of(
            "deadline/farms/farm-1/queues/queue-2", "deadline/farms/farm-1/queues/queue-2"),
        Arguments.of(RUN + "/tasks/8", RUN),
        Arguments.of(RUN, RUN),
        Arguments.of(
            "deadline/farms/jobs/queues/runs/jobs/job-3/steps/s",
            "deadline/farms/jobs/queues/runs/jobs/job-3"),
        Arguments.of("omics/runs", "omics/runs"),
        Arguments.of("no name", "no name"));
  }

  @ParameterizedTest
  @MethodSource("names")
  void ofNamesAreTheirJobOrRun(String name, String parent) {
    assertEquals(parent, Parents.of(name));
  }

  static Stream<Arguments> tasks() {
    return Stream.of(
        Arguments.of(RUN + "/tasks/8", RUN),
        Arguments.of("batch/queues/q/jobs/j", "batch/queues/q"),
        Arguments.of("batch/queues/q/jobs/j/childJobs/3", "batch/queues/q/jobs/j"),
        Arguments.of("batch/queues/q", "batch/queues/q"),
        Arguments.of("no name", "no name"));
  }

  @ParameterizedTest
  @MethodSource("tasks")
  void ofTasksOfAnyServiceAreWhatContainsThem(String name, String parent) {
    assertEquals(parent, Parents.ofTask(name));
    var request = GetTaskRequest.newBuilder().setName(name).build();
    assertEquals(Optional.of(parent), Parents.shared(request));
  }

  @Test
  void ofUnknownServicesAreThemselves() {
    var request = WatchTasksRequest.newBuilder().setParent("batch/queues/q/jobs/j").build();
    assertEquals(Optional.of("batch/queues/q/jobs/j"), Parents.shared(request));
  }

  @Test
  void ofSeveralNamesAreSharedByAll() {
    var together = BatchGetTasksRequest.newBuilder().addAllNames(TASKS).build();
    assertEquals(Optional.of(RUN), Parents.shared(together));
    var changes = BatchUpdateTasksRequest.newBuilder();
    TASKS.forEach(name -> changes.addUpdates(TaskUpdate.newBuilder().setName(name)));
    assertEquals(Optional.of(RUN), Parents.shared(changes.build()));
    assertEquals(
        Optional.empty(), Parents.shared(changes.addUpdates(TaskUpdate.newBuilder()).build()));
    var watch = WatchTasksRequest.newBuilder().addAllNames(TASKS).setParent(RUN);
    assertEquals(Optional.of(RUN), Parents.shared(watch.build()));
    assertEquals(Optional.empty(), Parents.shared(watch.setParent(JOB).build()));
    var apart = watch.clearParent().addNames(JOB + "/steps/s/tasks/t").build();
    assertEquals(Optional.empty(), Parents.shared(apart));
  }

  @ParameterizedTest
  @ValueSource(strings = {"omics/runs/größe/tasks/1", "omics/runs/1\n/tasks/1", ""})
  void thatAreNotPrintableAsciiAreNotSent(String name) {
    var request = GetTaskRequest.newBuilder().setName(name).build();
    assertEquals(Optional.empty(), Parents.shared(request));
  }

  @Test
  void ofRequestsWithoutNamesAreNotSent() {
    assertEquals(Optional.empty(), Parents.shared(GetServerInfoRequest.getDefaultInstance()));
    var health = HealthCheckRequest.newBuilder().setService(RUN).build();
    assertEquals(Optional.empty(), Parents.shared(health));
  }
}
