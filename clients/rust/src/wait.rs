//! Waiting for a task across any number of calls. Free of input and output.

use std::time::Duration;

use tokio::time::Instant;
use tonic::Code;

use crate::error::Error;
use crate::protos::taskgate::v1::{WaitTaskRequest, WaitTaskResponse};
use crate::reconnects::Reconnects;

/// How long one call may wait. Load balancers cut calls that live for hours.
const LONGEST_CALL: Duration = Duration::from_secs(300);
/// The request's `max_wait` if it has none, in seconds. Proxies cut calls that are silent for longer;
/// 30 s is a common limit.
const MAX_WAIT_SECONDS: i64 = 25;
/// With less time than that left there is no point in asking again.
const SHORTEST_CALL: Duration = Duration::from_secs(1);

/// The request, bounded so that no proxy cuts it.
pub(crate) fn bounded(mut request: WaitTaskRequest) -> WaitTaskRequest {
    let wait = prost_types::Duration { seconds: MAX_WAIT_SECONDS, nanos: 0 };
    request.max_wait.get_or_insert(wait);
    request
}

/// What comes of an answer.
pub(crate) enum Step {
    /// The waiting is over.
    Over(Box<WaitTaskResponse>),
    /// It is asked again after so long.
    Again(Duration),
}

/// One waiting.
pub(crate) struct WaitSession {
    end: Option<Instant>,
    reconnects: Reconnects,
    answer: Option<WaitTaskResponse>,
}

impl WaitSession {
    pub(crate) fn new(end: Option<Instant>) -> Self {
        Self { end, reconnects: Reconnects::default(), answer: None }
    }

    /// How long the next call may take.
    pub(crate) fn call_limit(&self, now: Instant) -> Duration {
        self.end.map_or(LONGEST_CALL, |end| end.saturating_duration_since(now).min(LONGEST_CALL))
    }

    /// What comes of a call that was made at `asked`, or the error that ends the waiting.
    pub(crate) fn take(
        &mut self,
        outcome: Result<WaitTaskResponse, Error>,
        asked: Instant,
        now: Instant,
    ) -> Result<Step, Error> {
        let late = self.end.is_some_and(|end| end.saturating_duration_since(now) < SHORTEST_CALL);
        match outcome {
            Ok(answer) => {
                self.reconnects.reached(now);
                if answer.done || late {
                    return Ok(Step::Over(Box::new(answer)));
                }
                self.answer = Some(answer);
                // A server that stops answers early.
                let early = now - asked < SHORTEST_CALL;
                Ok(Step::Again(if early { SHORTEST_CALL } else { Duration::ZERO }))
            }
            Err(error) if late => match self.answer.take() {
                Some(answer) if error.code == Code::DeadlineExceeded => {
                    Ok(Step::Over(Box::new(answer)))
                }
                _ => Err(error),
            },
            Err(error) => {
                if now - asked > SHORTEST_CALL {
                    self.reconnects.reached(asked); // nobody refuses a connection that slowly
                }
                let (_, delay) = self.reconnects.delay_after(error, now, rand::random())?;
                Ok(Step::Again(delay))
            }
        }
    }
}
