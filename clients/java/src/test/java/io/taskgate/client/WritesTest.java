package io.taskgate.client;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.grpc.Metadata;
import io.grpc.ServerCall;
import io.grpc.ServerCallHandler;
import io.grpc.ServerInterceptor;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import io.grpc.health.v1.HealthGrpc;
import io.grpc.stub.StreamObserver;
import io.taskgate.deadline.v1.DeadlineServiceGrpc;
import io.taskgate.omics.v1.CancelRunRequest;
import io.taskgate.omics.v1.OmicsServiceGrpc;
import io.taskgate.v1.BatchGetTasksRequest;
import io.taskgate.v1.BatchUpdateTasksRequest;
import io.taskgate.v1.CancelTaskRequest;
import io.taskgate.v1.CancelTaskResponse;
import io.taskgate.v1.GetServerInfoRequest;
import io.taskgate.v1.GetTaskRequest;
import io.taskgate.v1.GetTaskResponse;
import io.taskgate.v1.ListTasksRequest;
import io.taskgate.v1.TaskServiceGrpc;
import io.taskgate.v1.TaskServiceGrpc.TaskServiceImplBase;
import io.taskgate.v1.TaskUpdate;
import java.io.IOException;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Optional;
import java.util.Set;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class WritesTest {
  private static final String JOB = "deadline/farms/farm-1/queues/queue-2/jobs/job-3";
  private static final String RUN = "omics/runs/1234567";
  private static final String TASK = RUN + "/tasks/1";

  private long now = Long.MAX_VALUE - 5; // nanoTime may overflow
  private final Writes writes = new Writes(() -> now);

  private void advance(Duration time) {
    now += time.toNanos();
  }

  private void expect(String seconds, String... roots) {
    assertEquals(Optional.of(seconds), writes.since(Set.of(roots)));
  }

  private void expectNone(String... roots) {
    assertEquals(Optional.empty(), writes.since(Set.of(roots)));
  }

  @Test
  void areSentAsTheTimeSinceThemRoundedDown() {
    expectNone(JOB);
    writes.record(Set.of(JOB));
    expect("0.000", JOB);
    advance(Duration.ofNanos(12_034_900_000L));
    expect("12.034", JOB);
  }

  @Test
  void concernReadsOfTheirJobOrRunAndOfAnythingElse() {
    writes.record(Set.of(JOB));
    advance(Duration.ofSeconds(1));
    expectNone(RUN);
    expect("1.000", RUN, JOB);
    expect("1.000");
  }

  @Test
  void ofAnythingConcernAllReads() {
    writes.record(Set.of(JOB));
    advance(Duration.ofSeconds(1));
    writes.record(Set.of());
    advance(Duration.ofSeconds(1));
    expect("1.000", JOB);
    expect("1.000", RUN);
    expect("1.000");
  }

  @Test
  void areNotSentWhenTheyAreOld() {
    writes.record(Set.of(JOB));
    advance(Duration.ofMinutes(5));
    expect("300.000", JOB);
    advance(Duration.ofMillis(1));
    expectNone(JOB);
  }

  @Test
  void ofVeryManyJobsConcernAllReads() {
    for (int number = 0; number < 1_000; number++) {
      writes.record(Set.of("job " + number));
    }
    expectNone(JOB);
    advance(Duration.ofSeconds(1));
    writes.record(Set.of("one more"));
    advance(Duration.ofSeconds(1));
    expect("1.000", JOB);
    expect("1.000", "job 7");
  }

  @Test
  void andReadsConcernTheJobsAndRunsInTheirNamesOrAlsoOthers() {
    String task = JOB + "/steps/step-4/tasks/task-5";
    var update = TaskUpdate.newBuilder().setName(task);
    var both = BatchGetTasksRequest.newBuilder().addNames(task).addNames(TASK);
    assertEquals(Set.of(JOB, RUN), Parents.roots(both.build()));
    assertEquals(
        Set.of(JOB),
        Parents.roots(BatchUpdateTasksRequest.newBuilder().addUpdates(update).build()));
    assertEquals(Set.of(), Parents.roots(both.addNames("batch/queues/q/jobs/j").build()));
    var queue = ListTasksRequest.newBuilder().setParent("deadline/farms/f/queues/q");
    assertEquals(Set.of(), Parents.roots(queue.build()));
    assertEquals(Set.of(), Parents.roots(GetServerInfoRequest.getDefaultInstance()));
  }

  @Test
  void areRecognizedByTheirNames() {
    assertTrue(Writes.isWrite(TaskServiceGrpc.getCancelTaskMethod()));
    assertTrue(Writes.isWrite(OmicsServiceGrpc.getUploadReadSetPartMethod()));
    assertFalse(Writes.isWrite(TaskServiceGrpc.getSummarizeTasksMethod()));
    assertFalse(Writes.isWrite(DeadlineServiceGrpc.getBatchGetTaskMethod()));
    assertFalse(Writes.isWrite(HealthGrpc.getCheckMethod()));
    assertFalse(Writes.isRead(HealthGrpc.getCheckMethod()));
  }

  @ParameterizedTest
  @ValueSource(booleans = {false, true})
  void countWhateverTheirOutcomeIs(boolean fails) throws IOException {
    List<Boolean> sent = Collections.synchronizedList(new ArrayList<>());
    var read = GetTaskRequest.newBuilder().setName(TASK).build();
    try (var server = TestServer.of(List.of(recording(sent)), new Service(fails));
        var client = server.client()) {
      client.getTask(read);
      try {
        client.cancelTask(CancelTaskRequest.newBuilder().setName(TASK).build());
      } catch (TaskgateException error) {
        assertTrue(fails);
      }
      var other = GetTaskRequest.newBuilder().setName("omics/runs/7654321/tasks/1").build();
      client.getTask(other);
      client.withTimeout(Duration.ofSeconds(5)).getTask(read);
    }
    assertEquals(List.of(false, false, false, true), sent);
  }

  @Test
  void throughTheStubOfAnAwsServiceConcernAllReads() throws IOException {
    List<Boolean> sent = Collections.synchronizedList(new ArrayList<>());
    try (var server = TestServer.of(List.of(recording(sent)), new Service(false));
        var client = server.client()) {
      try {
        client.omics().cancelRun(CancelRunRequest.getDefaultInstance());
      } catch (StatusRuntimeException error) {
        assertEquals(Status.Code.UNIMPLEMENTED, error.getStatus().getCode());
      }
      client.getTask(GetTaskRequest.newBuilder().setName(TASK).build());
    }
    assertEquals(List.of(true), sent);
  }

  private static ServerInterceptor recording(List<Boolean> sent) {
    return new ServerInterceptor() {
      @Override
      public <Q, A> ServerCall.Listener<Q> interceptCall(
          ServerCall<Q, A> call, Metadata headers, ServerCallHandler<Q, A> next) {
        sent.add(headers.containsKey(Writes.SINCE_WRITE));
        return next.startCall(call, headers);
      }
    };
  }

  private static final class Service extends TaskServiceImplBase {
    private final boolean fails;

    private Service(boolean fails) {
      this.fails = fails;
    }

    @Override
    public void getTask(GetTaskRequest request, StreamObserver<GetTaskResponse> observer) {
      observer.onNext(GetTaskResponse.getDefaultInstance());
      observer.onCompleted();
    }

    @Override
    public void cancelTask(CancelTaskRequest request, StreamObserver<CancelTaskResponse> observer) {
      if (fails) {
        observer.onError(Status.UNAVAILABLE.asException());
        return;
      }
      observer.onNext(CancelTaskResponse.getDefaultInstance());
      observer.onCompleted();
    }
  }
}
