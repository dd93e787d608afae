package io.taskgate.client;

import io.grpc.Context;
import io.grpc.Status;
import java.time.Duration;
import java.util.ArrayDeque;
import java.util.Deque;
import java.util.Iterator;
import java.util.NoSuchElementException;
import java.util.Optional;
import java.util.concurrent.CountDownLatch;
import org.jspecify.annotations.Nullable;

/**
 * An iteration over the events of a stream, which calls again when a call breaks. Only {@code
 * close} is thread-safe.
 */
abstract class ResumingStream<R, E> implements Iterable<E>, AutoCloseable {
  /** Opens the next call, with the remaining time, if there is a timeout. */
  interface Opener<R> {
    ServerStream<R> open(@Nullable Duration timeout);
  }

  /** Returns the event for a call that broke, if there is one. */
  interface OnBreak<E> {
    Optional<E> event(TaskgateException error, Duration delay, int failures);
  }

  private final Opener<R> opener;
  private final Session<R, E> session;
  private final OnBreak<E> onBreak;
  private final Lifetime lifetime;
  private final Timing timing;
  private final Reconnects reconnects;
  private final @Nullable Long end;
  private final Runnable listener = this::close;
  private final CountDownLatch closing = new CountDownLatch(1);
  private final Deque<E> ready = new ArrayDeque<>();
  private final Iterator<E> events = new Events();
  private final Object callLock = new Object();
  private @Nullable ServerStream<R> call;
  private Duration delay = Duration.ZERO;

  ResumingStream(
      Opener<R> opener,
      Session<R, E> session,
      OnBreak<E> onBreak,
      Lifetime lifetime,
      Timing timing,
      @Nullable Duration timeout) {
    this.opener = opener;
    this.session = session;
    this.onBreak = onBreak;
    this.lifetime = lifetime;
    this.timing = timing;
    reconnects = new Reconnects(timing::random);
    end = timeout == null ? null : timing.nanoTime() + Timing.nanosOf(timeout);
    lifetime.add(listener);
  }

  /**
   * Returns the only iterator, which later calls return, too.
   *
   * <p>{@code hasNext} waits for the next event. It throws a {@link TaskgateException} if the
   * server refused the call, was unreachable at the first attempt or for several minutes, after the
   * timeout, and when the thread is interrupted; then the iteration is over. After {@link #close}
   * it ends without an exception.
   */
  @Override
  public Iterator<E> iterator() {
    return events;
  }

  /** Ends the call and the iteration; thread-safe. */
  @Override
  public void close() {
    closing.countDown();
    lifetime.remove(listener);
    dropCall();
  }

  private final class Events implements Iterator<E> {
    @Override
    public boolean hasNext() {
      while (ready.isEmpty()) {
        if (isClosed() || session.finished()) {
          close();
          return false;
        }
        try {
          advance();
        } catch (RuntimeException error) {
          close();
          throw error;
        }
      }
      return true;
    }

    @Override
    public E next() {
      if (!hasNext()) {
        throw new NoSuchElementException("there are no more events");
      }
      return ready.remove();
    }
  }

  private boolean isClosed() {
    return closing.getCount() == 0;
  }

  private void advance() {
    try {
      pause();
      receive();
    } catch (InterruptedException interrupted) {
      Thread.currentThread().interrupt();
      throw TaskgateException.interrupted();
    } catch (TaskgateException error) {
      dropCall();
      if (isClosed()) {
        return;
      }
      if (Context.current().isCancelled()) {
        throw error; // another call in this context would be cancelled, too
      }
      planNextCall(error);
    }
  }

  private void pause() throws InterruptedException {
    if (!delay.isZero()) {
      Duration remaining = timeRemaining();
      Duration pause = remaining == null || delay.compareTo(remaining) < 0 ? delay : remaining;
      delay = Duration.ZERO;
      timing.sleep(pause, closing);
    }
  }

  private void receive() throws InterruptedException {
    ServerStream<R> open = openCall();
    if (open == null) {
      return;
    }
    Optional<R> response = open.read(session.silence());
    if (response.isPresent()) {
      reconnects.reached(timing.nanoTime());
      ready.addAll(session.take(response.get()));
    } else {
      dropCall();
      session.end();
    }
  }

  /** Returns null if this was closed meanwhile, as nothing would end the call. */
  private @Nullable ServerStream<R> openCall() {
    synchronized (callLock) {
      if (call == null && !isClosed()) {
        call = opener.open(timeRemaining());
      }
      return call;
    }
  }

  private void dropCall() {
    synchronized (callLock) {
      if (call != null) {
        call.cancel();
        call = null;
      }
    }
  }

  private void planNextCall(TaskgateException error) {
    Duration unused = timeRemaining(); // throws after the timeout
    delay = reconnects.delayAfter(error, timing.nanoTime());
    onBreak.event(error, delay, reconnects.failures()).ifPresent(ready::add);
  }

  private @Nullable Duration timeRemaining() {
    if (end == null) {
      return null;
    }
    long remaining = end - timing.nanoTime();
    if (remaining <= 0) {
      throw new TaskgateException(Status.Code.DEADLINE_EXCEEDED, "timed out");
    }
    return Duration.ofNanos(remaining);
  }
}
