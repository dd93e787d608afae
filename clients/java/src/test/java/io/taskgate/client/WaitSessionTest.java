package io.taskgate.client;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertThrows;

import io.grpc.Status.Code;
import io.taskgate.v1.WaitTaskResponse;
import java.time.Duration;
import java.util.Optional;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.Test;

class WaitSessionTest {
  private static final WaitTaskResponse DONE = WaitTaskResponse.newBuilder().setDone(true).build();
  private static final WaitTaskResponse NOT_YET = WaitTaskResponse.getDefaultInstance();
  private final TaskgateException gone = Failures.failure(Code.UNAVAILABLE);
  private final TaskgateException late = Failures.failure(Code.DEADLINE_EXCEEDED);

  private static WaitSession session(@Nullable Duration limit) {
    return new WaitSession(limit, 0, new Reconnects(() -> 1));
  }

  private static long at(double seconds) {
    return (long) (seconds * 1e9);
  }

  @Test
  void endsWhenTheTaskIsDone() {
    WaitSession session = session(null);
    assertEquals(Optional.empty(), session.take(DONE, 0, 0));
    assertSame(DONE, session.response().orElseThrow());
  }

  @Test
  void limitsCallsToFiveMinutesAndToTheRemainingTime() {
    assertEquals(Duration.ofMinutes(5), session(null).callTimeout(0));
    WaitSession session = session(Duration.ofSeconds(400));
    assertEquals(Duration.ofMinutes(5), session.callTimeout(0));
    assertEquals(Duration.ofSeconds(10), session.callTimeout(at(390)));
    assertEquals(Duration.ZERO, session.callTimeout(at(500)));
  }

  @Test
  void acceptsAnyDuration() {
    WaitSession session = session(Duration.ofSeconds(Long.MAX_VALUE));
    assertEquals(Duration.ofMinutes(5), session.callTimeout(at(1)));
  }

  @Test
  void callsAgainImmediatelyAfterLongCallAndLaterAfterShortOne() {
    WaitSession session = session(null);
    assertEquals(Optional.of(Duration.ZERO), session.take(NOT_YET, 0, at(300)));
    assertEquals(Optional.of(Duration.ofSeconds(1)), session.take(NOT_YET, at(300), at(300.1)));
  }

  @Test
  void timesOutWithTheLatestResponse() {
    WaitSession session = session(Duration.ofSeconds(10));
    session.take(NOT_YET, 0, at(5));
    assertEquals(Optional.empty(), session.fail(late, at(5), at(9.5)));
    assertSame(NOT_YET, session.response().orElseThrow());
  }

  @Test
  void failsWhenItTimesOutWithoutResponse() {
    WaitSession session = session(Duration.ofSeconds(2));
    assertSame(late, assertThrows(TaskgateException.class, () -> session.fail(late, 0, at(2))));
  }

  @Test
  void doesNotRetryServerThatNeverResponded() {
    WaitSession session = session(null);
    assertSame(gone, assertThrows(TaskgateException.class, () -> session.fail(gone, 0, at(0.01))));
  }

  @Test
  void continuesWhenLongCallBreaks() {
    assertEquals(Optional.of(Duration.ofSeconds(1)), session(null).fail(gone, 0, at(60)));
  }
}
