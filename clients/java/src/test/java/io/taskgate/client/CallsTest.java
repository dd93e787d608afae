package io.taskgate.client;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertInstanceOf;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.grpc.Channel;
import io.grpc.ClientInterceptors;
import io.grpc.Context;
import io.grpc.Metadata;
import io.grpc.Status;
import io.grpc.Status.Code;
import io.grpc.StatusRuntimeException;
import io.grpc.stub.ServerCallStreamObserver;
import io.grpc.stub.StreamObserver;
import io.taskgate.deadline.v1.GetFarmRequest;
import io.taskgate.v1.GetServerInfoRequest;
import io.taskgate.v1.GetServerInfoResponse;
import io.taskgate.v1.GetTaskRequest;
import io.taskgate.v1.GetTaskResponse;
import io.taskgate.v1.SnapshotBegin;
import io.taskgate.v1.SnapshotEnd;
import io.taskgate.v1.StreamTaskLogsRequest;
import io.taskgate.v1.TaskServiceGrpc;
import io.taskgate.v1.TaskServiceGrpc.TaskServiceImplBase;
import io.taskgate.v1.WaitTaskRequest;
import io.taskgate.v1.WaitTaskResponse;
import io.taskgate.v1.WatchTasksRequest;
import io.taskgate.v1.WatchTasksResponse;
import java.io.IOException;
import java.time.Duration;
import java.util.concurrent.ArrayBlockingQueue;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.Callable;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.FutureTask;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

/** The client with a server that hangs, sends malformed details, or records calls. */
@Timeout(30)
class CallsTest {
  private static final GetTaskRequest HANGING = GetTaskRequest.newBuilder().setName("hang").build();
  private static final WaitTaskRequest WAIT = WaitTaskRequest.getDefaultInstance();
  private static final WatchTasksRequest WATCH =
      WatchTasksRequest.newBuilder()
          .setHeartbeatInterval(com.google.protobuf.Duration.newBuilder().setNanos(100_000_000))
          .build();

  private final CountDownLatch arrived = new CountDownLatch(1);
  private final CountDownLatch left = new CountDownLatch(1);
  private final BlockingQueue<Duration> deadlines = new ArrayBlockingQueue<>(10);
  private TestServer server;
  private TaskgateClient client;

  @BeforeEach
  void serve() throws IOException {
    server = TestServer.of(new Service());
    client = server.client();
  }

  @AfterEach
  void stop() {
    client.close();
    server.close();
  }

  @Test
  void failWithTheirStatusWhenDetailsAreMalformed() {
    GetTaskRequest request = GetTaskRequest.newBuilder().setName("garbage").build();
    var error = assertThrows(TaskgateException.class, () -> client.getTask(request));
    assertEquals("DATA_LOSS: it is gone", error.getMessage());
    assertEquals("", error.reason());
  }

  @Test
  void haveTimeoutUnlessTheyAreStreams() throws Exception {
    var unused = client.getServerInfo();
    Duration limit = deadlines.take();
    assertTrue(limit.compareTo(TaskgateClient.DEFAULT_TIMEOUT) <= 0, limit.toString());
    assertTrue(limit.compareTo(Duration.ofSeconds(25)) > 0, limit.toString());
    try (Watch watch = client.watchTasks(WATCH)) {
      assertTrue(watch.iterator().hasNext());
      assertEquals(Duration.ZERO, deadlines.take());
    }
  }

  @Test
  void timeOut() {
    TaskgateClient hasty = client.withTimeout(Duration.ofMillis(100));
    var error = assertThrows(TaskgateException.class, () -> hasty.getTask(HANGING));
    assertEquals(Code.DEADLINE_EXCEEDED, error.code());
  }

  @Test
  void endWithTheClient() throws Exception {
    FutureTask<Object> call = begun(() -> client.getTask(HANGING));
    client.close();
    assertClosed(causeOf(call));
  }

  @Test
  void endWhenTheirThreadIsInterrupted() throws Exception {
    FutureTask<Object> call = new FutureTask<>(() -> client.getTask(HANGING));
    Thread thread = new Thread(call);
    thread.start();
    arrived.await();
    thread.interrupt();
    assertEquals(Code.CANCELLED, causeOf(call).code());
    assertTrue(left.await(10, TimeUnit.SECONDS));
  }

  @Test
  void areNotMadeByClosedClient() {
    TaskgateClient other = client.withTimeout(Duration.ofSeconds(5));
    client.close();
    assertClosed(assertThrows(TaskgateException.class, client::getServerInfo));
    assertClosed(assertThrows(TaskgateException.class, other::getServerInfo));
    assertClosed(assertThrows(TaskgateException.class, () -> client.isServing("")));
    assertClosed(assertThrows(TaskgateException.class, () -> client.waitTask(WAIT, null)));
    assertClosed(assertThrows(TaskgateException.class, () -> client.watchTasks(WATCH)));
    StreamTaskLogsRequest log = StreamTaskLogsRequest.getDefaultInstance();
    assertClosed(assertThrows(TaskgateException.class, () -> client.streamTaskLogs(log)));
    var raw =
        assertThrows(
            StatusRuntimeException.class,
            () -> client.deadline().getFarm(GetFarmRequest.getDefaultInstance()));
    assertClosed(TaskgateException.of(raw));
    assertEquals(1, arrived.getCount());
  }

  @Test
  void watchesEndWithTheClient() throws Exception {
    Watch watch = client.watchTasks(WATCH.toBuilder().clearHeartbeatInterval().build());
    assertInstanceOf(WatchEvent.Snapshot.class, watch.iterator().next());
    FutureTask<Boolean> waiting = new FutureTask<>(() -> watch.iterator().hasNext());
    new Thread(waiting).start();
    client.close();
    assertFalse(waiting.get(10, TimeUnit.SECONDS));
    assertTrue(left.await(10, TimeUnit.SECONDS));
  }

  @Test
  void watchesTreatMissedHeartbeatsAsBreak() {
    try (Watch watch = client.watchTasks(WATCH)) {
      assertInstanceOf(WatchEvent.Snapshot.class, watch.iterator().next());
      var lost = assertInstanceOf(WatchEvent.Reconnecting.class, watch.iterator().next());
      assertEquals("UNAVAILABLE: no message from the server for 0.3 s", lost.error().getMessage());
    }
  }

  @Test
  void waitsEndWithTheClientWhileTheyCall() throws Exception {
    WaitTaskRequest hanging = WaitTaskRequest.newBuilder().setName("hang").build();
    FutureTask<Object> waiting = begun(() -> client.waitTask(hanging, null));
    client.close();
    assertClosed(causeOf(waiting));
  }

  @Test
  void waitsEndWithTheClientBetweenTwoCalls() {
    Lifetime lifetime = new Lifetime();
    FakeTiming timing = new FakeTiming();
    timing.whenAsleep = lifetime::close;
    TaskWaiter waiting = waiting(lifetime, timing);
    assertClosed(assertThrows(TaskgateException.class, () -> waiting.waitFor(WAIT, null)));
    assertEquals(1, timing.pauses.size());
  }

  @Test
  void waitsEndWhenTheirThreadIsInterruptedBetweenTwoCalls() {
    FakeTiming timing = new FakeTiming();
    timing.whenAsleep = Thread.currentThread()::interrupt;
    TaskWaiter waiting = waiting(new Lifetime(), timing);
    var error = assertThrows(TaskgateException.class, () -> waiting.waitFor(WAIT, null));
    assertEquals("CANCELLED: the calling thread was interrupted", error.getMessage());
    assertTrue(Thread.interrupted());
    assertEquals(1, timing.pauses.size());
  }

  @Test
  void waitsEndWithTheContextOfTheirThreadBetweenTwoCalls() {
    Context.CancellableContext context = Context.current().withCancellation();
    FakeTiming timing = new FakeTiming();
    timing.whenAsleep = () -> context.cancel(null);
    TaskWaiter waiting = waiting(new Lifetime(), timing);
    context.run(() -> assertThrows(TaskgateException.class, () -> waiting.waitFor(WAIT, null)));
    assertEquals(1, timing.pauses.size());
  }

  private TaskWaiter waiting(Lifetime lifetime, Timing timing) {
    Channel channel = ClientInterceptors.intercept(client.channel(), lifetime);
    return new TaskWaiter(TaskServiceGrpc.newBlockingStub(channel), lifetime, timing);
  }

  @Test
  void waitsEndWhenTheirThreadIsInterrupted() throws Exception {
    FutureTask<Object> waiting = new FutureTask<>(() -> client.waitTask(WAIT, null));
    Thread thread = new Thread(waiting);
    thread.start();
    arrived.await();
    thread.interrupt();
    assertEquals(Code.CANCELLED, causeOf(waiting).code());
  }

  @Test
  void watchesEndWithTheContextOfTheirThread() {
    Context.CancellableContext context = Context.current().withCancellation();
    context.run(
        () -> {
          try (Watch watch = client.watchTasks(WATCH)) {
            assertInstanceOf(WatchEvent.Snapshot.class, watch.iterator().next());
            context.cancel(null);
            var error = assertThrows(TaskgateException.class, watch.iterator()::hasNext);
            assertEquals(Code.CANCELLED, error.code());
          }
        });
  }

  @Test
  void waitsThatTimeOutReturnTheLatestTask() {
    WaitTaskResponse response = client.waitTask(WAIT, Duration.ofMillis(1_500));
    assertFalse(response.getDone());
  }

  private FutureTask<Object> begun(Callable<Object> call) throws InterruptedException {
    FutureTask<Object> task = new FutureTask<>(call);
    new Thread(task).start();
    arrived.await();
    return task;
  }

  private static TaskgateException causeOf(FutureTask<?> call) {
    var failed = assertThrows(ExecutionException.class, () -> call.get(10, TimeUnit.SECONDS));
    return assertInstanceOf(TaskgateException.class, failed.getCause());
  }

  private static void assertClosed(TaskgateException error) {
    assertEquals("CANCELLED: the client is closed", error.getMessage());
  }

  private final class Service extends TaskServiceImplBase {
    @Override
    public void getTask(GetTaskRequest request, StreamObserver<GetTaskResponse> responses) {
      if (request.equals(HANGING)) {
        hang(responses);
        return;
      }
      Metadata trailers = new Metadata();
      trailers.put(
          Metadata.Key.of("grpc-status-details-bin", Metadata.BINARY_BYTE_MARSHALLER),
          new byte[] {(byte) 0xff, (byte) 0xff, (byte) 0xff});
      responses.onError(
          Status.DATA_LOSS.withDescription("it is gone").asRuntimeException(trailers));
    }

    @Override
    public void getServerInfo(
        GetServerInfoRequest request, StreamObserver<GetServerInfoResponse> responses) {
      recordDeadline();
      responses.onNext(GetServerInfoResponse.getDefaultInstance());
      responses.onCompleted();
    }

    @Override
    public void waitTask(WaitTaskRequest request, StreamObserver<WaitTaskResponse> responses) {
      if (!request.getName().isEmpty()) {
        hang(responses);
        return;
      }
      responses.onNext(WaitTaskResponse.getDefaultInstance());
      responses.onCompleted();
      arrived.countDown();
    }

    @Override
    public void watchTasks(
        WatchTasksRequest request, StreamObserver<WatchTasksResponse> responses) {
      recordDeadline();
      responses.onNext(
          WatchTasksResponse.newBuilder()
              .setSnapshotBegin(SnapshotBegin.getDefaultInstance())
              .build());
      responses.onNext(
          WatchTasksResponse.newBuilder().setSnapshotEnd(SnapshotEnd.getDefaultInstance()).build());
      hang(responses);
    }

    private void hang(StreamObserver<?> responses) {
      ((ServerCallStreamObserver<?>) responses).setOnCancelHandler(left::countDown);
      arrived.countDown();
    }

    private void recordDeadline() {
      var deadline = Context.current().getDeadline();
      deadlines.add(
          deadline == null
              ? Duration.ZERO
              : Duration.ofNanos(deadline.timeRemaining(TimeUnit.NANOSECONDS)));
    }
  }
}
