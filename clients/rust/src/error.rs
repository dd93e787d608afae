//! Failed calls, with their details unpacked.

use std::collections::HashMap;
use std::fmt;
use std::time::Duration;

use prost::Message;
use tonic::Code;

use crate::protos::google::rpc;

/// What is wrong with one field of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The field, as a path.
    pub field: String,
    /// What it should be.
    pub description: String,
}

/// A call that Taskgate answered with an error, or could not answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Error {
    /// gRPC's status.
    pub code: Code,
    /// For people.
    pub message: String,
    /// AWS's error code or Taskgate's own reason, such as `RESOURCE_NOT_FOUND_EXCEPTION`.
    pub reason: String,
    /// Who says so: `deadline.amazonaws.com`, `omics.amazonaws.com` or `taskgate`.
    pub domain: String,
    /// More about the reason.
    pub metadata: HashMap<String, String>,
    /// Every field of the request that is wrong.
    pub violations: Vec<Violation>,
    /// How long to wait before trying again, where it is known.
    pub retry_after: Option<Duration>,
    /// Type and id of the thing that is missing or in conflict.
    pub resource: Option<(String, String)>,
    /// The id of the AWS quota that was exceeded.
    pub quota: String,
    /// AWS's id of the request if there was one, else Taskgate's id of the call.
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

    /// What an error inside an answer says, such as that of one item of a batch.
    #[must_use]
    pub fn of_status(status: &rpc::Status) -> Self {
        let mut error = Self::new(Code::from(status.code), status.message.clone());
        for detail in &status.details {
            // A detail that cannot be read is of a newer server.
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
    /// What an error of any stub says; works for servers of other makes too.
    fn from(status: tonic::Status) -> Self {
        let details = rpc::Status::decode(status.details()).unwrap_or_default();
        let mut error = Self::of_status(&details);
        status.message().clone_into(&mut error.message);
        // With a source it is no word of the server's: the connection is lost.
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
