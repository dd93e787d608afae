package io.taskgate.client;

import java.time.Duration;
import java.util.List;
import org.jspecify.annotations.Nullable;

/** What goes on over many calls: a watch or a log. Free of input and output. */
interface Session<R, E> {
  /**
   * The events in a message. Throws a {@link TaskgateException} where the call is of no more use.
   */
  List<E> take(R response);

  /** The server has closed the call. Throws a {@link TaskgateException} if it should not have. */
  void end();

  /** Whether all has been told. */
  boolean finished();

  /** How long without a message means that the connection is dead; null for never. */
  @Nullable Duration silence();
}
