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

/** Asks until there is an answer, or the time is up. */
record Waiting(TaskServiceBlockingStub tasks, Lifetime lifetime, Timing timing) {
  WaitTaskResponse forTask(WaitTaskRequest request, @Nullable Duration limit) {
    WaitSession session = new WaitSession(limit, timing.nanoTime(), new Reconnects(timing::random));
    WaitTaskRequest bounded = WaitSession.bounded(request);
    while (true) {
      Optional<Duration> pause = ask(bounded, session);
      if (pause.isEmpty() && session.answer().isPresent()) {
        return session.answer().get();
      }
      sleep(pause.orElse(Duration.ZERO));
    }
  }

  private Optional<Duration> ask(WaitTaskRequest request, WaitSession session) {
    long asked = timing.nanoTime();
    try {
      WaitTaskResponse answer =
          Parents.telling(tasks, request)
              .withDeadlineAfter(session.callLimit(asked).toNanos(), TimeUnit.NANOSECONDS)
              .waitTask(request);
      return session.take(answer, asked, timing.nanoTime());
    } catch (StatusRuntimeException failed) {
      TaskgateException error = TaskgateException.of(failed);
      if (isGivenUp()) {
        throw error;
      }
      return session.failed(error, asked, timing.nanoTime());
    }
  }

  /** An interrupt is told by the pause. */
  private boolean isGivenUp() {
    return lifetime.isClosed() || Context.current().isCancelled();
  }

  private void sleep(Duration pause) {
    try {
      timing.sleep(pause, lifetime.closing());
    } catch (InterruptedException givenUp) {
      Thread.currentThread().interrupt();
      throw TaskgateException.interrupted();
    }
  }
}
