//! Retries of reads whose connection or server was lost, by the service config that all languages
//! share: <https://github.com/grpc/proposal/blob/master/A6-client-retries.md>.

use std::collections::HashSet;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use http::HeaderMap;
use serde::Deserialize;
use tonic::Code;

const CONFIG: &str = include_str!("../service-config.json");

/// The trailer with which a server delays or forbids a retry.
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

/// When to retry a call. All calls of a channel share one.
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
    /// Returns the retries of the service config, for its RPCs and those of other paths.
    pub(crate) fn new(others: Vec<String>) -> Self {
        let config: ServiceConfig =
            serde_json::from_str(CONFIG).expect("the service config is part of this crate");
        let reads = config
            .method_config
            .into_iter()
            .next()
            .expect("the service config has a policy for reads");
        let (policy, throttling) = (reads.retry_policy, config.retry_throttling);
        let max_tokens = thousandths(throttling.max_tokens);
        Self {
            paths: reads
                .name
                .iter()
                .map(|each| format!("/{}/{}", each.service, each.method))
                .chain(others)
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

    /// Returns whether calls of a path may be retried.
    pub(crate) fn apply_to(&self, path: &str) -> bool {
        self.paths.contains(path)
    }

    /// Records a call that succeeded.
    pub(crate) fn succeeded(&self) {
        let tokens = self.tokens.fetch_add(self.ratio, Ordering::Relaxed) + self.ratio;
        if tokens > self.max_tokens {
            self.tokens.store(self.max_tokens, Ordering::Relaxed);
        }
    }

    /// Returns the delay before the next attempt, given the number of failed attempts; `None` for no
    /// retry.
    pub(crate) fn delay_after(&self, attempts: u32, headers: &HeaderMap) -> Option<Duration> {
        let tokens = self.tokens.fetch_sub(1_000, Ordering::Relaxed) - 1_000;
        if tokens < 0 {
            self.tokens.store(0, Ordering::Relaxed);
        }
        if attempts >= self.max_attempts || tokens <= self.max_tokens / 2 {
            return None;
        }
        if let Some(pushback) = headers.get(PUSHBACK) {
            let milliseconds = pushback.to_str().ok()?.parse().ok()?; // a negative one forbids it
            return Some(Duration::from_millis(milliseconds));
        }
        let exponent = i32::try_from(attempts).unwrap_or(i32::MAX) - 1;
        let limit = (self.initial_backoff * self.multiplier.powi(exponent)).min(self.max_backoff);
        Some(Duration::from_secs_f64(limit * rand::random::<f64>()))
    }
}

/// Returns whether the headers of a response have the status UNAVAILABLE.
pub(crate) fn is_unavailable(headers: &HeaderMap) -> bool {
    headers
        .get("grpc-status")
        .is_some_and(|status| Code::from_bytes(status.as_bytes()) == Code::Unavailable)
}

fn seconds(text: &str) -> f64 {
    text.trim_end_matches('s').parse().expect("the service config is part of this crate")
}

#[allow(clippy::cast_possible_truncation)] // the numbers are small
fn thousandths(number: f64) -> i64 {
    (number * 1_000.0) as i64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_reads_are_retried_with_four_attempts() {
        let (retries, headers) = (Retries::new(vec![]), HeaderMap::new());
        assert!(retries.apply_to("/taskgate.v1.TaskService/GetTask"));
        assert!(retries.apply_to("/taskgate.omics.v1.OmicsService/ListRuns"));
        assert!(!retries.apply_to("/taskgate.v1.TaskService/CancelTask"));
        let outcomes: Vec<bool> =
            (1..=4).map(|n| retries.delay_after(n, &headers).is_some()).collect();
        assert_eq!(outcomes, [true, true, true, false]);
    }

    #[test]
    fn rpcs_of_other_services_are_retried_if_they_are_listed() {
        let path = "/taskgate_batch.v1.BatchService/ListJobs";
        assert!(!Retries::new(vec![]).apply_to(path));
        assert!(Retries::new(vec![path.to_owned()]).apply_to(path));
    }

    #[test]
    fn pushback_delays_or_forbids_a_retry() {
        let mut headers = HeaderMap::new();
        headers.insert(PUSHBACK, "-1".parse().unwrap());
        assert_eq!(Retries::new(vec![]).delay_after(1, &headers), None);
        headers.insert(PUSHBACK, "250".parse().unwrap());
        assert_eq!(Retries::new(vec![]).delay_after(1, &headers), Some(Duration::from_millis(250)));
    }

    #[test]
    fn retries_stop_when_most_calls_fail() {
        let (retries, headers) = (Retries::new(vec![]), HeaderMap::new());
        let count = (0..100).filter(|_| retries.delay_after(1, &headers).is_some()).count();
        assert_eq!(count, 49);
    }
}
