package io.taskgate.client;

import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CountDownLatch;

/** A clock that advances only by sleeping, and the maximum jitter. */
final class FakeTiming implements Timing {
  final List<Duration> pauses = new ArrayList<>();
  Runnable whenAsleep = () -> {};
  private long now;

  void pass(Duration time) {
    now += time.toNanos();
  }

  @Override
  public long nanoTime() {
    return now;
  }

  @Override
  public double random() {
    return 1;
  }

  @Override
  public void sleep(Duration time, CountDownLatch wake) throws InterruptedException {
    if (Thread.interrupted()) {
      throw new InterruptedException();
    }
    pauses.add(time);
    pass(time);
    whenAsleep.run();
  }
}
