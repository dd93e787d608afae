//! What a watch tells, as values to match on.

use std::time::Duration;

use prost_types::Timestamp;

use crate::error::Error;
use crate::protos::taskgate::v1::{ParentStatus, Task, TaskChange, TaskCounts};

/// What a watch tells. Numbers of enums may be newer than this crate.
#[derive(Clone, Debug, PartialEq)]
#[allow(clippy::large_enum_variant)] // one at a time
pub enum Event {
    /// All the tasks there are. Whatever the watch told before is void.
    Snapshot(Snapshot),
    /// A task came, changed or went.
    Change(TaskChange),
    /// Nothing has happened for a while.
    Heartbeat(Heartbeat),
    /// The server was lost; it is called again after the delay, and the watch goes on.
    Reconnecting(Reconnecting),
    /// The watch goes on where it was: nothing was missed, and no snapshot comes.
    Resumed,
    /// The last event: the watch has ended by itself.
    End(WatchEnd),
}

/// All the tasks there are.
#[derive(Clone, Debug, PartialEq)]
pub struct Snapshot {
    /// The tasks.
    pub tasks: Vec<Task>,
    /// Why there is one, a `SnapshotReason`: the watch is new, or the server could not go on.
    pub reason: i32,
    /// When AWS gave the oldest answer of which the snapshot was made.
    pub observe_time: Option<Timestamp>,
}

/// A sign of life.
#[derive(Clone, Debug, PartialEq)]
pub struct Heartbeat {
    /// Since AWS was last asked successfully about everything that is watched.
    pub staleness: Option<Duration>,
    /// Until AWS is asked again, if all goes well.
    pub next_poll: Option<Duration>,
    /// Why AWS could not be asked lately.
    pub upstream_error: Option<Error>,
}

/// The server was lost.
#[derive(Clone, Debug, PartialEq)]
pub struct Reconnecting {
    /// How.
    pub error: Error,
    /// When it is called again.
    pub delay: Duration,
    /// How many failures there have been since the server was last heard, this one included.
    pub failures: u32,
}

/// The watch has ended by itself.
#[derive(Clone, Debug, PartialEq)]
pub struct WatchEnd {
    /// Why, a `WatchEndReason`.
    pub reason: i32,
    /// The tasks as a whole, at the end.
    pub counts: Option<TaskCounts>,
    /// The state of the watched parent itself, with the reason if it failed. For a watch of named
    /// tasks that of an ended parent whose tasks can never settle. Older servers send none.
    pub parent_status: Option<ParentStatus>,
}
