package io.taskgate.client;

import java.time.Duration;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.ThreadLocalRandom;
import java.util.concurrent.TimeUnit;

/** The clock, sleep and randomness of a client. */
interface Timing {
  /** The real clock, sleep and randomness. */
  Timing REAL =
      new Timing() {
        @Override
        public long nanoTime() {
          return System.nanoTime();
        }

        @Override
        public double random() {
          return ThreadLocalRandom.current().nextDouble();
        }

        @Override
        public void sleep(Duration time, CountDownLatch wake) throws InterruptedException {
          // The caller checks anyway whether the latch ended the sleep.
          boolean unused = wake.await(nanosOf(time), TimeUnit.NANOSECONDS);
        }
      };

  /** Returns the time of a monotonic clock. */
  long nanoTime();

  /** Returns a number from 0 to 1. */
  double random();

  /** Sleeps, until the latch opens at most. */
  void sleep(Duration time, CountDownLatch wake) throws InterruptedException;

  /** Converts a duration to nanoseconds, limited to 292 years. */
  static long nanosOf(Duration time) {
    return TimeUnit.NANOSECONDS.convert(time);
  }
}
