//! What outlives a call: the state of a watch or a log.

use std::time::Duration;

use crate::error::Error;

/// The server's interval for requests without one.
const DEFAULT_HEARTBEAT: Duration = Duration::from_secs(10);
/// Number of missed heartbeats after which a connection counts as dead.
const MAX_MISSED_HEARTBEATS: u32 = 3;

/// The state of a watch or a log over several calls. It does no input or output.
pub(crate) trait Session {
    type Request;
    type Response;
    type Event;

    /// Returns the request for the next call.
    fn next(&mut self) -> Self::Request;
    /// Returns the events in a response, or an error to end the call.
    fn take(&mut self, response: Self::Response) -> Result<Vec<Self::Event>, Error>;
    /// Handles a call that the server has ended; returns an error if it ended too early.
    fn end(&mut self) -> Result<(), Error>;
    fn finished(&self) -> bool;
    /// Returns after how long without a message the connection counts as dead.
    fn silence(&self) -> Option<Duration>;
}

/// Returns after how long without a message a stream with heartbeats is dead.
pub(crate) fn silence_limit(interval: Option<prost_types::Duration>) -> Duration {
    let requested = interval.and_then(|each| Duration::try_from(each).ok());
    requested.filter(|each| !each.is_zero()).unwrap_or(DEFAULT_HEARTBEAT) * MAX_MISSED_HEARTBEATS
}
