package io.taskgate.client;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertInstanceOf;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.google.protobuf.ByteString;
import io.grpc.Status;
import io.grpc.Status.Code;
import io.grpc.stub.StreamObserver;
import io.taskgate.omics.v1.OmicsServiceGrpc;
import io.taskgate.omics.v1.OmicsServiceGrpc.OmicsServiceImplBase;
import io.taskgate.omics.v1.UploadReadSetPartRequest;
import io.taskgate.omics.v1.UploadReadSetPartResponse;
import java.util.Iterator;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.FutureTask;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.function.Function;
import java.util.stream.Stream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

@Timeout(30)
class UploadTest {
  private static final UploadReadSetPartRequest PART =
      UploadReadSetPartRequest.newBuilder()
          .setPayload(ByteString.copyFrom(new byte[256 * 1024]))
          .build();

  private final AtomicInteger received = new AtomicInteger();
  private final CountDownLatch arrived = new CountDownLatch(1);
  private final CountDownLatch cancelled = new CountDownLatch(1);
  private TestServer server;
  private TaskgateClient client;

  private void serve(
      Function<StreamObserver<UploadReadSetPartResponse>, StreamObserver<UploadReadSetPartRequest>>
          handler)
      throws Exception {
    server =
        TestServer.of(
            new OmicsServiceImplBase() {
              @Override
              public StreamObserver<UploadReadSetPartRequest> uploadReadSetPart(
                  StreamObserver<UploadReadSetPartResponse> observer) {
                return handler.apply(observer);
              }
            });
    client = server.client();
  }

  @AfterEach
  void stop() {
    client.close();
    server.close();
  }

  private UploadReadSetPartResponse upload(Iterator<UploadReadSetPartRequest> parts) {
    return client.upload(OmicsServiceGrpc.getUploadReadSetPartMethod(), parts);
  }

  private static Iterator<UploadReadSetPartRequest> endless() {
    return Stream.generate(() -> PART).iterator();
  }

  @Test
  void sendsAllPartsAndReturnsTheResponse() throws Exception {
    serve(Counting::new);
    assertEquals("sum", upload(Stream.generate(() -> PART).limit(20).iterator()).getChecksum());
    assertEquals(20, received.get());
  }

  @Test
  void canBeEmpty() throws Exception {
    serve(Counting::new);
    assertEquals("sum", upload(Stream.<UploadReadSetPartRequest>empty().iterator()).getChecksum());
  }

  @Test
  void stopsWhenTheServerRejectsIt() throws Exception {
    serve(
        observer -> {
          observer.onError(Status.PERMISSION_DENIED.asRuntimeException());
          return new Counting(observer);
        });
    var error = assertThrows(TaskgateException.class, () -> upload(endless()));
    assertEquals(Code.PERMISSION_DENIED, error.code());
  }

  @Test
  void isCancelledWhenItsSourceFails() throws Exception {
    serve(Counting::new);
    RuntimeException failure = new IllegalStateException("the disk is gone");
    Iterator<UploadReadSetPartRequest> failing =
        Stream.generate(
                () -> {
                  if (received.get() > 1) {
                    throw failure;
                  }
                  return PART;
                })
            .iterator();
    assertSame(failure, assertThrows(RuntimeException.class, () -> upload(failing)));
    assertTrue(cancelled.await(10, TimeUnit.SECONDS));
  }

  @Test
  void endsWhenItsThreadIsInterrupted() throws Exception {
    serve(Counting::new);
    Thread thread = begun(endless());
    thread.interrupt();
    assertEquals(Code.CANCELLED, failure().code());
    assertTrue(cancelled.await(10, TimeUnit.SECONDS));
  }

  @Test
  void endsWithTheClient() throws Exception {
    serve(Counting::new);
    Thread unused = begun(endless());
    client.close();
    assertEquals("CANCELLED: the client is closed", failure().getMessage());
    var again = assertThrows(TaskgateException.class, () -> upload(endless()));
    assertEquals("CANCELLED: the client is closed", again.getMessage());
  }

  private FutureTask<Object> running;

  private Thread begun(Iterator<UploadReadSetPartRequest> parts) throws InterruptedException {
    running = new FutureTask<>(() -> upload(parts));
    Thread thread = new Thread(running);
    thread.start();
    arrived.await();
    return thread;
  }

  private TaskgateException failure() {
    var failed = assertThrows(ExecutionException.class, () -> running.get(10, TimeUnit.SECONDS));
    return assertInstanceOf(TaskgateException.class, failed.getCause());
  }

  private final class Counting implements StreamObserver<UploadReadSetPartRequest> {
    private final StreamObserver<UploadReadSetPartResponse> observer;

    private Counting(StreamObserver<UploadReadSetPartResponse> observer) {
      this.observer = observer;
    }

    @Override
    public void onNext(UploadReadSetPartRequest part) {
      received.incrementAndGet();
      arrived.countDown();
    }

    @Override
    public void onError(Throwable error) {
      cancelled.countDown();
    }

    @Override
    public void onCompleted() {
      observer.onNext(UploadReadSetPartResponse.newBuilder().setChecksum("sum").build());
      observer.onCompleted();
    }
  }
}
