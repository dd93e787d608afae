package io.taskgate.client.conformance;

import com.google.protobuf.ByteString;
import io.taskgate.client.Name;
import io.taskgate.client.TaskgateException;
import io.taskgate.client.WatchEvent;
import io.taskgate.deadline.v1.GetTaskRequest;
import io.taskgate.deadline.v1.GetTaskResponse;
import io.taskgate.deadline.v1.TaskTargetRunStatus;
import io.taskgate.deadline.v1.UpdateTaskRequest;
import io.taskgate.omics.v1.UploadReadSetPartRequest;
import io.taskgate.v1.ParentStatus;
import io.taskgate.v1.SnapshotReason;
import io.taskgate.v1.Task;
import io.taskgate.v1.TaskChangeKind;
import io.taskgate.v1.TaskParameter;
import io.taskgate.v1.TaskState;
import io.taskgate.v1.WatchEndReason;
import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.RecordComponent;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.concurrent.Callable;

/** Results of the client in the form that runners print. */
final class Values {
  private Values() {}

  /** Returns a chunk of a file. */
  static UploadReadSetPartRequest chunk() {
    return UploadReadSetPartRequest.newBuilder()
        .setSequenceStoreId("1234567890")
        .setUploadId("1234567890")
        .setPartNumber(1)
        .setPayload(ByteString.copyFrom(new byte[64 * 1024]))
        .build();
  }

  private static String word(Enum<?> known, String prefix, int number) {
    return known == null ? Integer.toString(number) : known.name().substring(prefix.length());
  }

  static String runStatus(GetTaskResponse task) {
    return word(task.getRunStatus(), "TASK_RUN_STATUS_", task.getRunStatusValue());
  }

  /** Returns AWS's own request that reads a Deadline task. */
  static GetTaskRequest nativeRead(String name) {
    var task = (Name.DeadlineTask) Name.parseTask(name);
    return GetTaskRequest.newBuilder()
        .setFarmId(task.farm())
        .setQueueId(task.queue())
        .setJobId(task.job())
        .setStepId(task.step())
        .setTaskId(task.task())
        .build();
  }

  /** Returns AWS's own request that suspends a Deadline task. */
  static UpdateTaskRequest nativeSuspension(String name) {
    GetTaskRequest task = nativeRead(name);
    return UpdateTaskRequest.newBuilder()
        .setFarmId(task.getFarmId())
        .setQueueId(task.getQueueId())
        .setJobId(task.getJobId())
        .setStepId(task.getStepId())
        .setTaskId(task.getTaskId())
        .setTargetRunStatus(TaskTargetRunStatus.TASK_TARGET_RUN_STATUS_SUSPENDED)
        .build();
  }

  static String state(int number) {
    return word(TaskState.forNumber(number), "TASK_STATE_", number);
  }

  static Map<String, Object> task(Task task) {
    Map<String, Object> values = Runner.entry("name", task.getName());
    values.put("state", state(task.getStateValue()));
    values.put("native_state", task.getNativeState());
    values.put(
        "service",
        switch (task.getNativeCase()) {
          case DEADLINE -> "deadline";
          case OMICS -> "omics";
          case OTHER -> "other";
          default -> "";
        });
    Map<String, Object> parameters = new LinkedHashMap<>();
    task.getParametersMap().forEach((name, value) -> parameters.put(name, parameter(value)));
    values.put("parameters", parameters);
    return values;
  }

  private static Map<String, Object> parameter(TaskParameter value) {
    return switch (value.getValueCase()) {
      case INT -> Map.of("int", value.getInt());
      case FLOAT -> Map.of("float", value.getFloat());
      case STRING -> Map.of("string", value.getString());
      case PATH -> Map.of("path", value.getPath());
      case CHUNK_INT -> Map.of("chunk_int", value.getChunkInt());
      case UNKNOWN_MEMBER -> Map.of("unknown_member", value.getUnknownMember());
      default -> Map.of();
    };
  }

  static Map<String, Object> parent(ParentStatus parent) {
    Map<String, Object> values = Runner.entry("name", parent.getName());
    values.put("state", state(parent.getStateValue()));
    values.put("native_state", parent.getNativeState());
    values.put("ended", parent.getEnded());
    values.put(
        "lifecycle_status", parent.hasLifecycleStatus() ? parent.getLifecycleStatus() : null);
    values.put("failure_reason", parent.hasFailureReason() ? parent.getFailureReason() : null);
    values.put("status_message", parent.hasStatusMessage() ? parent.getStatusMessage() : null);
    return values;
  }

  static Map<String, Object> error(TaskgateException error) {
    Map<String, Object> values = Runner.entry("code", error.code().name());
    values.put("message", error.description());
    values.put("reason", error.reason());
    values.put("domain", error.domain());
    values.put("metadata", error.metadata());
    values.put(
        "violations",
        error.violations().stream()
            .map(each -> Map.of("field", each.field(), "description", each.description()))
            .toList());
    values.put(
        "retry_after", error.retryAfter().map(each -> each.toMillis() / 1000.0).orElse(null));
    values.put(
        "resource", error.resource().map(each -> List.of(each.type(), each.id())).orElse(null));
    values.put("quota", error.quota());
    values.put("request_id", error.requestId());
    return values;
  }

  static Map<String, Object> event(WatchEvent event) {
    if (event instanceof WatchEvent.Snapshot snapshot) {
      int number = snapshot.reasonValue();
      Map<String, Object> values = Runner.entry("event", "snapshot");
      values.put("reason", word(SnapshotReason.forNumber(number), "SNAPSHOT_REASON_", number));
      values.put("tasks", snapshot.tasks().stream().map(Values::task).toList());
      return values;
    }
    if (event instanceof WatchEvent.TaskChange changed) {
      int number = changed.change().getKindValue();
      Map<String, Object> values = Runner.entry("event", "change");
      values.put("kind", word(TaskChangeKind.forNumber(number), "TASK_CHANGE_KIND_", number));
      values.put("task", task(changed.change().getTask()));
      values.put("previous_state", state(changed.change().getPreviousStateValue()));
      return values;
    }
    if (event instanceof WatchEvent.Heartbeat heartbeat) {
      Map<String, Object> values = Runner.entry("event", "heartbeat");
      values.put("upstream_error", heartbeat.upstreamError().map(Values::error).orElse(null));
      return values;
    }
    if (event instanceof WatchEvent.Reconnecting lost) {
      Map<String, Object> values = Runner.entry("event", "reconnecting");
      values.put("error", error(lost.error()));
      values.put("failures", lost.failures());
      return values;
    }
    if (event instanceof WatchEvent.WatchEnd ended) {
      int number = ended.end().getReasonValue();
      Map<String, Object> values = Runner.entry("event", "end");
      values.put("reason", word(WatchEndReason.forNumber(number), "WATCH_END_REASON_", number));
      values.put("parent", ended.parentStatus().map(Values::parent).orElse(null));
      return values;
    }
    return Runner.entry("event", "resumed");
  }

  private static Name parse(String text) {
    try {
      return Name.parseTask(text);
    } catch (IllegalArgumentException noTask) {
      return Name.parseParent(text);
    }
  }

  static Map<String, Object> parsed(String text) {
    Name name = parse(text);
    List<Object> ids = new ArrayList<>();
    for (RecordComponent component : name.getClass().getRecordComponents()) {
      ids.add(call(() -> component.getAccessor().invoke(name)));
    }
    return Map.of("kind", kind(name.getClass()), "ids", ids);
  }

  static String built(String kind, List<String> ids) {
    Class<?> type =
        Arrays.stream(Name.class.getClasses())
            .filter(each -> kind(each).equals(kind))
            .findFirst()
            .orElseThrow();
    return call(() -> type.getConstructors()[0].newInstance(ids.toArray())).toString();
  }

  /** Returns {@code omics_task} for {@code Name.OmicsTask}. */
  private static String kind(Class<?> type) {
    return type.getSimpleName().replaceAll("(?<!^)(?=[A-Z])", "_").toLowerCase(Locale.ROOT);
  }

  /** Makes a reflective call and throws what it throws. */
  private static Object call(Callable<Object> reflective) {
    try {
      return reflective.call();
    } catch (InvocationTargetException error) {
      if (error.getCause() instanceof RuntimeException cause) {
        throw cause;
      }
      throw new IllegalStateException(error);
    } catch (Exception error) {
      throw new IllegalStateException(error);
    }
  }
}
