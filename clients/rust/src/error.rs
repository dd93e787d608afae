//! The error of a failed call, with its details unpacked.

use std::collections::HashMap;
use std::fmt;
use std::time::Duration;

use prost::Message;
use tonic::Code;

use crate::protos::google::rpc;

/// An invalid field of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The path of the field.
    pub field: String,
    /// What is wrong with it.
    pub description: String,
}

/// A call that failed, on the server or on the way to it.
#[derive(Clone, Debug, PartialEq)]
pub struct Error {
    /// The gRPC status code.
    pub code: Code,
    /// What went wrong.
    pub message: String,
    /// AWS's error code or Taskgate's reason, such as `RESOURCE_NOT_FOUND_EXCEPTION`.
    pub reason: String,
    /// Origin of the reason: `deadline.amazonaws.com`, `omics.amazonaws.com` or `taskgate`.
    pub domain: String,
    /// Further details of the reason.
    pub metadata: HashMap<String, String>,
    /// All invalid fields of the request.
    pub violations: Vec<Violation>,
    /// How long to wait before a retry, if known.
    pub retry_after: Option<Duration>,
    /// Type and id of the resource that is missing or in conflict.
    pub resource: Option<(String, String)>,
    /// The id of the exceeded AWS quota.
    pub quota: String,
    /// AWS's request id if AWS was called, otherwise Taskgate's id of the call.
    pub request_id: String,
}

impl Error {
    pub(crate) fn new(code: Code, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            reason: String::new(),
            domain: String::new(),
            metadata: HashMap::new(),
            violations: Vec::new(),
            retry_after: None,
            resource: None,
            quota: String::new(),
            request_id: String::new(),
        }
    }

    /// Converts an error within a response, such as that of one item of a batch.
    #[must_use]
    pub fn of_status(status: &rpc::Status) -> Self {
        let mut error = Self::new(Code::from(status.code), status.message.clone());
        for detail in &status.details {
            // A malformed detail must not hide the others.
            let _ = error.add(&detail.type_url, &detail.value);
        }
        error
    }

    fn add(&mut self, type_url: &str, value: &[u8]) -> Result<(), prost::DecodeError> {
        match type_url.rsplit('/').next().unwrap_or_default() {
            "google.rpc.ErrorInfo" => {
                let detail = rpc::ErrorInfo::decode(value)?;
                (self.reason, self.domain) = (detail.reason, detail.domain);
                self.metadata = detail.metadata;
            }
            "google.rpc.RequestInfo" => {
                self.request_id = rpc::RequestInfo::decode(value)?.request_id;
            }
            "google.rpc.BadRequest" => {
                let violations = rpc::BadRequest::decode(value)?.field_violations.into_iter();
                self.violations = violations
                    .map(|each| Violation { field: each.field, description: each.description })
                    .collect();
            }
            "google.rpc.RetryInfo" => {
                let delay = rpc::RetryInfo::decode(value)?.retry_delay.unwrap_or_default();
                self.retry_after = Some(Duration::try_from(delay).unwrap_or_default());
            }
            "google.rpc.ResourceInfo" => {
                let detail = rpc::ResourceInfo::decode(value)?;
                self.resource = Some((detail.resource_type, detail.resource_name));
            }
            "google.rpc.QuotaFailure" => {
                let violations = rpc::QuotaFailure::decode(value)?.violations.into_iter();
                let mut quotas = violations.map(|each| each.quota_id);
                self.quota = quotas.find(|each| !each.is_empty()).unwrap_or_default();
            }
            _ => {}
        }
        Ok(())
    }
}

impl From<tonic::Status> for Error {
    /// Converts the error of any stub, also of other servers than Taskgate.
    fn from(status: tonic::Status) -> Self {
        let details = rpc::Status::decode(status.details()).unwrap_or_default();
        let mut error = Self::of_status(&details);
        status.message().clone_into(&mut error.message);
        // A status with a source is not from the server: the connection was lost.
        let lost = std::error::Error::source(&status).is_some();
        error.code = match status.code() {
            Code::Unknown | Code::Internal | Code::Cancelled if lost => Code::Unavailable,
            code => code,
        };
        error
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.code, self.message)
    }
}

impl std::error::Error for Error {}
