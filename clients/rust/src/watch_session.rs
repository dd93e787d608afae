//! The state of a watch over several calls. It does no input or output.

use std::time::Duration;

use tonic::Code;

use crate::error::Error;
use crate::events::{Event, Heartbeat, Snapshot, WatchEnd};
use crate::protos::taskgate::v1::watch_tasks_response::Event as Message;
use crate::protos::taskgate::v1::{
    self as pb, SnapshotReason, Task, WatchEndReason, WatchTasksRequest, WatchTasksResponse,
};
use crate::reconnects::SERVER_STOPPING;
use crate::session::{silence_limit, Session};

/// Requests for the calls of one watch, and the events in their responses.
///
/// The session returns a snapshot only when it is complete. If a call breaks within one, the next call
/// starts over: a resume token from within a snapshot is valid only for a client that keeps the part
/// it has received.
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

    fn event(&mut self, message: Message) -> Result<Option<Event>, Error> {
        Ok(match message {
            Message::SnapshotBegin(begin) => {
                self.snapshot = Some(Vec::new());
                self.reason = begin.reason;
                None
            }
            Message::SnapshotTasks(part) => {
                if let Some(tasks) = &mut self.snapshot {
                    tasks.extend(part.tasks);
                }
                None
            }
            Message::SnapshotEnd(end) => self.snapshot.take().map(|tasks| {
                let observe_time = end.observe_time;
                Event::Snapshot(Snapshot { tasks, reason: self.reason, observe_time })
            }),
            Message::Resumed(_) => Some(Event::Resumed),
            Message::TaskChange(change) => Some(Event::Change(change)),
            Message::Heartbeat(heartbeat) => Some(Event::Heartbeat(heartbeat_of(&heartbeat))),
            Message::WatchEnd(end) => Some(self.ended(end)?),
        })
    }

    fn ended(&mut self, end: pb::WatchEnd) -> Result<Event, Error> {
        if end.reason == i32::from(WatchEndReason::ServerStopping) {
            let mut error = Error::new(Code::Unavailable, "the server is shutting down");
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
            Some(message) => self.event(message)?,
            None => None, // an event of a newer server
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

    fn response(event: Option<Message>, token: &[u8]) -> WatchTasksResponse {
        WatchTasksResponse { resume_token: token.to_vec(), event }
    }

    #[test]
    fn an_interrupted_snapshot_starts_over() {
        let mut session = WatchSession::new(WatchTasksRequest::default());
        let begin = Message::SnapshotBegin(pb::SnapshotBegin::default());
        let tasks = Message::SnapshotTasks(pb::SnapshotTasks::default());
        assert_eq!(session.take(response(Some(begin), b"")).unwrap(), []);
        assert_eq!(session.take(response(Some(tasks), b"half")).unwrap(), []);
        assert_eq!(session.next().resume_token, b"");
        let end = Message::SnapshotEnd(pb::SnapshotEnd::default());
        assert_eq!(session.take(response(Some(end), b"")).unwrap(), []);
        assert_eq!(session.take(response(None, b"whole")).unwrap(), []);
        assert_eq!(session.next().resume_token, b"whole");
    }
}
