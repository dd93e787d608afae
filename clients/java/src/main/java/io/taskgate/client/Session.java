package io.taskgate.client;

import java.time.Duration;
import java.util.List;
import org.jspecify.annotations.Nullable;

/** What outlives a call: a watch or a log. It does no input or output. */
interface Session<R, E> {
  /** Returns the events in a response. Throws a {@link TaskgateException} to end the call. */
  List<E> take(R response);

  /** Handles the end of a call. Throws a {@link TaskgateException} if it ended too early. */
  void end();

  /** Returns whether the stream is complete. */
  boolean finished();

  /** Returns after how long without a message the connection is dead; null for never. */
  @Nullable Duration silence();
}
