//! Results of the client in the form that runners print.

use serde_json::{json, Value};
use taskgate_client::protos::taskgate::deadline::v1 as deadline;
use taskgate_client::protos::taskgate::omics::v1::UploadReadSetPartRequest;
use taskgate_client::v1::task::Native;
use taskgate_client::v1::task_parameter::Value as Parameter;
use taskgate_client::v1::{
    ParentStatus, SnapshotReason, Task, TaskChangeKind, TaskParameter, TaskState, WatchEndReason,
};
use taskgate_client::{Error, Event, ParentName, TaskName};
use tonic::Code;

fn word(name: Option<&str>, prefix: &str, number: i32) -> String {
    name.map_or_else(|| number.to_string(), |name| name.trim_start_matches(prefix).to_owned())
}

pub fn state(number: i32) -> String {
    let known = TaskState::try_from(number).ok();
    word(known.as_ref().map(TaskState::as_str_name), "TASK_STATE_", number)
}

pub fn run_status(number: Option<i32>) -> String {
    let number = number.unwrap_or_default();
    let known = deadline::TaskRunStatus::try_from(number).ok();
    word(known.as_ref().map(deadline::TaskRunStatus::as_str_name), "TASK_RUN_STATUS_", number)
}

/// AWS's own request that reads a Deadline task.
pub fn native_read(name: &str) -> deadline::GetTaskRequest {
    let Ok(TaskName::DeadlineTask { farm, queue, job, step, task }) = name.parse() else {
        return deadline::GetTaskRequest::default(); // AWS rejects it
    };
    deadline::GetTaskRequest {
        farm_id: Some(farm),
        queue_id: Some(queue),
        job_id: Some(job),
        step_id: Some(step),
        task_id: Some(task),
    }
}

/// AWS's own request that suspends a Deadline task.
pub fn native_suspension(name: &str) -> deadline::UpdateTaskRequest {
    let task = native_read(name);
    deadline::UpdateTaskRequest {
        farm_id: task.farm_id,
        queue_id: task.queue_id,
        job_id: task.job_id,
        step_id: task.step_id,
        task_id: task.task_id,
        target_run_status: Some(deadline::TaskTargetRunStatus::Suspended.into()),
        ..Default::default()
    }
}

pub fn task(task: &Task) -> Value {
    let service = match task.native {
        Some(Native::Deadline(_)) => "deadline",
        Some(Native::Omics(_)) => "omics",
        Some(Native::Other(_)) => "other",
        _ => "",
    };
    let parameters: serde_json::Map<String, Value> =
        task.parameters.iter().map(|(name, each)| (name.clone(), parameter(each))).collect();
    json!({
        "name": task.name, "state": state(task.state), "native_state": task.native_state,
        "service": service, "parameters": parameters,
    })
}

pub fn parent(parent: Option<&ParentStatus>) -> Value {
    parent.map_or(Value::Null, |parent| {
        json!({
            "name": parent.name, "state": state(parent.state), "native_state": parent.native_state,
            "ended": parent.ended, "lifecycle_status": parent.lifecycle_status,
            "failure_reason": parent.failure_reason, "status_message": parent.status_message,
        })
    })
}

fn parameter(parameter: &TaskParameter) -> Value {
    match &parameter.value {
        Some(Parameter::Int(value)) => json!({"int": value}),
        Some(Parameter::Float(value)) => json!({"float": value}),
        Some(Parameter::String(value)) => json!({"string": value}),
        Some(Parameter::Path(value)) => json!({"path": value}),
        Some(Parameter::ChunkInt(value)) => json!({"chunk_int": value}),
        Some(Parameter::UnknownMember(value)) => json!({"unknown_member": value}),
        _ => json!({}),
    }
}

pub fn failed(error: &Error) -> Value {
    json!({"error": self::error(error)})
}

pub fn error(error: &Error) -> Value {
    let violations: Vec<Value> = error
        .violations
        .iter()
        .map(|each| json!({"field": each.field, "description": each.description}))
        .collect();
    json!({
        "code": code(error.code), "message": error.message, "reason": error.reason,
        "domain": error.domain, "metadata": error.metadata, "violations": violations,
        "retry_after": error.retry_after.map(|wait| wait.as_secs_f64()),
        "resource": error.resource, "quota": error.quota, "request_id": error.request_id,
    })
}

fn code(code: Code) -> String {
    let mut words = String::new();
    for letter in format!("{code:?}").chars() {
        if letter.is_uppercase() && !words.is_empty() {
            words.push('_');
        }
        words.push(letter.to_ascii_uppercase());
    }
    words
}

pub fn event(event: &Event) -> Value {
    match event {
        Event::Snapshot(snapshot) => {
            let known = SnapshotReason::try_from(snapshot.reason).ok();
            let name = known.as_ref().map(SnapshotReason::as_str_name);
            let tasks: Vec<Value> = snapshot.tasks.iter().map(task).collect();
            let reason = word(name, "SNAPSHOT_REASON_", snapshot.reason);
            json!({"event": "snapshot", "reason": reason, "tasks": tasks})
        }
        Event::Change(change) => {
            let known = TaskChangeKind::try_from(change.kind).ok();
            let name = known.as_ref().map(TaskChangeKind::as_str_name);
            json!({
                "event": "change",
                "kind": word(name, "TASK_CHANGE_KIND_", change.kind),
                "task": task(change.task.as_ref().unwrap_or(&Task::default())),
                "previous_state": state(change.previous_state),
            })
        }
        Event::Heartbeat(heartbeat) => {
            json!({"event": "heartbeat", "upstream_error": heartbeat.upstream_error.as_ref().map(error)})
        }
        Event::Reconnecting(broken) => {
            json!({"event": "reconnecting", "error": error(&broken.error), "failures": broken.failures})
        }
        Event::Resumed => json!({"event": "resumed"}),
        Event::End(end) => {
            let known = WatchEndReason::try_from(end.reason).ok();
            let name = known.as_ref().map(WatchEndReason::as_str_name);
            let parent = parent(end.parent_status.as_ref());
            let reason = word(name, "WATCH_END_REASON_", end.reason);
            json!({"event": "end", "reason": reason, "parent": parent})
        }
        _ => json!({"event": "unknown"}),
    }
}

/// Defines functions that return the kind and the ids of a name, and a name of a kind.
macro_rules! kinds {
    ($TaskName:ident { $($Task:ident { $($id:ident),* } = $kind:literal,)* }
     $ParentName:ident { $($Parent:ident { $($part:ident),* } = $parent:literal,)* }) => {
        fn task_kind(name: $TaskName) -> (&'static str, Vec<String>) {
            match name {
                $($TaskName::$Task { $($id),* } => ($kind, vec![$($id),*]),)*
                _ => ("unknown", vec![]),
            }
        }

        fn parent_kind(name: $ParentName) -> (&'static str, Vec<String>) {
            match name {
                $($ParentName::$Parent { $($part),* } => ($parent, vec![$($part),*]),)*
                _ => ("unknown", vec![]),
            }
        }

        fn format(kind: &str, ids: &[String]) -> Result<String, String> {
            let mut ids = ids.iter().cloned();
            let mut next = || ids.next().unwrap_or_default();
            let formatted = match kind {
                $($kind => $TaskName::$Task { $($id: next()),* }.format(),)*
                $($parent => $ParentName::$Parent { $($part: next()),* }.format(),)*
                _ => return Err(format!("unknown kind of name: {kind}")),
            };
            formatted.map_err(|error| error.to_string())
        }
    };
}
include!("kinds.rs");

pub fn parsed(text: &str) -> Result<Value, String> {
    let (kind, ids) = match text.parse::<TaskName>() {
        Ok(name) => task_kind(name),
        Err(first) => match text.parse::<ParentName>() {
            Ok(name) => parent_kind(name),
            Err(second) => return Err(format!("{first}; {second}")),
        },
    };
    Ok(json!({"kind": kind, "ids": ids}))
}

pub fn built(kind: &str, ids: &[String]) -> Result<Value, String> {
    format(kind, ids).map(Value::from)
}

/// A chunk of a file.
pub fn chunk() -> UploadReadSetPartRequest {
    let id = Some("1234567890".to_owned());
    UploadReadSetPartRequest {
        sequence_store_id: id.clone(),
        upload_id: id,
        part_number: Some(1),
        payload: Some(vec![0; 64 * 1024]),
        ..Default::default()
    }
}
