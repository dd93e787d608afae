//! A watch across any number of calls. Free of input and output.

use std::time::Duration;

use tonic::Code;

use crate::error::Error;
use crate::events::{Event, Heartbeat, Snapshot, WatchEnd};
use crate::protos::taskgate::v1::watch_tasks_response::Event as Told;
use crate::protos::taskgate::v1::{
    self as pb, SnapshotReason, Task, WatchEndReason, WatchTasksRequest, WatchTasksResponse,
};
use crate::reconnects::SERVER_STOPPING;
use crate::stream::Session;

/// What the server takes where the request has none.
const DEFAULT_HEARTBEAT: Duration = Duration::from_secs(10);
/// After how many heartbeats that did not come a connection is given up.
const SILENT_HEARTBEATS: u32 = 3;

/// One watch, however often it has to be called for.
///
/// A snapshot is handed on when it is whole. A call that breaks within one begins again: the tokens
/// inside of it are of use only to those who keep its first part.
#[derive(Debug)]
pub(crate) struct WatchSession {
    request: WatchTasksRequest,
    pub(crate) token: Vec<u8>,
    reason: i32,
    snapshot: Option<Vec<Task>>,
    finished: bool,
}

impl WatchSession {
    pub(crate) fn new(request: WatchTasksRequest) -> Self {
        let token = request.resume_token.clone();
        let reason = SnapshotReason::Unspecified.into();
        Self { request, token, reason, snapshot: None, finished: false }
    }

    fn event(&mut self, told: Told) -> Result<Option<Event>, Error> {
        Ok(match told {
            Told::SnapshotBegin(begin) => {
                self.snapshot = Some(Vec::new());
                self.reason = begin.reason;
                None
            }
            Told::SnapshotTasks(part) => {
                if let Some(tasks) = &mut self.snapshot {
                    tasks.extend(part.tasks);
                }
                None
            }
            Told::SnapshotEnd(end) => self.snapshot.take().map(|tasks| {
                let observe_time = end.observe_time;
                Event::Snapshot(Snapshot { tasks, reason: self.reason, observe_time })
            }),
            Told::Resumed(_) => Some(Event::Resumed),
            Told::TaskChange(change) => Some(Event::Change(change)),
            Told::Heartbeat(heartbeat) => Some(Event::Heartbeat(heartbeat_of(&heartbeat))),
            Told::WatchEnd(end) => Some(self.ended(end)?),
        })
    }

    fn ended(&mut self, end: pb::WatchEnd) -> Result<Event, Error> {
        if end.reason == i32::from(WatchEndReason::ServerStopping) {
            let mut error = Error::new(Code::Unavailable, "the server stops");
            SERVER_STOPPING.clone_into(&mut error.reason);
            "taskgate".clone_into(&mut error.domain);
            return Err(error);
        }
        self.finished = true;
        let pb::WatchEnd { reason, counts, parent_status } = end;
        Ok(Event::End(WatchEnd { reason, counts, parent_status }))
    }
}

impl Session for WatchSession {
    type Request = WatchTasksRequest;
    type Response = WatchTasksResponse;
    type Event = Event;

    fn next(&mut self) -> WatchTasksRequest {
        self.snapshot = None;
        WatchTasksRequest { resume_token: self.token.clone(), ..self.request.clone() }
    }

    fn take(&mut self, response: WatchTasksResponse) -> Result<Vec<Event>, Error> {
        let event = match response.event {
            Some(told) => self.event(told)?,
            None => None, // of a newer server
        };
        if !response.resume_token.is_empty() && self.snapshot.is_none() {
            self.token = response.resume_token;
        }
        Ok(event.into_iter().collect())
    }

    fn end(&mut self) -> Result<(), Error> {
        if self.finished {
            return Ok(());
        }
        Err(Error::new(Code::Unavailable, "the stream ended before the watch did"))
    }

    fn finished(&self) -> bool {
        self.finished
    }

    fn silence(&self) -> Option<Duration> {
        Some(silence_limit(self.request.heartbeat_interval))
    }
}

/// How long without a message means that a stream with heartbeats is dead.
pub(crate) fn silence_limit(interval: Option<prost_types::Duration>) -> Duration {
    let asked = interval.and_then(|each| Duration::try_from(each).ok());
    asked.filter(|each| !each.is_zero()).unwrap_or(DEFAULT_HEARTBEAT) * SILENT_HEARTBEATS
}

fn heartbeat_of(message: &pb::Heartbeat) -> Heartbeat {
    let time = |each: prost_types::Duration| Duration::try_from(each).ok();
    Heartbeat {
        staleness: message.staleness.and_then(time),
        next_poll: message.next_poll.and_then(time),
        upstream_error: message.upstream_error.as_ref().map(Error::of_status),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn response(event: Option<Told>, token: &[u8]) -> WatchTasksResponse {
        WatchTasksResponse { resume_token: token.to_vec(), event }
    }

    #[test]
    fn a_call_that_breaks_within_a_snapshot_begins_again() {
        let mut session = WatchSession::new(WatchTasksRequest::default());
        let begin = Told::SnapshotBegin(pb::SnapshotBegin::default());
        let tasks = Told::SnapshotTasks(pb::SnapshotTasks::default());
        assert_eq!(session.take(response(Some(begin), b"")).unwrap(), []);
        assert_eq!(session.take(response(Some(tasks), b"half")).unwrap(), []);
        assert_eq!(session.next().resume_token, b"");
        let end = Told::SnapshotEnd(pb::SnapshotEnd::default());
        assert_eq!(session.take(response(Some(end), b"")).unwrap(), []);
        assert_eq!(session.take(response(None, b"whole")).unwrap(), []);
        assert_eq!(session.next().resume_token, b"whole");
    }
}
