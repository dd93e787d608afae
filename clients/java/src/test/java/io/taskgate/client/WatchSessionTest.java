package io.taskgate.client;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertInstanceOf;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.google.protobuf.ByteString;
import io.grpc.Status.Code;
import io.taskgate.v1.Heartbeat;
import io.taskgate.v1.Resumed;
import io.taskgate.v1.SnapshotBegin;
import io.taskgate.v1.SnapshotEnd;
import io.taskgate.v1.SnapshotReason;
import io.taskgate.v1.SnapshotTasks;
import io.taskgate.v1.Task;
import io.taskgate.v1.WatchEnd;
import io.taskgate.v1.WatchEndReason;
import io.taskgate.v1.WatchTasksRequest;
import io.taskgate.v1.WatchTasksResponse;
import java.time.Duration;
import java.util.List;
import org.junit.jupiter.api.Test;

class WatchSessionTest {
  private static final ByteString HALF = ByteString.copyFromUtf8("half");
  private static final ByteString WHOLE = ByteString.copyFromUtf8("whole");

  private final WatchSession session =
      new WatchSession(WatchTasksRequest.newBuilder().setParent("omics/runs/1").build());

  private static WatchTasksResponse.Builder response() {
    return WatchTasksResponse.newBuilder();
  }

  private static WatchTasksResponse begin(int reason) {
    return response().setSnapshotBegin(SnapshotBegin.newBuilder().setReasonValue(reason)).build();
  }

  private static WatchTasksResponse.Builder tasks(String name) {
    return response()
        .setSnapshotTasks(SnapshotTasks.newBuilder().addTasks(Task.newBuilder().setName(name)));
  }

  private static WatchTasksResponse end() {
    return response().setSnapshotEnd(SnapshotEnd.getDefaultInstance()).build();
  }

  private static WatchTasksResponse ended(WatchEndReason reason) {
    return response().setWatchEnd(WatchEnd.newBuilder().setReason(reason)).build();
  }

  @Test
  void returnsSnapshotWhenItIsComplete() {
    assertTrue(session.take(begin(4711)).isEmpty());
    assertTrue(session.take(tasks("a").build()).isEmpty());
    assertTrue(session.take(tasks("b").build()).isEmpty());
    var snapshot = assertInstanceOf(WatchEvent.Snapshot.class, session.take(end()).get(0));
    assertEquals(List.of("a", "b"), snapshot.tasks().stream().map(Task::getName).toList());
    assertEquals(4711, snapshot.reasonValue());
    assertEquals(SnapshotReason.UNRECOGNIZED, snapshot.reason());
  }

  @Test
  void startsOverWhenItBreaksWithinSnapshot() {
    session.take(begin(1));
    session.take(tasks("a").setResumeToken(HALF).build());
    assertTrue(session.next().getResumeToken().isEmpty());
    assertTrue(session.take(end()).isEmpty());
    session.take(response().setResumeToken(WHOLE).build());
    assertEquals(WHOLE, session.next().getResumeToken());
    assertEquals(WHOLE, session.token());
  }

  @Test
  void reportsFailedPollOfAws() {
    var status = com.google.rpc.Status.newBuilder().setCode(8).setMessage("slow down");
    var events =
        session.take(
            response().setHeartbeat(Heartbeat.newBuilder().setUpstreamError(status)).build());
    var heartbeat = assertInstanceOf(WatchEvent.Heartbeat.class, events.get(0));
    assertEquals(Code.RESOURCE_EXHAUSTED, heartbeat.upstreamError().orElseThrow().code());
  }

  @Test
  void reconnectsWhenTheServerShutsDownAndEndsForOtherReasons() {
    var error =
        assertThrows(
            TaskgateException.class,
            () -> session.take(ended(WatchEndReason.WATCH_END_REASON_SERVER_STOPPING)));
    assertEquals("SERVER_STOPPING", error.reason());
    assertFalse(session.finished());
    session.take(ended(WatchEndReason.WATCH_END_REASON_GONE));
    assertTrue(session.finished());
    session.end();
  }

  @Test
  void treatsEarlyEndAsBreak() {
    session.take(response().setResumed(Resumed.getDefaultInstance()).build());
    var error = assertThrows(TaskgateException.class, session::end);
    assertEquals(Code.UNAVAILABLE, error.code());
  }

  @Test
  void isDeadAfterThreeMissedHeartbeats() {
    assertEquals(Duration.ofSeconds(30), session.silence());
    var often = com.google.protobuf.Duration.newBuilder().setSeconds(2);
    WatchTasksRequest request = WatchTasksRequest.newBuilder().setHeartbeatInterval(often).build();
    assertEquals(Duration.ofSeconds(6), new WatchSession(request).silence());
  }
}
