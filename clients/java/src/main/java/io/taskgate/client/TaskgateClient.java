package io.taskgate.client;

import com.google.protobuf.Message;
import io.grpc.Channel;
import io.grpc.ClientInterceptors;
import io.grpc.ManagedChannel;
import io.grpc.MethodDescriptor;
import io.grpc.StatusRuntimeException;
import io.grpc.health.v1.HealthCheckRequest;
import io.grpc.health.v1.HealthCheckResponse.ServingStatus;
import io.grpc.health.v1.HealthGrpc;
import io.taskgate.v1.BatchGetTasksRequest;
import io.taskgate.v1.BatchUpdateTasksRequest;
import io.taskgate.v1.CancelTaskRequest;
import io.taskgate.v1.GetServerInfoRequest;
import io.taskgate.v1.GetServerInfoResponse;
import io.taskgate.v1.GetTaskRequest;
import io.taskgate.v1.ListTasksRequest;
import io.taskgate.v1.RetryTaskRequest;
import io.taskgate.v1.StreamTaskLogsRequest;
import io.taskgate.v1.SummarizeTasksRequest;
import io.taskgate.v1.SummarizeTasksResponse;
import io.taskgate.v1.SuspendTaskRequest;
import io.taskgate.v1.Task;
import io.taskgate.v1.TaskServiceGrpc;
import io.taskgate.v1.TaskServiceGrpc.TaskServiceBlockingStub;
import io.taskgate.v1.TaskUpdateResult;
import io.taskgate.v1.WaitTaskRequest;
import io.taskgate.v1.WaitTaskResponse;
import io.taskgate.v1.WatchTasksRequest;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Iterator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.function.BiFunction;
import java.util.function.Supplier;
import org.jspecify.annotations.Nullable;

/**
 * A connection to Taskgate. It is thread-safe; close it after use. Methods throw {@link
 * TaskgateException}, and end when their thread is interrupted or its gRPC context is cancelled.
 *
 * <p>Enum values and union members that are newer than this package are not errors: an enum is
 * {@code UNRECOGNIZED} with its number, and a union is not set.
 */
public final class TaskgateClient implements AutoCloseable, AwsServices {
  /** The timeout of unary calls that set none. */
  public static final Duration DEFAULT_TIMEOUT = Duration.ofSeconds(30);

  /** Maximum number of names in a request. */
  private static final int MAX_NAMES = 1_000;

  private final ManagedChannel connection;
  private final ReconnectLimit reconnects;
  private final Lifetime lifetime;
  private final Timing timing;
  private final Writes writes;
  private final Channel channel;
  private final TaskServiceBlockingStub tasks;

  private TaskgateClient(
      ManagedChannel connection,
      ReconnectLimit reconnects,
      Lifetime lifetime,
      Timing timing,
      Writes writes,
      Duration timeout) {
    this.connection = connection;
    this.reconnects = reconnects;
    this.lifetime = lifetime;
    this.timing = timing;
    this.writes = writes;
    channel =
        ClientInterceptors.intercept(connection, new DefaultTimeout(timeout), writes, lifetime);
    tasks = TaskServiceGrpc.newBlockingStub(channel);
  }

  static TaskgateClient of(ManagedChannel connection, ReconnectLimit reconnects, Timing timing) {
    Writes writes = new Writes(timing::nanoTime);
    return new TaskgateClient(
        connection, reconnects, new Lifetime(), timing, writes, DEFAULT_TIMEOUT);
  }

  /**
   * Returns a client of the server at an address, in plaintext. It connects with its first call.
   *
   * @param address {@code host:port}, or another form of gRPC
   * @return the client
   */
  public static TaskgateClient connect(String address) {
    return builder(address).build();
  }

  /**
   * Returns a builder, for TLS, a token and other options.
   *
   * @param address {@code host:port}, or another form of gRPC
   * @return the builder
   */
  public static ClientBuilder builder(String address) {
    return new ClientBuilder(address);
  }

  /**
   * Returns a client over the same connection with another timeout for unary calls.
   *
   * @param timeout of each unary call
   * @return a client that is closed with this one
   */
  public TaskgateClient withTimeout(Duration timeout) {
    return new TaskgateClient(connection, reconnects, lifetime, timing, writes, timeout);
  }

  /**
   * Returns the channel, for other stubs: {@code OmicsServiceGrpc.newFutureStub(client.channel())},
   * or those of a plug-in. Their calls have the token, target and default timeout of the client.
   *
   * @return the channel, which is closed with the client
   */
  @Override
  public Channel channel() {
    return channel;
  }

  /**
   * Makes a call whose request is a stream, such as {@code
   * OmicsServiceGrpc.getUploadReadSetPartMethod()}, without a timeout. The calling thread iterates
   * over the requests as they can be sent; an exception of the iterator ends the call and is
   * thrown.
   *
   * @param <Q> the type of the requests
   * @param <A> the type of the response
   * @param method the method to call
   * @param requests the requests; the iteration stops when the server ends the call
   * @return the response
   */
  public <Q, A> A upload(MethodDescriptor<Q, A> method, Iterator<? extends Q> requests) {
    return Upload.send(channel, method, requests);
  }

  /**
   * Returns a task of either AWS service.
   *
   * @param request the name, and the view
   * @return the task
   */
  public Task getTask(GetTaskRequest request) {
    return invoke(request, TaskServiceBlockingStub::getTask).getTask();
  }

  /**
   * Returns any number of tasks of both AWS services.
   *
   * @param request the names
   * @return for each name, in order, the task or its error
   */
  public List<TaskResult> batchGetTasks(BatchGetTasksRequest request) {
    List<TaskResult> results = new ArrayList<>();
    List<String> names = request.getNamesList();
    for (int start = 0; start < names.size(); start += MAX_NAMES) {
      List<String> some = names.subList(start, Math.min(start + MAX_NAMES, names.size()));
      BatchGetTasksRequest part = request.toBuilder().clearNames().addAllNames(some).build();
      invoke(part, TaskServiceBlockingStub::batchGetTasks).getResultsList().stream()
          .map(TaskResult::of)
          .forEach(results::add);
    }
    return results;
  }

  /**
   * Lists the tasks of a queue, job, step or run. The listing fetches pages as needed.
   *
   * @param request the parent, and a filter
   * @return the tasks
   */
  public TaskListing listTasks(ListTasksRequest request) {
    return new TaskListing(request, page -> invoke(page, TaskServiceBlockingStub::listTasks));
  }

  /**
   * Counts the tasks of a job, step or run by state.
   *
   * @param request the parent
   * @return the counts
   */
  public SummarizeTasksResponse summarizeTasks(SummarizeTasksRequest request) {
    return invoke(request, TaskServiceBlockingStub::summarizeTasks);
  }

  /**
   * Watches the tasks of a parent, or the named tasks: a snapshot first, then every change.
   *
   * <p>When the connection breaks, the server restarts, or three heartbeats are missed, the client
   * reconnects and resumes the watch: after {@link WatchEvent.Reconnecting} comes {@link
   * WatchEvent.Resumed}, or another {@link WatchEvent.Snapshot}.
   *
   * @param request the parent or the names
   * @return the events, to be closed
   */
  public Watch watchTasks(WatchTasksRequest request) {
    return watchTasks(request, null);
  }

  /**
   * Watches tasks, with a timeout.
   *
   * @param request the parent or the names
   * @param timeout of the whole watch, or null for no limit
   * @return the events, to be closed
   */
  public Watch watchTasks(WatchTasksRequest request, @Nullable Duration timeout) {
    return Watch.of(request, channel, lifetime, timing, timeout);
  }

  /**
   * Waits until a task is in one of the states, or has settled if there are none, also across
   * restarts of the server.
   *
   * @param request the name of the task, and the states
   * @param timeout of the whole wait, or null for no limit
   * @return the task; also {@code done}, with a {@code parent_status}, if it can never settle
   *     because its run or job has ended; not {@code done} after the timeout
   */
  public WaitTaskResponse waitTask(WaitTaskRequest request, @Nullable Duration timeout) {
    return new TaskWaiter(tasks, lifetime, timing).waitFor(request, timeout);
  }

  /**
   * Cancels a task of Deadline Cloud. With a request id the call is idempotent.
   *
   * @param request the name of the task
   * @return the task
   */
  public Task cancelTask(CancelTaskRequest request) {
    return invoke(request, TaskServiceBlockingStub::cancelTask).getTask();
  }

  /**
   * Queues a task of Deadline Cloud again.
   *
   * @param request the name of the task
   * @return the task
   */
  public Task retryTask(RetryTaskRequest request) {
    return invoke(request, TaskServiceBlockingStub::retryTask).getTask();
  }

  /**
   * Suspends a task of Deadline Cloud.
   *
   * @param request the name of the task
   * @return the task
   */
  public Task suspendTask(SuspendTaskRequest request) {
    return invoke(request, TaskServiceBlockingStub::suspendTask).getTask();
  }

  /**
   * Cancels, retries and suspends up to 1,000 tasks.
   *
   * @param request the action for each task
   * @return by name the error that the single method would throw, if any
   */
  public Map<String, Optional<TaskgateException>> batchUpdateTasks(
      BatchUpdateTasksRequest request) {
    Map<String, Optional<TaskgateException>> results = new LinkedHashMap<>();
    for (TaskUpdateResult each :
        invoke(request, TaskServiceBlockingStub::batchUpdateTasks).getResultsList()) {
      results.put(
          each.getName(),
          each.hasError() ? Optional.of(TaskgateException.of(each.getError())) : Optional.empty());
    }
    return results;
  }

  /**
   * Reads the log of a task; with {@code follow} it continues until the task has settled. When the
   * connection breaks, or three heartbeats are missed, the client calls again and continues. It
   * returns no line twice.
   *
   * @param request the name of the task
   * @return the lines, to be closed
   */
  public TaskLog streamTaskLogs(StreamTaskLogsRequest request) {
    return streamTaskLogs(request, null);
  }

  /**
   * Reads the log of a task, with a timeout.
   *
   * @param request the name of the task
   * @param timeout of the whole log, or null for no limit
   * @return the lines, to be closed
   */
  public TaskLog streamTaskLogs(StreamTaskLogsRequest request, @Nullable Duration timeout) {
    return TaskLog.of(request, channel, lifetime, timing, timeout);
  }

  /**
   * Returns the server's version, and which AWS services it can call now.
   *
   * @return the response
   */
  public GetServerInfoResponse getServerInfo() {
    return invoke(
        GetServerInfoRequest.getDefaultInstance(), TaskServiceBlockingStub::getServerInfo);
  }

  /**
   * Returns whether the server, or one of its gRPC services, is serving.
   *
   * @param service its full name; empty for the server as a whole
   * @return whether it is serving
   */
  public boolean isServing(String service) {
    HealthCheckRequest request = HealthCheckRequest.newBuilder().setService(service).build();
    return converting(() -> HealthGrpc.newBlockingStub(channel).check(request)).getStatus()
        == ServingStatus.SERVING;
  }

  /** Closes the connection. In-flight and later calls throw CANCELLED; watches and logs end. */
  @Override
  public void close() {
    lifetime.close();
    reconnects.close();
    connection.shutdownNow();
  }

  private <Q extends Message, A> A invoke(
      Q request, BiFunction<TaskServiceBlockingStub, Q, A> call) {
    return converting(() -> call.apply(Parents.attach(tasks, request), request));
  }

  private static <T> T converting(Supplier<T> call) {
    try {
      return call.get();
    } catch (StatusRuntimeException error) {
      throw TaskgateException.of(error);
    }
  }
}
