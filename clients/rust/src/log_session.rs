//! The state of a log that is read over several calls. It does no input or output.

use std::time::Duration;

use crate::error::Error;
use crate::protos::taskgate::v1::stream_task_logs_response::Part;
use crate::protos::taskgate::v1::{
    LogLine, LogSource, StreamTaskLogsRequest, StreamTaskLogsResponse,
};
use crate::session::{silence_limit, Session};

/// Requests for the calls of one log, and the new lines in their responses.
///
/// A followed log continues with the next attempt when the task is retried. After a break the session
/// first reads the rest of the interrupted attempt, so that it misses no line, and then later
/// attempts. It requests the lines since the time of the last one. As CloudWatch Logs has a resolution
/// of one millisecond, lines of that time come again; the session skips as many as it has returned.
#[derive(Debug)]
pub(crate) struct LogSession {
    request: StreamTaskLogsRequest,
    pub(crate) source: Option<LogSource>,
    last: Option<LogLine>,
    returned: i32,
    returned_at_last_time: i32,
    skip: i32,
    resume_attempt: bool,
    later_attempts_follow: bool,
    finished: bool,
    /// Set once the current call has sent a heartbeat; older servers send none.
    silence: Option<Duration>,
}

impl LogSession {
    pub(crate) fn new(request: StreamTaskLogsRequest) -> Self {
        Self {
            request,
            source: None,
            last: None,
            returned: 0,
            returned_at_last_time: 0,
            skip: 0,
            resume_attempt: true,
            later_attempts_follow: false,
            finished: false,
            silence: None,
        }
    }

    /// Sets the source; with another attempt there are no repeated lines to skip.
    fn set_source(&mut self, source: LogSource) {
        if self.source.as_ref().is_some_and(|before| before.attempt != source.attempt) {
            self.last = None;
            (self.returned_at_last_time, self.skip) = (0, 0);
        }
        self.source = Some(source);
    }

    fn is_new(&mut self, line: &LogLine) -> bool {
        let same_time = self.last.as_ref().is_some_and(|last| last.time == line.time);
        if same_time && self.skip > 0 {
            self.skip -= 1;
            return false;
        }
        self.skip = 0;
        self.returned_at_last_time = if same_time { self.returned_at_last_time + 1 } else { 1 };
        self.returned += 1;
        self.last = Some(line.clone());
        true
    }
}

impl Session for LogSession {
    type Request = StreamTaskLogsRequest;
    type Response = StreamTaskLogsResponse;
    type Event = LogLine;

    fn next(&mut self) -> StreamTaskLogsRequest {
        let mut request = self.request.clone();
        let any_attempt = request.follow && request.attempt.is_none();
        let attempt = self.source.as_ref().map_or(0, |source| source.attempt);
        if self.resume_attempt && attempt != 0 {
            request.attempt = Some(attempt); // after a retry the latest would be another log
            self.later_attempts_follow = any_attempt;
        }
        self.resume_attempt = true;
        if let Some(last) = &self.last {
            request.since = last.time;
            request.tail = 0;
            if request.limit != 0 {
                request.limit += self.returned_at_last_time - self.returned;
            }
        }
        self.skip = self.returned_at_last_time;
        self.silence = None;
        request
    }

    fn take(&mut self, response: StreamTaskLogsResponse) -> Result<Vec<LogLine>, Error> {
        let mut lines = Vec::new();
        match response.part {
            Some(Part::Source(source)) => self.set_source(source),
            Some(Part::Lines(part)) => {
                for line in part.lines {
                    if !self.finished && self.is_new(&line) {
                        lines.push(line);
                        self.finished = self.returned == self.request.limit; // 0 for none: never equal
                    }
                }
            }
            Some(Part::Heartbeat(_)) => {
                self.silence = Some(silence_limit(self.request.heartbeat_interval));
            }
            None => {} // a part of a newer server
        }
        Ok(lines)
    }

    fn end(&mut self) -> Result<(), Error> {
        self.finished |= !self.later_attempts_follow;
        (self.later_attempts_follow, self.resume_attempt) = (false, false);
        Ok(())
    }

    fn finished(&self) -> bool {
        self.finished
    }

    /// Without heartbeats a log may be silent for as long as its task computes.
    fn silence(&self) -> Option<Duration> {
        self.silence
    }
}
