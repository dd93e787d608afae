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
 * What goes on with another call when one breaks. It is for one thread, but for {@code close},
 * which ends the call and the iteration from any.
 */
abstract class ResumingStream<R, E> implements Iterable<E>, AutoCloseable {
  /** Opens the next call, given the time that it may take, if there is a limit. */
  interface Opener<R> {
    ServerStream<R> open(@Nullable Duration left);
  }

  /** The event that tells of a break, if it needs telling. */
  interface Lost<E> {
    Optional<E> event(TaskgateException error, Duration delay, int failures);
  }

  private final Opener<R> opener;
  private final Session<R, E> session;
  private final Lost<E> lost;
  private final Lifetime lifetime;
  private final Timing timing;
  private final Reconnects reconnects;
  private final @Nullable Long end;
  private final Runnable ending = this::close;
  private final CountDownLatch closing = new CountDownLatch(1);
  private final Deque<E> ready = new ArrayDeque<>();
  private final Iterator<E> events = new Events();
  private final Object callLock = new Object();
  private @Nullable ServerStream<R> call;
  private Duration delay = Duration.ZERO;

  ResumingStream(
      Opener<R> opener,
      Session<R, E> session,
      Lost<E> lost,
      Lifetime lifetime,
      Timing timing,
      @Nullable Duration limit) {
    this.opener = opener;
    this.session = session;
    this.lost = lost;
    this.lifetime = lifetime;
    this.timing = timing;
    reconnects = new Reconnects(timing::random);
    end = limit == null ? null : timing.nanoTime() + Timing.nanosOf(limit);
    lifetime.add(ending);
  }

  /**
   * What is told, once: another iterator goes on where this one is.
   *
   * <p>{@code hasNext} waits for what comes next. It throws a {@link TaskgateException} if the
   * server was not reached at all, has not been for minutes, or refused, when the time is up, and
   * when the thread is interrupted; the iteration is over then. It is over without one after {@link
   * #close}.
   */
  @Override
  public Iterator<E> iterator() {
    return events;
  }

  /** Ends the call and the iteration; from any thread. */
  @Override
  public void close() {
    closing.countDown();
    lifetime.remove(ending);
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
        throw new NoSuchElementException("all has been told");
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
    } catch (InterruptedException givenUp) {
      Thread.currentThread().interrupt();
      throw TaskgateException.interrupted();
    } catch (TaskgateException error) {
      dropCall();
      if (isClosed()) {
        return;
      }
      if (Context.current().isCancelled()) {
        throw error; // nor would another call be let out of this context
      }
      planNextCall(error);
    }
  }

  private void pause() throws InterruptedException {
    if (!delay.isZero()) {
      Duration left = timeLeft();
      Duration pause = left == null || delay.compareTo(left) < 0 ? delay : left;
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

  /** Null when this was closed meanwhile: nobody would ever end the call. */
  private @Nullable ServerStream<R> openCall() {
    synchronized (callLock) {
      if (call == null && !isClosed()) {
        call = opener.open(timeLeft());
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
    Duration unused = timeLeft(); // throws when there is none
    delay = reconnects.delayAfter(error, timing.nanoTime());
    lost.event(error, delay, reconnects.failures()).ifPresent(ready::add);
  }

  private @Nullable Duration timeLeft() {
    if (end == null) {
      return null;
    }
    long left = end - timing.nanoTime();
    if (left <= 0) {
      throw new TaskgateException(Status.Code.DEADLINE_EXCEEDED, "the time is up");
    }
    return Duration.ofNanos(left);
  }
}
