//! The client of Taskgate, one gRPC service in front of AWS Deadline Cloud and AWS HealthOmics.
//!
//! [`Client::connect`] gives a [`Client`]; errors are [`Error`]s with their details unpacked. A call
//! ends when its future is dropped, and after [`DEFAULT_TIME_LIMIT`] at the latest, but for watches,
//! waits and logs, which go on across lost connections.
//!
//! An enum word or a union member that is newer than this crate is data, never an error: enums are
//! `i32`s, as prost has them, and a union that is not known is `None`.

mod client;
mod connect;
mod error;
mod events;
mod listing;
mod log_session;
mod names;
mod parents;
mod reconnects;
mod retries;
mod stream;
mod transport;
mod wait;
mod watch_session;

/// The generated messages and stubs, by their proto packages.
#[allow(clippy::all, clippy::pedantic, missing_docs, rustdoc::all)]
pub mod protos {
    include!(concat!(env!("OUT_DIR"), "/protos.rs"));
}

pub use client::{Client, DEFAULT_TIME_LIMIT};
pub use connect::{Options, Tls, Token};
pub use error::{Error, Violation};
pub use events::{Event, Heartbeat, Reconnecting, Snapshot, WatchEnd};
pub use listing::TaskListing;
pub use names::{InvalidName, ParentName, TaskName};
pub use protos::taskgate::v1;
pub use stream::{TaskLog, Watch};
pub use transport::Transport;
