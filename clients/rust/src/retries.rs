//! Reads that find a connection or a server gone are made again, as the service config says that all
//! languages share: <https://github.com/grpc/proposal/blob/master/A6-client-retries.md>.

use std::collections::HashSet;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use http::HeaderMap;
use serde::Deserialize;
use tonic::Code;

const CONFIG: &str = include_str!("../service-config.json");

/// What a server says in its trailers of trying again.
const PUSHBACK: &str = "grpc-retry-pushback-ms";

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ServiceConfig {
    method_config: Vec<MethodConfig>,
    retry_throttling: Throttling,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct MethodConfig {
    name: Vec<MethodName>,
    retry_policy: Policy,
}

#[derive(Deserialize)]
struct MethodName {
    service: String,
    method: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Policy {
    max_attempts: u32,
    initial_backoff: String,
    max_backoff: String,
    backoff_multiplier: f64,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Throttling {
    max_tokens: f64,
    token_ratio: f64,
}

/// When a call is made again. All calls of a channel share one.
#[derive(Debug)]
pub(crate) struct Retries {
    paths: HashSet<String>,
    max_attempts: u32,
    initial_backoff: f64,
    max_backoff: f64,
    multiplier: f64,
    /// In thousandths.
    tokens: AtomicI64,
    max_tokens: i64,
    ratio: i64,
}

impl Retries {
    pub(crate) fn new() -> Self {
        let config: ServiceConfig = serde_json::from_str(CONFIG).expect("it is part of this crate");
        let reads = config.method_config.into_iter().next().expect("it has the reads' policy");
        let (policy, throttling) = (reads.retry_policy, config.retry_throttling);
        let max_tokens = thousandths(throttling.max_tokens);
        Self {
            paths: reads
                .name
                .iter()
                .map(|each| format!("/{}/{}", each.service, each.method))
                .collect(),
            max_attempts: policy.max_attempts,
            initial_backoff: seconds(&policy.initial_backoff),
            max_backoff: seconds(&policy.max_backoff),
            multiplier: policy.backoff_multiplier,
            tokens: AtomicI64::new(max_tokens),
            max_tokens,
            ratio: thousandths(throttling.token_ratio),
        }
    }

    /// Whether calls of a path may be made again at all.
    pub(crate) fn are_for(&self, path: &str) -> bool {
        self.paths.contains(path)
    }

    /// A call has succeeded.
    pub(crate) fn succeeded(&self) {
        let tokens = self.tokens.fetch_add(self.ratio, Ordering::Relaxed) + self.ratio;
        if tokens > self.max_tokens {
            self.tokens.store(self.max_tokens, Ordering::Relaxed);
        }
    }

    /// How long to wait before the next attempt, after so many that found nobody.
    pub(crate) fn wait_after(&self, attempts: u32, headers: &HeaderMap) -> Option<Duration> {
        let tokens = self.tokens.fetch_sub(1_000, Ordering::Relaxed) - 1_000;
        if tokens < 0 {
            self.tokens.store(0, Ordering::Relaxed);
        }
        if attempts >= self.max_attempts || tokens <= self.max_tokens / 2 {
            return None;
        }
        if let Some(pushback) = headers.get(PUSHBACK) {
            let milliseconds = pushback.to_str().ok()?.parse().ok()?; // a negative one is a no
            return Some(Duration::from_millis(milliseconds));
        }
        let exponent = i32::try_from(attempts).unwrap_or(i32::MAX) - 1;
        let longest = (self.initial_backoff * self.multiplier.powi(exponent)).min(self.max_backoff);
        Some(Duration::from_secs_f64(longest * rand::random::<f64>()))
    }
}

/// Whether the head of an answer already says that nobody was there.
pub(crate) fn is_unavailable(headers: &HeaderMap) -> bool {
    headers
        .get("grpc-status")
        .is_some_and(|status| Code::from_bytes(status.as_bytes()) == Code::Unavailable)
}

fn seconds(text: &str) -> f64 {
    text.trim_end_matches('s').parse().expect("it is part of this crate")
}

#[allow(clippy::cast_possible_truncation)] // a hundred, or a tenth
fn thousandths(number: f64) -> i64 {
    (number * 1_000.0) as i64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_alone_are_made_again_four_times_at_most() {
        let (retries, headers) = (Retries::new(), HeaderMap::new());
        assert!(retries.are_for("/taskgate.v1.TaskService/GetTask"));
        assert!(retries.are_for("/taskgate.omics.v1.OmicsService/ListRuns"));
        assert!(!retries.are_for("/taskgate.v1.TaskService/CancelTask"));
        let waits: Vec<bool> = (1..=4).map(|n| retries.wait_after(n, &headers).is_some()).collect();
        assert_eq!(waits, [true, true, true, false]);
    }

    #[test]
    fn a_server_that_says_no_is_heeded() {
        let mut headers = HeaderMap::new();
        headers.insert(PUSHBACK, "-1".parse().unwrap());
        assert_eq!(Retries::new().wait_after(1, &headers), None);
        headers.insert(PUSHBACK, "250".parse().unwrap());
        assert_eq!(Retries::new().wait_after(1, &headers), Some(Duration::from_millis(250)));
    }

    #[test]
    fn when_most_calls_fail_nothing_is_made_again() {
        let (retries, headers) = (Retries::new(), HeaderMap::new());
        let made_again = (0..100).filter(|_| retries.wait_after(1, &headers).is_some()).count();
        assert_eq!(made_again, 49);
    }
}
