//! Server streams that call again when a call breaks: watches and logs.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use futures_core::Stream;
use futures_util::stream::unfold;
use tokio::time::{sleep, timeout, Instant};
use tonic::{Code, Status, Streaming};

use crate::error::Error;
use crate::events::{Event, Reconnecting};
use crate::log_session::LogSession;
use crate::protos::taskgate::v1::{LogLine, LogSource};
use crate::reconnects::Reconnects;
use crate::session::Session;
use crate::watch_session::WatchSession;

type Opening<T> = Pin<Box<dyn Future<Output = Result<Streaming<T>, Status>> + Send>>;
type Open<S> = Box<
    dyn Fn(<S as Session>::Request, Option<Duration>) -> Opening<<S as Session>::Response>
        + Send
        + Sync,
>;
type ReconnectingEvent<E> = fn(Error, Duration, u32) -> Option<E>;

/// The events of a stream, which calls again when a call breaks.
pub(crate) struct Resuming<S: Session> {
    session: S,
    open: Open<S>,
    reconnecting: ReconnectingEvent<S::Event>,
    reconnects: Reconnects,
    call: Option<Streaming<S::Response>>,
    ready: VecDeque<S::Event>,
    delay: Duration,
    end: Option<Instant>,
    closed: bool,
}

impl<S: Session> Resuming<S> {
    pub(crate) fn new(
        session: S,
        open: Open<S>,
        reconnecting: ReconnectingEvent<S::Event>,
    ) -> Self {
        Self {
            session,
            open,
            reconnecting,
            reconnects: Reconnects::default(),
            call: None,
            ready: VecDeque::new(),
            delay: Duration::ZERO,
            end: None,
            closed: false,
        }
    }

    async fn next(&mut self) -> Option<Result<S::Event, Error>> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Some(Ok(event));
            }
            if self.closed || self.session.finished() {
                self.close();
                return None;
            }
            if let Err(error) = self.advance().await {
                self.close();
                return Some(Err(error));
            }
        }
    }

    fn close(&mut self) {
        self.closed = true;
        self.call = None;
    }

    async fn advance(&mut self) -> Result<(), Error> {
        let outcome = match self.end {
            Some(end) => match tokio::time::timeout_at(end, self.receive()).await {
                Ok(outcome) => outcome,
                Err(_) => return Err(Error::new(Code::DeadlineExceeded, "timed out")),
            },
            None => self.receive().await,
        };
        let Err(error) = outcome else { return Ok(()) };
        self.call = None;
        let (error, delay) = self.reconnects.delay_after(error, Instant::now(), rand::random())?;
        self.delay = delay;
        self.ready.extend((self.reconnecting)(error, delay, self.reconnects.failures));
        Ok(())
    }

    async fn receive(&mut self) -> Result<(), Error> {
        if !self.delay.is_zero() {
            sleep(self.delay).await;
            self.delay = Duration::ZERO;
        }
        let response = match self.session.silence() {
            Some(limit) => {
                timeout(limit, self.read()).await.unwrap_or_else(|_| Err(silence_error(limit)))?
            }
            None => self.read().await?,
        };
        let Some(response) = response else {
            self.call = None;
            return self.session.end();
        };
        self.reconnects.reached(Instant::now());
        let events = self.session.take(response)?;
        self.ready.extend(events);
        Ok(())
    }

    async fn read(&mut self) -> Result<Option<S::Response>, Error> {
        let call = match &mut self.call {
            Some(call) => call,
            call @ None => {
                let remaining = self.end.map(|end| end.saturating_duration_since(Instant::now()));
                call.insert((self.open)(self.session.next(), remaining).await?)
            }
        };
        Ok(call.message().await?)
    }
}

fn silence_error(limit: Duration) -> Error {
    let seconds = limit.as_secs_f64();
    Error::new(Code::Unavailable, format!("no message from the server for {seconds} s"))
}

/// The events of a watch. Dropping it ends the call.
pub struct Watch(Resuming<WatchSession>);

impl Watch {
    pub(crate) fn new(session: WatchSession, open: Open<WatchSession>) -> Self {
        Self(Resuming::new(session, open, |error, delay, failures| {
            Some(Event::Reconnecting(Reconnecting { error, delay, failures }))
        }))
    }

    /// Returns it with a timeout, over all calls.
    #[must_use]
    pub fn with_timeout(mut self, timeout: Duration) -> Self {
        self.0.end = Some(Instant::now() + timeout);
        self
    }

    /// Returns the next event; `None` after the last one. An error ends the watch: the server refused
    /// the call, was unreachable at the first attempt or for several minutes, or the watch timed out.
    ///
    /// It is cancel-safe: dropping the future loses no event.
    pub async fn next(&mut self) -> Option<Result<Event, Error>> {
        self.0.next().await
    }

    /// Returns the events as a stream.
    pub fn into_stream(self) -> impl Stream<Item = Result<Event, Error>> + Send {
        unfold(self, |mut watch| async { watch.next().await.map(|event| (event, watch)) })
    }

    /// Returns where another watch can resume after the events so far; may be empty.
    #[must_use]
    pub fn resume_token(&self) -> &[u8] {
        &self.0.session.token
    }

    /// Ends the call and the events.
    pub fn close(&mut self) {
        self.0.ready.clear();
        self.0.close();
    }
}

/// The lines of a log. Dropping it ends the call.
pub struct TaskLog(Resuming<LogSession>);

impl TaskLog {
    pub(crate) fn new(session: LogSession, open: Open<LogSession>) -> Self {
        Self(Resuming::new(session, open, |_, _, _| None))
    }

    /// Returns it with a timeout, over all calls.
    #[must_use]
    pub fn with_timeout(mut self, timeout: Duration) -> Self {
        self.0.end = Some(Instant::now() + timeout);
        self
    }

    /// Returns the next line; `None` after the last one.
    pub async fn next(&mut self) -> Option<Result<LogLine, Error>> {
        self.0.next().await
    }

    /// Returns the lines as a stream.
    pub fn into_stream(self) -> impl Stream<Item = Result<LogLine, Error>> + Send {
        unfold(self, |mut log| async { log.next().await.map(|line| (line, log)) })
    }

    /// Returns where the log is, and of which attempt, once the server has sent it.
    #[must_use]
    pub fn source(&self) -> Option<&LogSource> {
        self.0.session.source.as_ref()
    }
}
