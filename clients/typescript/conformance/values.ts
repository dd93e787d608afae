/** Results of the client in the form that runners print. */

import {
  SnapshotReason,
  TaskChangeKind,
  TaskState,
  WatchEndReason,
  parseParentName,
  parseTaskName,
} from "../src/index.js";
import { TaskRunStatus } from "../src/gen/taskgate/deadline/v1/deadline_pb.js";
import { FORMS } from "../src/name_forms.js";
import type {
  Name,
  NameKind,
  ParentStatus,
  Task,
  TaskgateError,
  WatchEvent,
} from "../src/index.js";

/** Yields so many chunks of a file. */
export function* upload(chunks: number) {
  for (let chunk = 0; chunk < chunks; chunk++) {
    yield {
      sequenceStoreId: "1234567890",
      uploadId: "1234567890",
      partNumber: 1,
      payload: new Uint8Array(64 * 1024),
    };
  }
}

function word(words: Readonly<Record<number, string>>, number: number): string {
  return words[number] ?? String(number);
}

export function state(number: number): string {
  return word(TaskState, number);
}

export function runStatus(number: number | undefined): string {
  return word(TaskRunStatus, number ?? TaskRunStatus.UNSPECIFIED);
}

/** Returns the ids in the name of a Deadline task, by the fields of AWS's requests. */
export function nativeIds(name: string) {
  const task = parseTaskName(name);
  if (task.kind !== "deadlineTask") {
    throw new RangeError(`${name} is not a task of Deadline Cloud`);
  }
  const { farm: farmId, queue: queueId, job: jobId, step: stepId, task: taskId } = task;
  return { farmId, queueId, jobId, stepId, taskId };
}

export function task(message: Task): unknown {
  const parameters = Object.entries(message.parameters).map(([name, { value }]) => [
    name,
    value.case === undefined ? {} : { [snake(value.case)]: value.value },
  ]);
  return {
    name: message.name,
    state: state(message.state),
    native_state: message.nativeState,
    service: message.native.case ?? "",
    parameters: Object.fromEntries(parameters) as unknown,
  };
}

export function parent(status: ParentStatus | undefined): unknown {
  return status === undefined
    ? null
    : {
        name: status.name,
        state: state(status.state),
        native_state: status.nativeState,
        ended: status.ended,
        lifecycle_status: status.lifecycleStatus ?? null,
        failure_reason: status.failureReason ?? null,
        status_message: status.statusMessage ?? null,
      };
}

export function error(failed: TaskgateError): unknown {
  const { code, message, reason, domain, metadata, violations, quota } = failed;
  return {
    ...{ code, message, reason, domain, metadata, violations, quota },
    retry_after: failed.retryAfterMs === undefined ? null : failed.retryAfterMs / 1000,
    resource: failed.resource === undefined ? null : [failed.resource.type, failed.resource.id],
    request_id: failed.requestId,
  };
}

export function event(event: WatchEvent): unknown {
  switch (event.event) {
    case "snapshot":
      return {
        event: event.event,
        reason: word(SnapshotReason, event.reason),
        tasks: event.tasks.map(task),
      };
    case "change":
      return {
        event: event.event,
        kind: word(TaskChangeKind, event.kind),
        task: task(event.task),
        previous_state: state(event.previousState),
      };
    case "heartbeat":
      return {
        event: event.event,
        upstream_error: event.upstreamError === undefined ? null : error(event.upstreamError),
      };
    case "reconnecting":
      return { event: event.event, error: error(event.error), failures: event.failures };
    case "resumed":
      return { event: event.event };
    case "end":
      return {
        event: event.event,
        reason: word(WatchEndReason, event.reason),
        parent: parent(event.parentStatus),
      };
  }
}

export function parsed(text: string): unknown {
  let name: Name;
  try {
    name = parseTaskName(text);
  } catch {
    name = parseParentName(text);
  }
  const { kind, ...ids } = name;
  return { kind: snake(kind), ids: Object.values(ids) };
}

export function named(text: string, ids: readonly string[]): Name {
  const kind = (Object.keys(FORMS) as NameKind[]).find((each) => snake(each) === text);
  if (kind === undefined) {
    throw new RangeError(`unknown kind of name: ${text}`);
  }
  const keys = [...FORMS[kind].matchAll(/\{(\w+)\}/g)].map((found) => found[1]);
  const entries = keys.map((key, index) => [key, ids[index]]);
  return { kind, ...Object.fromEntries(entries) } as Name;
}

function snake(text: string): string {
  return text.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}
