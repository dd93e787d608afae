//! When to call again after a call broke. It reads no clock and does no input or output.

use std::time::Duration;

use tokio::time::Instant;
use tonic::Code;

use crate::error::Error;

const FIRST_DELAY: Duration = Duration::from_secs(1);
const MAX_DELAY: Duration = Duration::from_secs(10);
const PATIENCE: Duration = Duration::from_secs(300);

/// The reason of a server that is shutting down.
pub(crate) const SERVER_STOPPING: &str = "SERVER_STOPPING";

/// Decides after each failure whether to call again, and after what delay.
///
/// A server that has never responded is not retried, so that a wrong address fails immediately.
#[derive(Debug, Default)]
pub(crate) struct Reconnects {
    last_response: Option<Instant>,
    left_stopping_server: Option<Instant>,
    /// Number of failures since the last response.
    pub(crate) failures: u32,
}

impl Reconnects {
    /// Records a response of the server.
    pub(crate) fn reached(&mut self, now: Instant) {
        self.last_response = Some(now);
        self.failures = 0;
    }

    /// Returns the error and the delay before the next attempt, or the error itself if it is final or
    /// the patience is exhausted. `random` is from 0 to 1.
    ///
    /// Delays have full jitter, so that the clients of a lost server do not all return at once. A
    /// server that announces its shutdown has other replicas to take over its clients, so the first
    /// such delay is zero.
    pub(crate) fn delay_after(
        &mut self,
        error: Error,
        now: Instant,
        random: f64,
    ) -> Result<(Error, Duration), Error> {
        let is_patient = self.last_response.is_some_and(|response| now - response <= PATIENCE);
        if !is_patient || !is_transient(&error) {
            return Err(error);
        }
        self.failures += 1;
        let left_recently = self.left_stopping_server.is_some_and(|left| now - left <= FIRST_DELAY);
        if error.reason == SERVER_STOPPING && !left_recently {
            self.left_stopping_server = Some(now);
            return Ok((error, Duration::ZERO));
        }
        let limit = (FIRST_DELAY * 2_u32.pow(self.failures.min(5) - 1)).min(MAX_DELAY);
        let delay = limit.mul_f64(random).max(error.retry_after.unwrap_or_default());
        Ok((error, delay))
    }
}

fn is_transient(error: &Error) -> bool {
    match error.code {
        // Cancelled, not by this client: servers and proxies do so at shutdown.
        Code::Unavailable | Code::Cancelled | Code::DeadlineExceeded => true,
        Code::ResourceExhausted => error.retry_after.is_some(),
        // gRPC's codes for a stream that a proxy has reset. Taskgate's own errors have a reason.
        Code::Internal | Code::Unknown => error.reason.is_empty(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gone() -> Error {
        Error::new(Code::Unavailable, "gone")
    }

    #[test]
    fn a_server_that_never_responded_is_not_retried() {
        assert!(Reconnects::default().delay_after(gone(), Instant::now(), 1.0).is_err());
    }

    #[test]
    fn delays_grow_to_ten_seconds_for_five_minutes() {
        let (mut reconnects, start) = (Reconnects::default(), Instant::now());
        reconnects.reached(start);
        for expected in [1, 2, 4, 8, 10, 10] {
            let (_, delay) = reconnects.delay_after(gone(), start, 1.0).unwrap();
            assert_eq!(delay, Duration::from_secs(expected));
        }
        assert!(reconnects.delay_after(gone(), start + Duration::from_secs(301), 1.0).is_err());
    }

    #[test]
    fn final_errors_are_not_retried() {
        let (mut reconnects, start) = (Reconnects::default(), Instant::now());
        reconnects.reached(start);
        let mut bug = Error::new(Code::Internal, "");
        "TASKGATE_BUG".clone_into(&mut bug.reason);
        let busy = Error::new(Code::ResourceExhausted, "");
        for error in [bug, busy, Error::new(Code::NotFound, "")] {
            assert!(reconnects.delay_after(error, start, 1.0).is_err());
        }
    }

    #[test]
    fn a_server_that_shuts_down_is_left_immediately_once() {
        let (mut reconnects, start) = (Reconnects::default(), Instant::now());
        reconnects.reached(start);
        let mut stopping = gone();
        SERVER_STOPPING.clone_into(&mut stopping.reason);
        let (_, first) = reconnects.delay_after(stopping.clone(), start, 1.0).unwrap();
        let (_, second) = reconnects.delay_after(stopping, start, 1.0).unwrap();
        assert_eq!(first, Duration::ZERO);
        assert!(second > Duration::ZERO);
    }
}
