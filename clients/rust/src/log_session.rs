//! A task's log across any number of calls. Free of input and output.

use std::time::Duration;

use crate::error::Error;
use crate::protos::taskgate::v1::stream_task_logs_response::Part;
use crate::protos::taskgate::v1::{
    LogLine, LogSource, StreamTaskLogsRequest, StreamTaskLogsResponse,
};
use crate::stream::Session;
use crate::watch_session::silence_limit;

/// One reading of a log.
///
/// A log that is followed goes on with the next attempt when the task is retried. After a break it
/// goes on with the same attempt first, so that no line of it is missed, then with those after it,
/// from the moment of the last line on. CloudWatch Logs tells time to the millisecond only, so the
/// lines of that moment come again; as many as were told are left out.
#[derive(Debug)]
pub(crate) struct LogSession {
    request: StreamTaskLogsRequest,
    pub(crate) source: Option<LogSource>,
    last: Option<LogLine>,
    told: i32,
    told_at_last: i32,
    skip: i32,
    same_attempt: bool,
    goes_on: bool,
    finished: bool,
    /// Set once the present call has had a heartbeat: older servers send none.
    silence: Option<Duration>,
}

impl LogSession {
    pub(crate) fn new(request: StreamTaskLogsRequest) -> Self {
        Self {
            request,
            source: None,
            last: None,
            told: 0,
            told_at_last: 0,
            skip: 0,
            same_attempt: true,
            goes_on: false,
            finished: false,
            silence: None,
        }
    }

    /// Another attempt's lines are none of those that were told.
    fn begin(&mut self, source: LogSource) {
        if self.source.as_ref().is_some_and(|before| before.attempt != source.attempt) {
            self.last = None;
            (self.told_at_last, self.skip) = (0, 0);
        }
        self.source = Some(source);
    }

    fn is_new(&mut self, line: &LogLine) -> bool {
        let same_moment = self.last.as_ref().is_some_and(|last| last.time == line.time);
        if same_moment && self.skip > 0 {
            self.skip -= 1;
            return false;
        }
        self.skip = 0;
        self.told_at_last = if same_moment { self.told_at_last + 1 } else { 1 };
        self.told += 1;
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
        if self.same_attempt && attempt != 0 {
            request.attempt = Some(attempt); // a retry meanwhile is another log
            self.goes_on = any_attempt;
        }
        self.same_attempt = true;
        if let Some(last) = &self.last {
            request.since = last.time;
            request.tail = 0;
            if request.limit != 0 {
                request.limit += self.told_at_last - self.told;
            }
        }
        self.skip = self.told_at_last;
        self.silence = None;
        request
    }

    fn take(&mut self, response: StreamTaskLogsResponse) -> Result<Vec<LogLine>, Error> {
        let mut lines = Vec::new();
        match response.part {
            Some(Part::Source(source)) => self.begin(source),
            Some(Part::Lines(part)) => {
                for line in part.lines {
                    if !self.finished && self.is_new(&line) {
                        lines.push(line);
                        self.finished = self.told == self.request.limit; // 0 is none, never reached
                    }
                }
            }
            Some(Part::Heartbeat(_)) => {
                self.silence = Some(silence_limit(self.request.heartbeat_interval));
            }
            None => {} // of a newer server
        }
        Ok(lines)
    }

    fn end(&mut self) -> Result<(), Error> {
        self.finished |= !self.goes_on;
        (self.goes_on, self.same_attempt) = (false, false);
        Ok(())
    }

    fn finished(&self) -> bool {
        self.finished
    }

    /// A log may be silent for as long as its task computes, unless the server sends heartbeats.
    fn silence(&self) -> Option<Duration> {
        self.silence
    }
}
