package io.taskgate.client.conformance;

import com.google.gson.Gson;
import com.google.gson.GsonBuilder;
import com.google.gson.JsonElement;
import com.google.gson.JsonObject;
import com.google.protobuf.Duration;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import io.taskgate.client.ClientBuilder;
import io.taskgate.client.TaskListing;
import io.taskgate.client.TaskLog;
import io.taskgate.client.TaskgateClient;
import io.taskgate.client.TaskgateException;
import io.taskgate.client.Tls;
import io.taskgate.client.Token;
import io.taskgate.client.Watch;
import io.taskgate.client.WatchEvent;
import io.taskgate.deadline.v1.GetFarmRequest;
import io.taskgate.omics.v1.OmicsServiceGrpc;
import io.taskgate.v1.BatchGetTasksRequest;
import io.taskgate.v1.BatchUpdateTasksRequest;
import io.taskgate.v1.CancelTaskRequest;
import io.taskgate.v1.GetTaskRequest;
import io.taskgate.v1.ListTasksRequest;
import io.taskgate.v1.RetryTaskRequest;
import io.taskgate.v1.StreamTaskLogsRequest;
import io.taskgate.v1.SummarizeTasksRequest;
import io.taskgate.v1.SuspendTaskRequest;
import io.taskgate.v1.Task;
import io.taskgate.v1.TaskAction;
import io.taskgate.v1.TaskState;
import io.taskgate.v1.TaskUpdate;
import io.taskgate.v1.TaskView;
import io.taskgate.v1.WaitTaskRequest;
import io.taskgate.v1.WatchTasksRequest;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Collections;
import java.util.Iterator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Timer;
import java.util.TimerTask;

/**
 * Does with the Java client what the cases of clients/conformance say; its commands are described
 * in that folder's README.md.
 */
public final class Runner {
  private static final Gson GSON = new GsonBuilder().serializeNulls().create();

  private TaskgateClient client;
  private Watch watch;
  private Iterator<WatchEvent> events;

  /** Runs one command per line. */
  public static void main(String[] arguments) throws IOException {
    Runner runner = new Runner();
    BufferedReader lines =
        new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
    for (String line = lines.readLine(); line != null; line = lines.readLine()) {
      System.out.println(GSON.toJson(runner.run(GSON.fromJson(line, JsonObject.class))));
    }
    System.exit(0); // even with a call in flight
  }

  private Map<String, Object> run(JsonObject command) {
    Timer timer = new Timer(true);
    if (command.has("cancel_after")) {
      Thread self = Thread.currentThread();
      timer.schedule(
          new TimerTask() {
            @Override
            public void run() {
              self.interrupt();
            }
          },
          (long) (command.get("cancel_after").getAsDouble() * 1000));
    }
    try {
      return entry("ok", act(command));
    } catch (StatusRuntimeException error) {
      return entry("error", Values.error(TaskgateException.of(error)));
    } catch (TaskgateException error) {
      boolean cancelled = command.has("cancel_after") && error.code() == Status.Code.CANCELLED;
      return cancelled ? entry("cancelled", true) : entry("error", Values.error(error));
    } catch (IllegalArgumentException error) {
      return entry("invalid", error.getMessage());
    } finally {
      timer.cancel();
      Thread.interrupted();
    }
  }

  private Object act(JsonObject command) {
    return switch (command.get("do").getAsString()) {
      case "connect" -> connect(command);
      case "parse_name" -> Values.parsed(text(command, "name"));
      case "build_name" -> Values.built(text(command, "kind"), texts(command, "ids"));
      case "watch" -> watch(command);
      case "next" -> next(command);
      case "close_watch" -> {
        watch.close();
        yield Map.of();
      }
      case "cancel_task", "retry_task", "suspend_task", "batch_update_tasks" -> update(command);
      default -> read(command);
    };
  }

  private Object connect(JsonObject command) {
    if (client != null) {
      if (watch != null) {
        watch.close();
      }
      client.close();
      client = null;
    }
    ClientBuilder builder = TaskgateClient.builder(text(command, "address"));
    if (command.has("tls")) {
      builder.tls(tls(command.getAsJsonObject("tls")));
    }
    if (command.has("token")) {
      builder.token(Token.text(text(command, "token")));
    } else if (command.has("token_file")) {
      builder.token(Token.file(path(command, "token_file")));
    } else if (command.has("token_sequence")) {
      List<String> left = new ArrayList<>(texts(command, "token_sequence"));
      builder.token(() -> left.size() > 1 ? left.remove(0) : left.get(0));
    }
    if (command.has("target")) {
      builder.target(text(command, "target"));
    }
    client = builder.build();
    return Map.of();
  }

  private static Tls tls(JsonObject result) {
    Tls tls = result.has("ca") ? Tls.ca(path(result, "ca")) : Tls.publicCas();
    if (result.has("certificate") || result.has("key")) {
      tls = tls.withCertificate(path(result, "certificate"), path(result, "key"));
    }
    return result.has("server_name") ? tls.withServerName(text(result, "server_name")) : tls;
  }

  private Object read(JsonObject command) {
    TaskgateClient limited =
        command.has("timeout") ? client.withTimeout(time(command, "timeout")) : client;
    String name = text(command, "name");
    return switch (command.get("do").getAsString()) {
      case "get_task" -> {
        GetTaskRequest.Builder request = GetTaskRequest.newBuilder().setName(name);
        if (command.has("view")) {
          request.setView(TaskView.valueOf("TASK_VIEW_" + text(command, "view")));
        }
        if (command.has("max_age")) {
          request.setMaxAge(duration(command, "max_age"));
        }
        yield Values.task(limited.getTask(request.build()));
      }
      case "batch_get_tasks" ->
          limited
              .batchGetTasks(
                  BatchGetTasksRequest.newBuilder().addAllNames(texts(command, "names")).build())
              .stream()
              .map(
                  each ->
                      each.error()
                          .map(error -> (Object) entry("error", Values.error(error)))
                          .orElseGet(() -> Values.task(each.task().orElseThrow())))
              .toList();
      case "list_tasks" -> list(command);
      case "summarize_tasks" -> {
        var response =
            limited.summarizeTasks(
                SummarizeTasksRequest.newBuilder().setParent(text(command, "parent")).build());
        var counts = response.getCounts();
        Map<String, Object> states = new LinkedHashMap<>();
        counts
            .getStatesList()
            .forEach(each -> states.put(Values.state(each.getStateValue()), each.getCount()));
        Map<String, Object> result = entry("total", counts.getTotal());
        result.put("states", states);
        result.put("settled", counts.getSettled());
        result.put(
            "parent",
            response.hasParentStatus() ? Values.parent(response.getParentStatus()) : null);
        yield result;
      }
      case "wait_task" -> {
        WaitTaskRequest.Builder request = WaitTaskRequest.newBuilder().setName(name);
        texts(command, "states")
            .forEach(each -> request.addStates(TaskState.valueOf("TASK_STATE_" + each)));
        java.time.Duration limit = command.has("timeout") ? time(command, "timeout") : null;
        var response = client.waitTask(request.build(), limit);
        Map<String, Object> result = entry("task", Values.task(response.getTask()));
        result.put("done", response.getDone());
        result.put(
            "parent",
            response.hasParentStatus() ? Values.parent(response.getParentStatus()) : null);
        yield result;
      }
      case "read_log" -> log(command);
      case "get_server_info" -> {
        var info = limited.getServerInfo();
        List<String> services =
            info.getAwsServicesList().stream().map(each -> each.getName()).toList();
        yield Map.of("version", info.getVersion(), "services", services);
      }
      case "is_serving" -> limited.isServing(text(command, "service"));
      case "get_farm" -> {
        GetFarmRequest request =
            GetFarmRequest.newBuilder().setFarmId(text(command, "farm_id")).build();
        yield Map.of("display_name", limited.deadline().getFarm(request).getDisplayName());
      }
      case "get_natively" -> {
        var task = limited.deadline().getTask(Values.nativeRead(text(command, "name")));
        yield Map.of("run_status", Values.runStatus(task));
      }
      case "suspend_natively" -> {
        var unused = limited.deadline().updateTask(Values.nativeSuspension(text(command, "name")));
        yield Map.of();
      }
      case "upload" -> {
        var chunks = Collections.nCopies(number(command, "chunks"), Values.chunk()).iterator();
        var response = client.upload(OmicsServiceGrpc.getUploadReadSetPartMethod(), chunks);
        yield Map.of("checksum", response.getChecksum());
      }
      default -> throw new IllegalStateException("no command " + command);
    };
  }

  private Object list(JsonObject command) {
    ListTasksRequest.Builder request =
        ListTasksRequest.newBuilder()
            .setParent(text(command, "parent"))
            .setFilter(text(command, "filter"))
            .setPageSize(number(command, "page_size"));
    TaskListing listing = client.listTasks(request.build());
    Iterator<Task> iterator = listing.iterator();
    List<Object> tasks = new ArrayList<>();
    int limit = command.has("limit") ? number(command, "limit") : Integer.MAX_VALUE;
    while (tasks.size() < limit && iterator.hasNext()) {
      tasks.add(Values.task(iterator.next()));
    }
    Map<String, Object> result = entry("tasks", tasks);
    result.put(
        "total_size", listing.totalSize().isPresent() ? listing.totalSize().getAsInt() : null);
    return result;
  }

  private Object log(JsonObject command) {
    StreamTaskLogsRequest.Builder request =
        StreamTaskLogsRequest.newBuilder()
            .setName(text(command, "name"))
            .setFollow(command.has("follow") && command.get("follow").getAsBoolean())
            .setLimit(number(command, "limit"))
            .setTail(number(command, "tail"));
    if (command.has("attempt")) {
      request.setAttempt(number(command, "attempt"));
    }
    if (command.has("heartbeat_interval")) {
      request.setHeartbeatInterval(duration(command, "heartbeat_interval"));
    }
    java.time.Duration limit = command.has("timeout") ? time(command, "timeout") : null;
    List<String> lines = new ArrayList<>();
    try (TaskLog log = client.streamTaskLogs(request.build(), limit)) {
      log.forEach(line -> lines.add(line.getMessage()));
    }
    return lines;
  }

  private Object update(JsonObject command) {
    String name = text(command, "name");
    String id = text(command, "request_id");
    String reason = text(command, "reason");
    return switch (command.get("do").getAsString()) {
      case "cancel_task" ->
          Values.task(
              client.cancelTask(
                  CancelTaskRequest.newBuilder()
                      .setName(name)
                      .setRequestId(id)
                      .setReason(reason)
                      .build()));
      case "retry_task" ->
          Values.task(
              client.retryTask(
                  RetryTaskRequest.newBuilder()
                      .setName(name)
                      .setRequestId(id)
                      .setReason(reason)
                      .build()));
      case "suspend_task" ->
          Values.task(
              client.suspendTask(
                  SuspendTaskRequest.newBuilder()
                      .setName(name)
                      .setRequestId(id)
                      .setReason(reason)
                      .build()));
      default -> {
        BatchUpdateTasksRequest.Builder request = BatchUpdateTasksRequest.newBuilder();
        command
            .getAsJsonObject("updates")
            .entrySet()
            .forEach(
                each ->
                    request.addUpdates(
                        TaskUpdate.newBuilder()
                            .setName(each.getKey())
                            .setAction(
                                TaskAction.valueOf(
                                    "TASK_ACTION_" + each.getValue().getAsString()))));
        Map<String, Object> result = new LinkedHashMap<>();
        client
            .batchUpdateTasks(request.build())
            .forEach(
                (key, error) ->
                    result.put(
                        key,
                        error
                            .map(each -> (Object) entry("error", Values.error(each)))
                            .orElse(null)));
        yield result;
      }
    };
  }

  private Object watch(JsonObject command) {
    if (watch != null) {
      watch.close();
    }
    WatchTasksRequest.Builder request =
        WatchTasksRequest.newBuilder()
            .setParent(text(command, "parent"))
            .addAllNames(texts(command, "names"))
            .setUntilSettled(
                command.has("until_settled") && command.get("until_settled").getAsBoolean());
    if (command.has("heartbeat_interval")) {
      request.setHeartbeatInterval(duration(command, "heartbeat_interval"));
    }
    watch =
        client.watchTasks(
            request.build(), command.has("timeout") ? time(command, "timeout") : null);
    events = watch.iterator();
    return Map.of();
  }

  private Object next(JsonObject command) {
    List<String> skip = texts(command, "skip");
    while (events.hasNext()) {
      Map<String, Object> result = Values.event(events.next());
      if (!skip.contains(result.get("event"))) {
        return result;
      }
    }
    return Map.of("event", "none");
  }

  static Map<String, Object> entry(String key, Object value) {
    Map<String, Object> made = new LinkedHashMap<>();
    made.put(key, value);
    return made;
  }

  private static String text(JsonObject command, String key) {
    return command.has(key) ? command.get(key).getAsString() : "";
  }

  private static List<String> texts(JsonObject command, String key) {
    List<String> found = new ArrayList<>();
    if (command.has(key)) {
      Iterator<JsonElement> each = command.getAsJsonArray(key).iterator();
      each.forEachRemaining(item -> found.add(item.getAsString()));
    }
    return found;
  }

  private static int number(JsonObject command, String key) {
    return command.has(key) ? command.get(key).getAsInt() : 0;
  }

  private static Path path(JsonObject command, String key) {
    return command.has(key) ? Path.of(command.get(key).getAsString()) : null;
  }

  private static java.time.Duration time(JsonObject command, String key) {
    return java.time.Duration.ofNanos((long) (command.get(key).getAsDouble() * 1e9));
  }

  private static Duration duration(JsonObject command, String key) {
    java.time.Duration time = time(command, key);
    return Duration.newBuilder().setSeconds(time.getSeconds()).setNanos(time.getNano()).build();
  }
}
