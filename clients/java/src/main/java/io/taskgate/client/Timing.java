package io.taskgate.client;

import java.time.Duration;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.ThreadLocalRandom;
import java.util.concurrent.TimeUnit;

/** Where time and chance come from. */
interface Timing {
  /** The machine's. */
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
          // Which of the two ends the sleep, whoever wakes up has to find out anyway.
          boolean unused = wake.await(nanosOf(time), TimeUnit.NANOSECONDS);
        }
      };

  /** A moment of a clock that only goes forward. */
  long nanoTime();

  /** A number from 0 to 1. */
  double random();

  /** Lets time pass, until the latch is open at most. */
  void sleep(Duration time, CountDownLatch wake) throws InterruptedException;

  /** A duration as nanoseconds: 292 years for all that are longer. */
  static long nanosOf(Duration time) {
    return TimeUnit.NANOSECONDS.convert(time);
  }
}
