package io.taskgate.client.conformance;

import com.google.protobuf.ByteString;
import io.taskgate.client.Name;
import io.taskgate.client.TaskgateException;
import io.taskgate.client.WatchEvent;
import io.taskgate.omics.v1.UploadReadSetPartRequest;
import io.taskgate.v1.ParentStatus;
import io.taskgate.v1.SnapshotReason;
import io.taskgate.v1.Task;
import io.taskgate.v1.TaskChangeKind;
import io.taskgate.v1.TaskParameter;
import io.taskgate.v1.TaskState;
import io.taskgate.v1.WatchEndReason;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/** What the client gives, as runners tell it. */
final class Values {
  private Values() {}

  /** A piece of a file. */
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

  static String state(int number) {
    return word(TaskState.forNumber(number), "TASK_STATE_", number);
  }

  static Map<String, Object> task(Task task) {
    Map<String, Object> told = Runner.told("name", task.getName());
    told.put("state", state(task.getStateValue()));
    told.put("native_state", task.getNativeState());
    told.put(
        "service",
        switch (task.getNativeCase()) {
          case DEADLINE -> "deadline";
          case OMICS -> "omics";
          default -> "";
        });
    Map<String, Object> parameters = new LinkedHashMap<>();
    task.getParametersMap().forEach((name, value) -> parameters.put(name, parameter(value)));
    told.put("parameters", parameters);
    return told;
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
    Map<String, Object> told = Runner.told("name", parent.getName());
    told.put("state", state(parent.getStateValue()));
    told.put("native_state", parent.getNativeState());
    told.put("ended", parent.getEnded());
    told.put("lifecycle_status", parent.hasLifecycleStatus() ? parent.getLifecycleStatus() : null);
    told.put("failure_reason", parent.hasFailureReason() ? parent.getFailureReason() : null);
    told.put("status_message", parent.hasStatusMessage() ? parent.getStatusMessage() : null);
    return told;
  }

  static Map<String, Object> error(TaskgateException error) {
    Map<String, Object> told = Runner.told("code", error.code().name());
    told.put("message", error.description());
    told.put("reason", error.reason());
    told.put("domain", error.domain());
    told.put("metadata", error.metadata());
    told.put(
        "violations",
        error.violations().stream()
            .map(each -> Map.of("field", each.field(), "description", each.description()))
            .toList());
    told.put("retry_after", error.retryAfter().map(each -> each.toMillis() / 1000.0).orElse(null));
    told.put(
        "resource", error.resource().map(each -> List.of(each.type(), each.id())).orElse(null));
    told.put("quota", error.quota());
    told.put("request_id", error.requestId());
    return told;
  }

  static Map<String, Object> event(WatchEvent event) {
    if (event instanceof WatchEvent.Snapshot snapshot) {
      int number = snapshot.reasonValue();
      Map<String, Object> told = Runner.told("event", "snapshot");
      told.put("reason", word(SnapshotReason.forNumber(number), "SNAPSHOT_REASON_", number));
      told.put("tasks", snapshot.tasks().stream().map(Values::task).toList());
      return told;
    }
    if (event instanceof WatchEvent.TaskChange changed) {
      int number = changed.change().getKindValue();
      Map<String, Object> told = Runner.told("event", "change");
      told.put("kind", word(TaskChangeKind.forNumber(number), "TASK_CHANGE_KIND_", number));
      told.put("task", task(changed.change().getTask()));
      told.put("previous_state", state(changed.change().getPreviousStateValue()));
      return told;
    }
    if (event instanceof WatchEvent.Heartbeat heartbeat) {
      Map<String, Object> told = Runner.told("event", "heartbeat");
      told.put("upstream_error", heartbeat.upstreamError().map(Values::error).orElse(null));
      return told;
    }
    if (event instanceof WatchEvent.Reconnecting lost) {
      Map<String, Object> told = Runner.told("event", "reconnecting");
      told.put("error", error(lost.error()));
      told.put("failures", lost.failures());
      return told;
    }
    if (event instanceof WatchEvent.WatchEnd ended) {
      int number = ended.end().getReasonValue();
      Map<String, Object> told = Runner.told("event", "end");
      told.put("reason", word(WatchEndReason.forNumber(number), "WATCH_END_REASON_", number));
      told.put("parent", ended.parentStatus().map(Values::parent).orElse(null));
      return told;
    }
    return Runner.told("event", "resumed");
  }

  static Map<String, Object> parsed(String text) {
    Name name;
    try {
      name = Name.parseTask(text);
    } catch (IllegalArgumentException noTask) {
      name = Name.parseParent(text);
    }
    if (name instanceof Name.DeadlineQueue each) {
      return parts("deadline_queue", each.farm(), each.queue());
    }
    if (name instanceof Name.DeadlineJob each) {
      return parts("deadline_job", each.farm(), each.queue(), each.job());
    }
    if (name instanceof Name.DeadlineStep each) {
      return parts("deadline_step", each.farm(), each.queue(), each.job(), each.step());
    }
    if (name instanceof Name.DeadlineTask each) {
      return parts(
          "deadline_task", each.farm(), each.queue(), each.job(), each.step(), each.task());
    }
    if (name instanceof Name.OmicsTask each) {
      return parts("omics_task", each.run(), each.task());
    }
    return parts("omics_run", ((Name.OmicsRun) name).run());
  }

  private static Map<String, Object> parts(String kind, String... ids) {
    return Map.of("kind", kind, "ids", List.of(ids));
  }

  static String built(String kind, List<String> ids) {
    Name name =
        switch (kind) {
          case "deadline_queue" -> new Name.DeadlineQueue(ids.get(0), ids.get(1));
          case "deadline_job" -> new Name.DeadlineJob(ids.get(0), ids.get(1), ids.get(2));
          case "deadline_step" ->
              new Name.DeadlineStep(ids.get(0), ids.get(1), ids.get(2), ids.get(3));
          case "deadline_task" ->
              new Name.DeadlineTask(ids.get(0), ids.get(1), ids.get(2), ids.get(3), ids.get(4));
          case "omics_run" -> new Name.OmicsRun(ids.get(0));
          default -> new Name.OmicsTask(ids.get(0), ids.get(1));
        };
    return name.toString();
  }
}
