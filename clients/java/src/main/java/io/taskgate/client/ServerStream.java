package io.taskgate.client;

import java.time.Duration;
import java.util.Optional;
import org.jspecify.annotations.Nullable;

/** A call in flight with one request and any number of answers. */
interface ServerStream<R> {
  /**
   * The next message, or nothing when the server has closed the call. Throws a {@link
   * TaskgateException} if the call failed, or if nothing was heard for as long as {@code silence}.
   */
  Optional<R> read(@Nullable Duration silence) throws InterruptedException;

  /** Ends the call; from any thread. */
  void cancel();
}
