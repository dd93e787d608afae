package io.taskgate.client;

import io.grpc.CallOptions;
import io.grpc.Channel;
import io.grpc.ClientCall;
import io.grpc.Metadata;
import io.grpc.MethodDescriptor;
import io.grpc.Status;
import java.util.Iterator;
import java.util.Optional;
import java.util.concurrent.locks.Condition;
import java.util.concurrent.locks.ReentrantLock;
import org.jspecify.annotations.Nullable;

/** A call whose request is a stream, sent by the calling thread. */
final class Upload<Q, A> extends ClientCall.Listener<A> {
  private final ClientCall<Q, A> call;
  private final ReentrantLock lock = new ReentrantLock();
  private final Condition changed = lock.newCondition();
  private @Nullable A response;
  private @Nullable Status status;
  private @Nullable Metadata trailers;

  private Upload(ClientCall<Q, A> call) {
    this.call = call;
  }

  /** Sends all parts with flow control, and returns the response. */
  static <Q, A> A send(
      Channel channel, MethodDescriptor<Q, A> method, Iterator<? extends Q> parts) {
    Upload<Q, A> upload = new Upload<>(channel.newCall(method, CallOptions.DEFAULT));
    try {
      return upload.run(parts);
    } catch (InterruptedException interrupted) {
      Thread.currentThread().interrupt();
      throw TaskgateException.interrupted();
    } finally {
      upload.call.cancel("the caller left", null); // no effect on a call that has ended
    }
  }

  @Override
  public void onReady() {
    change(() -> {});
  }

  @Override
  public void onMessage(A message) {
    change(() -> response = message);
  }

  @Override
  public void onClose(Status end, Metadata last) {
    change(
        () -> {
          status = end;
          trailers = last;
        });
  }

  private A run(Iterator<? extends Q> parts) throws InterruptedException {
    call.start(this, new Metadata());
    call.request(2); // with 1, a second response would block the end of the call
    while (awaitReady() && parts.hasNext()) {
      Q part = parts.next();
      call.sendMessage(part);
    }
    if (!isEnded()) {
      call.halfClose();
    }
    return awaitResponse();
  }

  /** Returns whether another part can be sent; false when the server has ended the call. */
  private boolean awaitReady() throws InterruptedException {
    lock.lockInterruptibly();
    try {
      while (status == null && !call.isReady()) {
        changed.await();
      }
      return status == null;
    } finally {
      lock.unlock();
    }
  }

  private boolean isEnded() {
    lock.lock();
    try {
      return status != null;
    } finally {
      lock.unlock();
    }
  }

  private A awaitResponse() throws InterruptedException {
    lock.lockInterruptibly();
    try {
      while (status == null) {
        changed.await();
      }
      if (!status.isOk()) {
        throw TaskgateException.of(status.asRuntimeException(trailers));
      }
      return Optional.ofNullable(response)
          .orElseThrow(
              () -> new TaskgateException(Status.Code.INTERNAL, "the server sent no response"));
    } finally {
      lock.unlock();
    }
  }

  private void change(Runnable update) {
    lock.lock();
    try {
      update.run();
      changed.signalAll();
    } finally {
      lock.unlock();
    }
  }
}
