//! The way of every call to the server: who calls and whom is added, and reads are made again.

use std::error::Error as _;
use std::future::{poll_fn, Future};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderValue, Request, Response};
use http_body_util::{BodyExt, Full};
use tonic::body::Body;
use tonic::transport::Channel;
use tonic::Status;
use tower_service::Service;

use crate::connect::Token;
use crate::retries::{is_unavailable, Retries};

const TARGET: &str = "taskgate-target";
const TIMEOUT: &str = "grpc-timeout";
/// [`DEFAULT_TIME_LIMIT`](crate::DEFAULT_TIME_LIMIT), for the typed RPCs of the AWS services.
const DEFAULT_TIMEOUT: &str = "30S";

include!(concat!(env!("OUT_DIR"), "/streams.rs"));

/// What the generated stubs call through.
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
}

impl Transport {
    pub(crate) fn new(channel: Channel, token: Option<Token>, target: Option<HeaderValue>) -> Self {
        let retries = Retries::new();
        Self { channel, shared: Arc::new(Shared { token, target, retries }) }
    }

    async fn send(self, mut request: Request<Body>) -> Result<Response<Body>, Status> {
        let shared = &self.shared;
        if let Some(target) = &shared.target {
            request.headers_mut().insert(TARGET, target.clone());
        }
        if !request.headers().contains_key(TIMEOUT) && !is_stream(request.uri().path()) {
            request.headers_mut().insert(TIMEOUT, HeaderValue::from_static(DEFAULT_TIMEOUT));
        }
        if let Some(token) = &shared.token {
            let token = token.current().await.map_err(|error| {
                Status::unauthenticated(format!("the token cannot be had: {error}"))
            })?;
            let bearer = HeaderValue::from_str(&format!("Bearer {token}")).map_err(|_| {
                Status::unauthenticated("the token has characters that cannot be sent")
            })?;
            request.headers_mut().insert(AUTHORIZATION, bearer);
        }
        if shared.retries.are_for(request.uri().path()) {
            self.retried(request).await
        } else {
            once(self.channel, request).await
        }
    }

    async fn retried(self, request: Request<Body>) -> Result<Response<Body>, Status> {
        let retries = &self.shared.retries;
        let (head, body) = request.into_parts();
        let body = body.collect().await?.to_bytes();
        let mut attempts = 1;
        loop {
            let request = Request::from_parts(head.clone(), Body::new(Full::new(body.clone())));
            let outcome = once(self.channel.clone(), request).await;
            let wait = match &outcome {
                Ok(answer) if !is_unavailable(answer.headers()) => {
                    retries.succeeded();
                    None
                }
                Ok(answer) => retries.wait_after(attempts, answer.headers()),
                Err(_) => retries.wait_after(attempts, &HeaderMap::new()),
            };
            let Some(wait) = wait else { return outcome };
            tokio::time::sleep(wait).await;
            attempts += 1;
        }
    }
}

impl Service<Request<Body>> for Transport {
    type Response = Response<Body>;
    type Error = Status;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Status>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Status>> {
        Poll::Ready(Ok(())) // the channel's own readiness is part of an attempt
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        Box::pin(self.clone().send(request))
    }
}

async fn once(mut channel: Channel, request: Request<Body>) -> Result<Response<Body>, Status> {
    poll_fn(|context| channel.poll_ready(context)).await.map_err(|error| lost(&error))?;
    channel.call(request).await.map_err(|error| lost(&error))
}

/// A connection that failed, with all that is known of why.
fn lost(error: &tonic::transport::Error) -> Status {
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
        return Status::deadline_exceeded("the time is up");
    }
    Status::unavailable(message)
}
