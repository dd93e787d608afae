package io.taskgate.client;

import java.time.Duration;
import java.util.Optional;
import org.jspecify.annotations.Nullable;

/** An in-flight call whose response is a stream. */
interface ServerStream<R> {
  /**
   * Returns the next message, or empty when the server has ended the call. Throws a {@link
   * TaskgateException} if the call failed, or if there is no message for {@code silence}.
   */
  Optional<R> read(@Nullable Duration silence) throws InterruptedException;

  /** Ends the call; thread-safe. */
  void cancel();
}
