//! The client of Taskgate, one gRPC service in front of AWS Deadline Cloud and AWS HealthOmics.
//!
//! [`Client::connect`] returns a [`Client`]; errors are of type [`Error`], with their details unpacked.
//! A call ends when its future is dropped. Unary calls have a timeout of [`DEFAULT_TIMEOUT`]; watches,
//! waits and logs have none, and resume when a call breaks.
//!
//! Enum values and union members that are newer than this crate are not errors: enums are `i32`s, as
//! in prost, and an unknown union is `None`.

mod aws_services;
mod client;
mod connect;
mod error;
mod events;
mod listing;
mod log_session;
mod name_forms;
mod names;
mod parents;
mod reconnects;
mod retries;
mod session;
mod stream;
mod token;
mod transport;
mod wait;
mod watch_session;
mod writes;

/// The generated messages and stubs, by their proto packages.
#[allow(clippy::all, clippy::pedantic, missing_docs, rustdoc::all)]
pub mod protos {
    include!(concat!(env!("OUT_DIR"), "/protos.rs"));
}

pub use client::{Client, DEFAULT_TIMEOUT};
pub use connect::{Options, Tls};
pub use error::{Error, Violation};
pub use events::{Event, Heartbeat, Reconnecting, Snapshot, WatchEnd};
pub use listing::TaskListing;
pub use name_forms::InvalidName;
pub use names::{ParentName, TaskName};
pub use protos::taskgate::v1;
pub use stream::{TaskLog, Watch};
pub use token::Token;
pub use transport::Transport;
