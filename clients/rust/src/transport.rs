//! The transport of all calls: adds the token, the target, a default timeout and the time since the
//! latest write, and retries reads.

use std::error::Error as _;
use std::future::{poll_fn, Future};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderValue, Request, Response};
use http_body_util::{BodyExt, Full};
use tonic::body::Body;
use tonic::transport::Channel;
use tonic::Status;
use tower_service::Service;

use crate::retries::{is_unavailable, Retries};
use crate::token::Token;
use crate::writes::{is_read, is_write, Roots, Writes, SINCE_WRITE_KEY};

const TARGET_KEY: &str = "taskgate-target";
const TIMEOUT_KEY: &str = "grpc-timeout";
/// [`DEFAULT_TIMEOUT`](crate::DEFAULT_TIMEOUT), for the typed RPCs of the AWS services.
const DEFAULT_TIMEOUT: &str = "30S";

include!(concat!(env!("OUT_DIR"), "/streams.rs"));

/// The transport of the generated stubs.
#[derive(Clone, Debug)]
pub struct Transport {
    channel: Channel,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    token: Option<Token>,
    target: Option<HeaderValue>,
    retries: Retries,
    writes: Writes,
}

impl Transport {
    pub(crate) fn new(
        channel: Channel,
        token: Option<Token>,
        target: Option<HeaderValue>,
        others: Vec<String>,
    ) -> Self {
        let retries = Retries::new(others);
        let writes = Writes::default();
        Self { channel, shared: Arc::new(Shared { token, target, retries, writes }) }
    }

    async fn send(self, mut request: Request<Body>) -> Result<Response<Body>, Status> {
        let shared = self.shared.clone();
        let roots = request.extensions_mut().remove::<Roots>().unwrap_or_default();
        if is_write(request.uri().path()) {
            // Recorded as ended when it is dropped, also if the caller drops the future.
            let write = shared.writes.start(roots);
            let response = self.send_prepared(request).await?;
            return Ok(response.map(|body| {
                Body::new(body.map_frame(move |frame| {
                    let _ended_with_the_body = &write;
                    frame
                }))
            }));
        }
        if is_read(request.uri().path()) {
            let since = shared.writes.since(&roots, Instant::now());
            if let Some(since) = since.and_then(|since| HeaderValue::from_str(&since).ok()) {
                request.headers_mut().insert(SINCE_WRITE_KEY, since);
            }
        }
        self.send_prepared(request).await
    }

    async fn send_prepared(self, mut request: Request<Body>) -> Result<Response<Body>, Status> {
        let shared = &self.shared;
        if let Some(target) = &shared.target {
            request.headers_mut().insert(TARGET_KEY, target.clone());
        }
        if !request.headers().contains_key(TIMEOUT_KEY) && !is_stream(request.uri().path()) {
            request.headers_mut().insert(TIMEOUT_KEY, HeaderValue::from_static(DEFAULT_TIMEOUT));
        }
        if let Some(token) = &shared.token {
            let token = token.current().await.map_err(|error| {
                Status::unauthenticated(format!("cannot get the token: {error}"))
            })?;
            let bearer = HeaderValue::from_str(&format!("Bearer {token}")).map_err(|_| {
                Status::unauthenticated(
                    "the token has characters that cannot be sent; use printable ASCII",
                )
            })?;
            request.headers_mut().insert(AUTHORIZATION, bearer);
        }
        if shared.retries.apply_to(request.uri().path()) {
            self.send_with_retries(request).await
        } else {
            send_once(self.channel, request).await
        }
    }

    async fn send_with_retries(self, request: Request<Body>) -> Result<Response<Body>, Status> {
        let retries = &self.shared.retries;
        let (head, body) = request.into_parts();
        let body = body.collect().await?.to_bytes();
        let mut attempts = 1;
        loop {
            let request = Request::from_parts(head.clone(), Body::new(Full::new(body.clone())));
            let outcome = send_once(self.channel.clone(), request).await;
            let delay = match &outcome {
                Ok(response) if !is_unavailable(response.headers()) => {
                    retries.succeeded();
                    None
                }
                Ok(response) => retries.delay_after(attempts, response.headers()),
                Err(_) => retries.delay_after(attempts, &HeaderMap::new()),
            };
            let Some(delay) = delay else { return outcome };
            tokio::time::sleep(delay).await;
            attempts += 1;
        }
    }
}

impl Service<Request<Body>> for Transport {
    type Response = Response<Body>;
    type Error = Status;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Status>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Status>> {
        Poll::Ready(Ok(())) // each attempt waits for the channel
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        Box::pin(self.clone().send(request))
    }
}

async fn send_once(mut channel: Channel, request: Request<Body>) -> Result<Response<Body>, Status> {
    poll_fn(|context| channel.poll_ready(context)).await.map_err(|error| status_of(&error))?;
    channel.call(request).await.map_err(|error| status_of(&error))
}

/// Returns the status for a failed connection, with its causes.
fn status_of(error: &tonic::transport::Error) -> Status {
    let mut message = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        if let Some(status) = cause.downcast_ref::<Status>() {
            return status.clone();
        }
        message = format!("{message}: {cause}");
        source = cause.source();
    }
    if message.ends_with("Timeout expired") {
        return Status::deadline_exceeded("timed out");
    }
    Status::unavailable(message)
}
