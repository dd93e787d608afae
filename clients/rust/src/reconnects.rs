//! When a call that broke is tried again. Free of clock and network.

use std::time::Duration;

use tokio::time::Instant;
use tonic::Code;

use crate::error::Error;

const FIRST_DELAY: Duration = Duration::from_secs(1);
const LONGEST_DELAY: Duration = Duration::from_secs(10);
const PATIENCE: Duration = Duration::from_secs(300);

/// The reason of a server that has sent its callers elsewhere.
pub(crate) const SERVER_STOPPING: &str = "SERVER_STOPPING";

/// Decides, failure by failure, whether to go on and after how long.
///
/// A server that was never reached is not waited for, so that a wrong address shows at once.
#[derive(Debug, Default)]
pub(crate) struct Reconnects {
    contact: Option<Instant>,
    moved: Option<Instant>,
    /// How many failures there have been since the last contact.
    pub(crate) failures: u32,
}

impl Reconnects {
    /// The server has answered.
    pub(crate) fn reached(&mut self, now: Instant) {
        self.contact = Some(now);
        self.failures = 0;
    }

    /// How long to wait before the next attempt; the error itself where it is final, or the patience
    /// is at an end. `chance` is from 0 to 1.
    ///
    /// Full jitter: the many callers of one server that is lost must not come back all at once. One
    /// that stops has said so before it let its callers go, and has others take them: there is
    /// nothing to wait for, the first time.
    pub(crate) fn delay_after(
        &mut self,
        error: Error,
        now: Instant,
        chance: f64,
    ) -> Result<(Error, Duration), Error> {
        let waits = self.contact.is_some_and(|contact| now - contact <= PATIENCE);
        if !waits || !passes(&error) {
            return Err(error);
        }
        self.failures += 1;
        let moved_lately = self.moved.is_some_and(|moved| now - moved <= FIRST_DELAY);
        if error.reason == SERVER_STOPPING && !moved_lately {
            self.moved = Some(now);
            return Ok((error, Duration::ZERO));
        }
        let longest = (FIRST_DELAY * 2_u32.pow(self.failures.min(5) - 1)).min(LONGEST_DELAY);
        let delay = longest.mul_f64(chance).max(error.retry_after.unwrap_or_default());
        Ok((error, delay))
    }
}

fn passes(error: &Error) -> bool {
    match error.code {
        // Cancelled, not by us: what a server, or a proxy, that stops does to its streams.
        Code::Unavailable | Code::Cancelled | Code::DeadlineExceeded => true,
        Code::ResourceExhausted => error.retry_after.is_some(),
        // What gRPC makes of a stream that a proxy has reset. Taskgate's own have a reason.
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
    fn a_server_that_was_never_reached_is_not_waited_for() {
        assert!(Reconnects::default().delay_after(gone(), Instant::now(), 1.0).is_err());
    }

    #[test]
    fn delays_grow_to_ten_seconds_and_patience_ends() {
        let (mut reconnects, start) = (Reconnects::default(), Instant::now());
        reconnects.reached(start);
        for want in [1, 2, 4, 8, 10, 10] {
            let (_, delay) = reconnects.delay_after(gone(), start, 1.0).unwrap();
            assert_eq!(delay, Duration::from_secs(want));
        }
        assert!(reconnects.delay_after(gone(), start + Duration::from_secs(301), 1.0).is_err());
    }

    #[test]
    fn what_is_final_is_not_tried_again() {
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
    fn a_server_that_stops_is_left_at_once_the_first_time() {
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
