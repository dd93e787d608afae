package io.taskgate.client;

import io.grpc.Context;
import io.grpc.StatusRuntimeException;
import io.taskgate.v1.TaskServiceGrpc.TaskServiceBlockingStub;
import io.taskgate.v1.WaitTaskRequest;
import io.taskgate.v1.WaitTaskResponse;
import java.time.Duration;
import java.util.Optional;
import java.util.concurrent.TimeUnit;
import org.jspecify.annotations.Nullable;

/** Calls until the wait is done or has timed out. */
record TaskWaiter(TaskServiceBlockingStub tasks, Lifetime lifetime, Timing timing) {
  WaitTaskResponse waitFor(WaitTaskRequest request, @Nullable Duration timeout) {
    WaitSession session =
        new WaitSession(timeout, timing.nanoTime(), new Reconnects(timing::random));
    WaitTaskRequest bounded = WaitSession.bounded(request);
    while (true) {
      Optional<Duration> pause = call(bounded, session);
      if (pause.isEmpty() && session.response().isPresent()) {
        return session.response().get();
      }
      sleep(pause.orElse(Duration.ZERO));
    }
  }

  private Optional<Duration> call(WaitTaskRequest request, WaitSession session) {
    long start = timing.nanoTime();
    try {
      WaitTaskResponse response =
          Parents.attach(tasks, request)
              .withDeadlineAfter(session.callTimeout(start).toNanos(), TimeUnit.NANOSECONDS)
              .waitTask(request);
      return session.take(response, start, timing.nanoTime());
    } catch (StatusRuntimeException failed) {
      TaskgateException error = TaskgateException.of(failed);
      if (isCancelled()) {
        throw error;
      }
      return session.fail(error, start, timing.nanoTime());
    }
  }

  /** Returns whether the caller ended the wait; an interrupt ends the pause instead. */
  private boolean isCancelled() {
    return lifetime.isClosed() || Context.current().isCancelled();
  }

  private void sleep(Duration pause) {
    try {
      timing.sleep(pause, lifetime.closing());
    } catch (InterruptedException interrupted) {
      Thread.currentThread().interrupt();
      throw TaskgateException.interrupted();
    }
  }
}
