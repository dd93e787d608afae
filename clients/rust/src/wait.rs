//! The state of a wait for a task over several calls. It does no input or output.

use std::time::Duration;

use tokio::time::Instant;
use tonic::Code;

use crate::error::Error;
use crate::protos::taskgate::v1::{WaitTaskRequest, WaitTaskResponse};
use crate::reconnects::Reconnects;

/// Timeout of one call. Load balancers cut calls that last for hours.
const MAX_CALL: Duration = Duration::from_secs(300);
/// `max_wait` of requests without one, in seconds. Proxies cut calls that are silent for longer; 30 s
/// is a common limit.
const MAX_WAIT_SECONDS: i64 = 25;
/// Minimum time for another call, and minimum interval between calls.
const MIN_CALL: Duration = Duration::from_secs(1);

/// Returns the request with a `max_wait`.
pub(crate) fn bounded(mut request: WaitTaskRequest) -> WaitTaskRequest {
    let wait = prost_types::Duration { seconds: MAX_WAIT_SECONDS, nanos: 0 };
    request.max_wait.get_or_insert(wait);
    request
}

/// The step after a call.
pub(crate) enum Step {
    /// The wait is over.
    Done(Box<WaitTaskResponse>),
    /// The next call is due after this time.
    CallAfter(Duration),
}

/// The state of a wait.
pub(crate) struct WaitSession {
    end: Option<Instant>,
    reconnects: Reconnects,
    response: Option<WaitTaskResponse>,
}

impl WaitSession {
    pub(crate) fn new(end: Option<Instant>) -> Self {
        Self { end, reconnects: Reconnects::default(), response: None }
    }

    /// Returns the timeout of the next call.
    pub(crate) fn call_timeout(&self, now: Instant) -> Duration {
        self.end.map_or(MAX_CALL, |end| end.saturating_duration_since(now).min(MAX_CALL))
    }

    /// Handles the outcome of a call that started at `start`; returns the error that ends the wait.
    pub(crate) fn take(
        &mut self,
        outcome: Result<WaitTaskResponse, Error>,
        start: Instant,
        now: Instant,
    ) -> Result<Step, Error> {
        let timed_out = self.end.is_some_and(|end| end.saturating_duration_since(now) < MIN_CALL);
        match outcome {
            Ok(response) => {
                self.reconnects.reached(now);
                if response.done || timed_out {
                    return Ok(Step::Done(Box::new(response)));
                }
                self.response = Some(response);
                // A server that is shutting down responds early.
                let early = now - start < MIN_CALL;
                Ok(Step::CallAfter(if early { MIN_CALL } else { Duration::ZERO }))
            }
            Err(error) if timed_out => match self.response.take() {
                Some(response) if error.code == Code::DeadlineExceeded => {
                    Ok(Step::Done(Box::new(response)))
                }
                _ => Err(error),
            },
            Err(error) => {
                if now - start > MIN_CALL {
                    // A refused connection fails faster: the server was there at the start.
                    self.reconnects.reached(start);
                }
                let (_, delay) = self.reconnects.delay_after(error, now, rand::random())?;
                Ok(Step::CallAfter(delay))
            }
        }
    }
}
