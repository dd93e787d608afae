//! The events of a watch.

use std::time::Duration;

use prost_types::Timestamp;

use crate::error::Error;
use crate::protos::taskgate::v1::{ParentStatus, Task, TaskChange, TaskCounts};

/// An event of a watch. Numbers of enums may be newer than this crate.
#[derive(Clone, Debug, PartialEq)]
#[allow(clippy::large_enum_variant)] // one at a time
#[non_exhaustive]
pub enum Event {
    /// All watched tasks. It replaces everything that earlier events reported.
    Snapshot(Snapshot),
    /// A task was added, updated or removed.
    Change(TaskChange),
    /// There was no other event for a while.
    Heartbeat(Heartbeat),
    /// The call broke. The client calls again after the delay and resumes the watch.
    Reconnecting(Reconnecting),
    /// The watch resumed without a snapshot; no change was missed.
    Resumed,
    /// The last event: the watch is complete.
    End(WatchEnd),
}

/// All watched tasks.
#[derive(Clone, Debug, PartialEq)]
pub struct Snapshot {
    /// The tasks.
    pub tasks: Vec<Task>,
    /// Why it was sent, a `SnapshotReason`: the watch is new, or the server could not resume it.
    pub reason: i32,
    /// When AWS returned the oldest response that is part of it.
    pub observe_time: Option<Timestamp>,
}

/// A heartbeat of the server.
#[derive(Clone, Debug, PartialEq)]
pub struct Heartbeat {
    /// Time since AWS last returned the state of everything that is watched.
    pub staleness: Option<Duration>,
    /// Time until the next poll of AWS.
    pub next_poll: Option<Duration>,
    /// Why the latest poll of AWS failed.
    pub upstream_error: Option<Error>,
}

/// A call that broke.
#[derive(Clone, Debug, PartialEq)]
pub struct Reconnecting {
    /// The error of the call.
    pub error: Error,
    /// Time until the next call.
    pub delay: Duration,
    /// Number of failures since the latest message of the server, with this one.
    pub failures: u32,
}

/// The end of a watch.
#[derive(Clone, Debug, PartialEq)]
pub struct WatchEnd {
    /// The reason, a `WatchEndReason`.
    pub reason: i32,
    /// The watched tasks by state.
    pub counts: Option<TaskCounts>,
    /// The state of the watched parent itself, with the reason if it failed. For a watch of named
    /// tasks that of an ended parent whose tasks can never settle. Older servers send none.
    pub parent_status: Option<ParentStatus>,
}
