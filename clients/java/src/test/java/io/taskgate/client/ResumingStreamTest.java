package io.taskgate.client;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.grpc.Status.Code;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.NoSuchElementException;
import java.util.Optional;
import java.util.concurrent.ArrayBlockingQueue;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.FutureTask;
import java.util.concurrent.TimeUnit;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

@Timeout(20)
class ResumingStreamTest {
  private final TaskgateException gone = Failures.failure(Code.UNAVAILABLE);
  private final TaskgateException refused = Failures.failure(Code.INVALID_ARGUMENT);

  /** Stands for the end of a call in a script. */
  private static final Object END = "END";

  /** Stands for a call that is silent until it is cancelled. */
  private static final Object SILENT = "SILENT";

  private final FakeTiming timing = new FakeTiming();
  private final Lifetime lifetime = new Lifetime();
  private final List<Call> calls = new ArrayList<>();

  @AfterEach
  void clearInterrupt() {
    boolean unused = Thread.interrupted();
  }

  @Test
  void callsAgainAfterPause() {
    Texts texts = new Texts(null, script("one", gone), script(gone), script("two", END));
    assertEquals(List.of("one", "UNAVAILABLE PT1S 1", "UNAVAILABLE PT2S 2", "two"), all(texts));
    assertEquals(List.of(Duration.ofSeconds(1), Duration.ofSeconds(2)), timing.pauses);
    assertTrue(calls.stream().allMatch(Call::isCancelled));
  }

  @Test
  void failsWhenItIsRefusedAndThenEnds() {
    var events = new Texts(null, script("one", refused)).iterator();
    assertEquals("one", events.next());
    assertSame(refused, assertThrows(TaskgateException.class, events::hasNext));
    assertFalse(events.hasNext());
    assertThrows(NoSuchElementException.class, events::next);
  }

  @Test
  void failsImmediatelyWhenTheServerNeverResponded() {
    var events = new Texts(null, script(gone)).iterator();
    assertSame(gone, assertThrows(TaskgateException.class, events::hasNext));
    assertEquals(List.of(), timing.pauses);
  }

  @Test
  void timesOutBetweenTwoCalls() {
    var events = new Texts(Duration.ofMillis(500), script("one", gone)).iterator();
    assertEquals("one", events.next());
    assertEquals("UNAVAILABLE PT1S 1", events.next());
    var error = assertThrows(TaskgateException.class, events::hasNext);
    assertEquals(Code.DEADLINE_EXCEEDED, error.code());
    assertEquals(List.of(Duration.ofMillis(500)), timing.pauses);
    assertEquals(1, calls.size());
  }

  @Test
  void limitsEachCallToTheRemainingTime() {
    var events = new Texts(Duration.ofSeconds(5), script("one", gone), script("two")).iterator();
    List.of("one", "UNAVAILABLE PT1S 1", "two").forEach(each -> assertEquals(each, events.next()));
    assertEquals(
        List.of(Duration.ofSeconds(5), Duration.ofSeconds(4)),
        calls.stream().map(each -> each.left).toList());
  }

  @ParameterizedTest
  @ValueSource(booleans = {false, true})
  void endsWhileItWaitsWhenItOrItsClientIsClosed(boolean byClient) throws Exception {
    Texts texts = new Texts(null, script("one", SILENT));
    assertEquals("one", texts.iterator().next());
    FutureTask<Boolean> waiting = new FutureTask<>(() -> texts.iterator().hasNext());
    new Thread(waiting).start();
    calls.get(0).waiting.await();
    if (byClient) {
      lifetime.close();
    } else {
      texts.close();
    }
    assertFalse(waiting.get(10, TimeUnit.SECONDS));
    assertTrue(calls.get(0).isCancelled());
  }

  @Test
  void opensNoCallAfterItIsClosed() {
    Texts texts = new Texts(null, script("one"));
    texts.close();
    assertFalse(texts.iterator().hasNext());
    assertEquals(List.of(), calls);
  }

  @Test
  void isRejectedByClosedClient() {
    lifetime.close();
    var error = assertThrows(TaskgateException.class, () -> new Texts(null));
    assertEquals("CANCELLED: the client is closed", error.getMessage());
  }

  @Test
  void endsWhenInterruptedDuringRead() throws Exception {
    Texts texts = new Texts(null, script("one", SILENT));
    assertEquals("one", texts.iterator().next());
    FutureTask<Boolean> waiting = new FutureTask<>(() -> texts.iterator().hasNext());
    Thread thread = new Thread(waiting);
    thread.start();
    calls.get(0).waiting.await();
    thread.interrupt();
    var failed = assertThrows(ExecutionException.class, () -> waiting.get(10, TimeUnit.SECONDS));
    assertEquals(Code.CANCELLED, ((TaskgateException) failed.getCause()).code());
    assertTrue(calls.get(0).isCancelled());
  }

  @Test
  void endsWhenInterruptedBetweenTwoCalls() {
    var events = new Texts(null, script("one", gone)).iterator();
    assertEquals("one", events.next());
    assertEquals("UNAVAILABLE PT1S 1", events.next());
    Thread.currentThread().interrupt();
    var error = assertThrows(TaskgateException.class, events::hasNext);
    assertEquals(Code.CANCELLED, error.code());
    assertTrue(Thread.currentThread().isInterrupted());
    assertEquals(1, calls.size());
  }

  private static List<Object> script(Object... acts) {
    return Arrays.asList(acts);
  }

  private static List<String> all(Iterable<String> texts) {
    List<String> received = new ArrayList<>();
    texts.forEach(received::add);
    return received;
  }

  /** A stream of texts whose calls follow scripts. */
  private final class Texts extends ResumingStream<String, String> {
    @SafeVarargs
    private Texts(@Nullable Duration limit, List<Object>... scripts) {
      super(
          left -> {
            Call call = new Call(left, scripts[calls.size()]);
            calls.add(call);
            return call;
          },
          new TextSession(),
          (error, delay, failures) -> Optional.of(error.code() + " " + delay + " " + failures),
          lifetime,
          timing,
          limit);
    }
  }

  private static final class TextSession implements Session<String, String> {
    private boolean finished;

    @Override
    public List<String> take(String response) {
      return List.of(response);
    }

    @Override
    public void end() {
      finished = true;
    }

    @Override
    public boolean finished() {
      return finished;
    }

    @Override
    public @Nullable Duration silence() {
      return null;
    }
  }

  private static final class Call implements ServerStream<String> {
    private final @Nullable Duration left;
    private final BlockingQueue<Object> acts = new ArrayBlockingQueue<>(10);
    private final CountDownLatch waiting = new CountDownLatch(1);
    private final CountDownLatch cancelled = new CountDownLatch(1);

    private Call(@Nullable Duration left, List<Object> acts) {
      this.left = left;
      this.acts.addAll(acts);
    }

    private boolean isCancelled() {
      return cancelled.getCount() == 0;
    }

    @Override
    public Optional<String> read(@Nullable Duration silence) throws InterruptedException {
      Object act = acts.take();
      if (act instanceof TaskgateException error) {
        throw error;
      }
      if (act == SILENT) {
        waiting.countDown();
        cancelled.await();
        throw Failures.failure(Code.CANCELLED);
      }
      return act == END ? Optional.empty() : Optional.of((String) act);
    }

    @Override
    public void cancel() {
      cancelled.countDown();
    }
  }
}
