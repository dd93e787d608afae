package io.taskgate.client;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.grpc.Status.Code;
import java.time.Duration;
import java.util.List;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

class ReconnectsTest {
  private final TaskgateException gone = Failures.failure(Code.UNAVAILABLE);

  private static Reconnects reached(double random) {
    Reconnects reconnects = new Reconnects(() -> random);
    reconnects.reached(0);
    return reconnects;
  }

  @Test
  void doNotRetryServerThatNeverResponded() {
    Reconnects reconnects = new Reconnects(() -> 1);
    assertSame(gone, assertThrows(TaskgateException.class, () -> reconnects.delayAfter(gone, 0)));
  }

  @Test
  void waitLongerEachTimeTenSecondsAtMostForFiveMinutes() {
    Reconnects reconnects = reached(1);
    long minute = Duration.ofMinutes(1).toNanos();
    List<Long> delays =
        IntStream.range(0, 6)
            .mapToObj(unused -> reconnects.delayAfter(gone, minute).toSeconds())
            .toList();
    assertEquals(List.of(1L, 2L, 4L, 8L, 10L, 10L), delays);
    assertEquals(6, reconnects.failures());
    long late = Duration.ofSeconds(301).toNanos();
    assertThrows(TaskgateException.class, () -> reconnects.delayAfter(gone, late));
  }

  static Stream<TaskgateException> finalErrors() {
    return Stream.of(
        Failures.failure(Code.NOT_FOUND),
        Failures.failure(Code.RESOURCE_EXHAUSTED),
        Failures.failure(Code.INTERNAL, Failures.reason("TASKGATE_BUG")));
  }

  @ParameterizedTest
  @MethodSource("finalErrors")
  void doNotRetryFinalErrors(TaskgateException error) {
    Reconnects reconnects = reached(1);
    assertSame(error, assertThrows(TaskgateException.class, () -> reconnects.delayAfter(error, 0)));
  }

  @Test
  void retryAfterResetByProxy() {
    assertEquals(Duration.ofSeconds(1), reached(1).delayAfter(Failures.failure(Code.INTERNAL), 0));
  }

  @Test
  void leaveServerThatShutsDownImmediatelyOnce() {
    Reconnects reconnects = reached(1);
    TaskgateException stopping = Reconnects.serverStopping();
    assertEquals(Duration.ZERO, reconnects.delayAfter(stopping, 0));
    assertTrue(reconnects.delayAfter(stopping, 0).compareTo(Duration.ZERO) > 0);
  }

  @Test
  void waitAsLongAsServerRequests() {
    TaskgateException busy = Failures.failure(Code.RESOURCE_EXHAUSTED, Failures.retryAfter(7, 0));
    assertEquals(Duration.ofSeconds(7), reached(0).delayAfter(busy, 0));
  }
}
