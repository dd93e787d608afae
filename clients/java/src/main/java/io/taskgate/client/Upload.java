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

/** A call with any number of requests and one answer, made by the thread that has the requests. */
final class Upload<Q, A> extends ClientCall.Listener<A> {
  private final ClientCall<Q, A> call;
  private final ReentrantLock lock = new ReentrantLock();
  private final Condition changed = lock.newCondition();
  private @Nullable A answer;
  private @Nullable Status status;
  private @Nullable Metadata trailers;

  private Upload(ClientCall<Q, A> call) {
    this.call = call;
  }

  /** Sends all parts, no faster than they are taken, and gives the answer. */
  static <Q, A> A send(
      Channel channel, MethodDescriptor<Q, A> method, Iterator<? extends Q> parts) {
    Upload<Q, A> upload = new Upload<>(channel.newCall(method, CallOptions.DEFAULT));
    try {
      return upload.run(parts);
    } catch (InterruptedException given) {
      Thread.currentThread().interrupt();
      throw TaskgateException.interrupted();
    } finally {
      upload.call.cancel("the caller is gone", null); // no effect on a call that has ended
    }
  }

  @Override
  public void onReady() {
    change(() -> {});
  }

  @Override
  public void onMessage(A message) {
    change(() -> answer = message);
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
    call.request(2); // with one, the end of a server that answers twice would never be told
    while (awaitReady() && parts.hasNext()) {
      Q part = parts.next();
      call.sendMessage(part);
    }
    if (!isEnded()) {
      call.halfClose();
    }
    return awaitAnswer();
  }

  /** Whether another part can be sent; not so when the server has had enough. */
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

  private A awaitAnswer() throws InterruptedException {
    lock.lockInterruptibly();
    try {
      while (status == null) {
        changed.await();
      }
      if (!status.isOk()) {
        throw TaskgateException.of(status.asRuntimeException(trailers));
      }
      return Optional.ofNullable(answer)
          .orElseThrow(
              () -> new TaskgateException(Status.Code.INTERNAL, "the server gave no answer"));
    } finally {
      lock.unlock();
    }
  }

  private void change(Runnable what) {
    lock.lock();
    try {
      what.run();
      changed.signalAll();
    } finally {
      lock.unlock();
    }
  }
}
