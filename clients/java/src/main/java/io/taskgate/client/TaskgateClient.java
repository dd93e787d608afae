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
import io.taskgate.deadline.v1.DeadlineServiceGrpc;
import io.taskgate.deadline.v1.DeadlineServiceGrpc.DeadlineServiceBlockingStub;
import io.taskgate.omics.v1.OmicsServiceGrpc;
import io.taskgate.omics.v1.OmicsServiceGrpc.OmicsServiceBlockingStub;
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
 * A connection to Taskgate, for any number of threads; close it in the end. Methods throw {@link
 * TaskgateException}, and end when their thread is interrupted or its gRPC context is cancelled.
 *
 * <p>An enum word or a union member that is newer than this package is data, never an exception:
 * {@code UNRECOGNIZED} with its number, or a member that is not set.
 */
public final class TaskgateClient implements AutoCloseable {
  /** Ends calls with one request and one answer for which no other time is set. */
  public static final Duration DEFAULT_TIME_LIMIT = Duration.ofSeconds(30);

  /** How many tasks one request may name. */
  private static final int MOST_NAMES = 1_000;

  private final ManagedChannel connection;
  private final ReconnectLimit reconnects;
  private final Lifetime lifetime;
  private final Timing timing;
  private final Channel channel;
  private final TaskServiceBlockingStub tasks;

  private TaskgateClient(
      ManagedChannel connection,
      ReconnectLimit reconnects,
      Lifetime lifetime,
      Timing timing,
      Duration limit) {
    this.connection = connection;
    this.reconnects = reconnects;
    this.lifetime = lifetime;
    this.timing = timing;
    channel = ClientInterceptors.intercept(connection, new TimeLimit(limit), lifetime);
    tasks = TaskServiceGrpc.newBlockingStub(channel);
  }

  static TaskgateClient of(ManagedChannel connection, ReconnectLimit reconnects, Timing timing) {
    return new TaskgateClient(connection, reconnects, new Lifetime(), timing, DEFAULT_TIME_LIMIT);
  }

  /**
   * A client of the server at an address, in plaintext. Nothing is sent until the first call.
   *
   * @param address {@code host:port}, or what else gRPC knows
   * @return the client
   */
  public static TaskgateClient connect(String address) {
    return builder(address).build();
  }

  /**
   * A client with TLS, a token, or other options.
   *
   * @param address {@code host:port}, or what else gRPC knows
   * @return what makes it
   */
  public static ClientBuilder builder(String address) {
    return new ClientBuilder(address);
  }

  /**
   * The same connection with another time for each call that has one request and one answer.
   *
   * @param limit of each call
   * @return a client that is closed with this one
   */
  public TaskgateClient withTimeLimit(Duration limit) {
    return new TaskgateClient(connection, reconnects, lifetime, timing, limit);
  }

  /**
   * Every operation of AWS Deadline Cloud; {@link TaskgateException#of(StatusRuntimeException)}
   * unpacks its errors.
   *
   * @return a stub
   */
  public DeadlineServiceBlockingStub deadline() {
    return DeadlineServiceGrpc.newBlockingStub(channel);
  }

  /**
   * Every operation of AWS HealthOmics; {@link #upload} is for those with any number of requests.
   * All else is as of {@link #deadline}.
   *
   * @return a stub
   */
  public OmicsServiceBlockingStub omics() {
    return OmicsServiceGrpc.newBlockingStub(channel);
  }

  /**
   * For stubs of other kinds, such as {@code OmicsServiceGrpc.newFutureStub(client.channel())}.
   *
   * @return the channel, which is closed with the client
   */
  public Channel channel() {
    return channel;
  }

  /**
   * Makes a call with any number of requests and one answer, such as {@code
   * OmicsServiceGrpc.getUploadReadSetPartMethod()}, without a limit of its time. Requests are asked
   * for when they can be sent, by the calling thread; what asking throws ends the call and is
   * thrown.
   *
   * @param <Q> the requests
   * @param <A> the answer
   * @param method what to call
   * @param requests what to send; the rest is left when the server has had enough
   * @return the answer
   */
  public <Q, A> A upload(MethodDescriptor<Q, A> method, Iterator<? extends Q> requests) {
    return Upload.send(channel, method, requests);
  }

  /**
   * One task of either AWS service.
   *
   * @param request names it
   * @return the task
   */
  public Task getTask(GetTaskRequest request) {
    return asked(request, TaskServiceBlockingStub::getTask).getTask();
  }

  /**
   * Any number of tasks of both AWS services.
   *
   * @param request names them
   * @return for each name, in their order, the task or its error
   */
  public List<TaskResult> batchGetTasks(BatchGetTasksRequest request) {
    List<TaskResult> results = new ArrayList<>();
    List<String> names = request.getNamesList();
    for (int start = 0; start < names.size(); start += MOST_NAMES) {
      List<String> some = names.subList(start, Math.min(start + MOST_NAMES, names.size()));
      BatchGetTasksRequest part = request.toBuilder().clearNames().addAllNames(some).build();
      asked(part, TaskServiceBlockingStub::batchGetTasks).getResultsList().stream()
          .map(TaskResult::of)
          .forEach(results::add);
    }
    return results;
  }

  /**
   * The tasks of a queue, a job, a step or a run; asks for page after page by itself.
   *
   * @param request names the parent
   * @return the tasks
   */
  public TaskListing listTasks(ListTasksRequest request) {
    return new TaskListing(request, page -> asked(page, TaskServiceBlockingStub::listTasks));
  }

  /**
   * How many tasks of a job, a step or a run are in which state.
   *
   * @param request names the parent
   * @return the counts
   */
  public SummarizeTasksResponse summarizeTasks(SummarizeTasksRequest request) {
    return asked(request, TaskServiceBlockingStub::summarizeTasks);
  }

  /**
   * The tasks of a parent, or those named, and every change of them.
   *
   * <p>When the connection breaks, the server is started anew, or nothing is heard for three
   * heartbeats, the watch goes on by itself where it was: {@link WatchEvent.Reconnecting} tells of
   * it, then {@link WatchEvent.Resumed}, or a new {@link WatchEvent.Snapshot}.
   *
   * @param request what to watch
   * @return the events; close it
   */
  public Watch watchTasks(WatchTasksRequest request) {
    return watchTasks(request, null);
  }

  /**
   * The same with a limit.
   *
   * @param request what to watch
   * @param limit for all of it, or null
   * @return the events; close it
   */
  public Watch watchTasks(WatchTasksRequest request, @Nullable Duration limit) {
    return Watch.of(request, channel, lifetime, timing, limit);
  }

  /**
   * Waits until a task is in one of the states, or has settled if none are named, also across
   * restarts of the server.
   *
   * @param request names the task and the states
   * @param limit for all of it, or null to wait for ever
   * @return the task; {@code done} with a {@code parent_status}, too, if it can never settle
   *     because its run or job has ended; not {@code done} when the time is up
   */
  public WaitTaskResponse waitTask(WaitTaskRequest request, @Nullable Duration limit) {
    return new Waiting(tasks, lifetime, timing).forTask(request, limit);
  }

  /**
   * Ends a task of Deadline Cloud. With a request id it is safe to call again.
   *
   * @param request names the task
   * @return the task
   */
  public Task cancelTask(CancelTaskRequest request) {
    return asked(request, TaskServiceBlockingStub::cancelTask).getTask();
  }

  /**
   * Queues a task of Deadline Cloud again.
   *
   * @param request names the task
   * @return the task
   */
  public Task retryTask(RetryTaskRequest request) {
    return asked(request, TaskServiceBlockingStub::retryTask).getTask();
  }

  /**
   * Holds a task of Deadline Cloud.
   *
   * @param request names the task
   * @return the task
   */
  public Task suspendTask(SuspendTaskRequest request) {
    return asked(request, TaskServiceBlockingStub::suspendTask).getTask();
  }

  /**
   * Cancels, retries and suspends up to 1,000 tasks.
   *
   * @param request says what is to become of each
   * @return by name the error that the single method would have thrown, if any
   */
  public Map<String, Optional<TaskgateException>> batchUpdateTasks(
      BatchUpdateTasksRequest request) {
    Map<String, Optional<TaskgateException>> results = new LinkedHashMap<>();
    for (TaskUpdateResult each :
        asked(request, TaskServiceBlockingStub::batchUpdateTasks).getResultsList()) {
      results.put(
          each.getName(),
          each.hasError() ? Optional.of(TaskgateException.of(each.getError())) : Optional.empty());
    }
    return results;
  }

  /**
   * What a task has written to its log, and with {@code follow} what it writes later. When the
   * connection breaks, or three heartbeats of the server do not come, it calls again and continues;
   * no line is returned twice.
   *
   * @param request names the task
   * @return the lines; close it
   */
  public TaskLog streamTaskLogs(StreamTaskLogsRequest request) {
    return streamTaskLogs(request, null);
  }

  /**
   * The same with a limit.
   *
   * @param request names the task
   * @param limit for all of it, or null
   * @return the lines; close it
   */
  public TaskLog streamTaskLogs(StreamTaskLogsRequest request, @Nullable Duration limit) {
    return TaskLog.of(request, channel, lifetime, timing, limit);
  }

  /**
   * What the server is and which AWS services it can serve now.
   *
   * @return what it says
   */
  public GetServerInfoResponse getServerInfo() {
    return asked(GetServerInfoRequest.getDefaultInstance(), TaskServiceBlockingStub::getServerInfo);
  }

  /**
   * Whether a gRPC service of the server can be used now.
   *
   * @param service its full name; empty for the whole server
   * @return whether it serves
   */
  public boolean isServing(String service) {
    HealthCheckRequest request = HealthCheckRequest.newBuilder().setService(service).build();
    return told(() -> HealthGrpc.newBlockingStub(channel).check(request)).getStatus()
        == ServingStatus.SERVING;
  }

  /**
   * Ends the connection and what is in flight on it: calls throw CANCELLED, watches and logs end.
   * Calls after it throw CANCELLED at once.
   */
  @Override
  public void close() {
    lifetime.close();
    reconnects.close();
    connection.shutdownNow();
  }

  private <Q extends Message, A> A asked(
      Q request, BiFunction<TaskServiceBlockingStub, Q, A> call) {
    return told(() -> call.apply(Parents.telling(tasks, request), request));
  }

  private static <T> T told(Supplier<T> call) {
    try {
      return call.get();
    } catch (StatusRuntimeException error) {
      throw TaskgateException.of(error);
    }
  }
}
