package io.taskgate.client;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.ScheduledFuture;
import java.util.concurrent.ScheduledThreadPoolExecutor;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Test;

class ReconnectLimitTest {
  private final List<String> resets = new ArrayList<>();
  private boolean lost;

  @Test
  void resetsBackoffOfLostServerEveryFiveSeconds() {
    ByHand timer = new ByHand();
    ReconnectLimit limit = new ReconnectLimit(() -> lost, () -> resets.add("reset"), timer);
    assertEquals(ReconnectLimit.MAX_BACKOFF, timer.period);
    timer.work.run();
    assertEquals(List.of(), resets);
    lost = true;
    timer.work.run();
    timer.work.run();
    assertEquals(List.of("reset", "reset"), resets);
    limit.close();
    assertTrue(timer.isShutdown());
  }

  /** An executor that runs tasks when the test advances it. */
  private static final class ByHand extends ScheduledThreadPoolExecutor {
    private Runnable work = () -> {};
    private Duration period = Duration.ZERO;

    private ByHand() {
      super(1);
    }

    @Override
    public ScheduledFuture<?> scheduleWithFixedDelay(
        Runnable command, long first, long each, TimeUnit unit) {
      work = command;
      period = Duration.ofNanos(unit.toNanos(each));
      return schedule(() -> {}, 1, TimeUnit.DAYS);
    }
  }
}
