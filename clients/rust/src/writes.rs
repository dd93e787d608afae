//! When the writes of a client ended, so that its reads show them, whichever replica serves them.
//!
//! A read sends the time since the latest write of what it names. A replica that shares nothing with the
//! one that executed the write then returns only what AWS returned after it. No clocks are compared: the
//! time that the request takes only makes the response fresher.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// The metadata key of the seconds since the latest write.
pub(crate) const SINCE_WRITE_KEY: &str = "taskgate-since-write";

/// How the names of RPCs that read begin. All others may write.
const READS: [&str; 8] =
    ["BatchGet", "Get", "List", "Search", "Stream", "Summarize", "Wait", "Watch"];

/// Older writes are not sent: no server caches a response for longer.
const MAX_AGE: Duration = Duration::from_secs(300);

/// Jobs and runs whose latest write is stored. With more, all of them count as written.
const MAX_PARENTS: usize = 1_000;

/// The jobs and runs that a request concerns; `None` if it may concern others.
///
/// It is an extension of requests, as the transport does not know their messages.
#[derive(Clone, Debug, Default)]
pub(crate) struct Roots(pub(crate) Option<Vec<String>>);

/// Returns whether an RPC reads, by its path, such as `/taskgate.v1.TaskService/GetTask`.
pub(crate) fn is_read(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or(path);
    READS.iter().any(|prefix| name.starts_with(prefix))
}

/// Returns whether an RPC may write; those of gRPC's own services, such as health, do not.
pub(crate) fn is_write(path: &str) -> bool {
    !is_read(path) && !path.starts_with("/grpc.")
}

/// When the latest writes ended. Clones share it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Writes {
    times: Arc<Mutex<Times>>,
}

#[derive(Debug, Default)]
struct Times {
    /// Of the latest write of anything.
    latest: Option<Instant>,
    /// Of the latest write that may concern any job or run.
    of_all: Option<Instant>,
    /// Of the latest write of each job or run.
    by_parent: HashMap<String, Instant>,
}

impl Writes {
    /// Records that a write has ended. One that failed may have been executed all the same.
    pub(crate) fn record(&self, roots: &Roots, now: Instant) {
        let mut times = self.lock();
        let now = times.latest.map_or(now, |latest| latest.max(now)); // threads may overtake
        times.latest = Some(now);
        for parent in roots.0.iter().flatten() {
            times.by_parent.insert(parent.clone(), now);
        }
        if roots.0.is_none() || times.by_parent.len() > MAX_PARENTS {
            times.by_parent.clear();
            times.of_all = Some(now);
        }
    }

    /// Returns the seconds since the latest write that a read has to show, rounded down; `None` if there
    /// was none that matters.
    pub(crate) fn since(&self, roots: &Roots, now: Instant) -> Option<String> {
        let times = self.lock();
        let ended = match &roots.0 {
            None => times.latest,
            Some(parents) => {
                let known = parents.iter().filter_map(|each| times.by_parent.get(each)).copied();
                known.chain(times.of_all).max()
            }
        };
        let elapsed = now.saturating_duration_since(ended?);
        let seconds = format!("{}.{:03}", elapsed.as_secs(), elapsed.subsec_millis());
        (elapsed <= MAX_AGE).then_some(seconds)
    }

    /// Returns a guard that records the end of a write when it is dropped.
    pub(crate) fn start(&self, roots: Roots) -> Write {
        Write { writes: self.clone(), roots }
    }

    fn lock(&self) -> MutexGuard<'_, Times> {
        // A panic cannot leave the times in an invalid state.
        self.times.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A write that has not ended.
#[derive(Debug)]
pub(crate) struct Write {
    writes: Writes,
    roots: Roots,
}

impl Drop for Write {
    fn drop(&mut self) {
        self.writes.record(&self.roots, Instant::now());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn roots(parents: &[&str]) -> Roots {
        Roots(Some(parents.iter().map(ToString::to_string).collect()))
    }

    fn since(writes: &Writes, roots: &Roots, now: Instant) -> Option<String> {
        writes.since(roots, now)
    }

    #[test]
    fn a_read_sends_the_time_since_the_end_of_a_write_rounded_down() {
        let (writes, job, start) = (Writes::default(), roots(&["job"]), Instant::now());
        assert_eq!(since(&writes, &job, start), None);
        writes.record(&job, start);
        assert_eq!(since(&writes, &job, start).as_deref(), Some("0.000"));
        let later = start + Duration::from_micros(12_034_900);
        assert_eq!(since(&writes, &job, later).as_deref(), Some("12.034"));
    }

    #[test]
    fn a_write_concerns_reads_of_its_parent_and_of_anything_else() {
        let (writes, start) = (Writes::default(), Instant::now());
        writes.record(&roots(&["job"]), start);
        let later = start + Duration::from_secs(1);
        assert_eq!(since(&writes, &roots(&["run"]), later), None);
        assert_eq!(since(&writes, &roots(&["run", "job"]), later).as_deref(), Some("1.000"));
        assert_eq!(since(&writes, &Roots(None), later).as_deref(), Some("1.000"));
    }

    #[test]
    fn a_write_of_anything_concerns_all_reads() {
        let (writes, start) = (Writes::default(), Instant::now());
        writes.record(&roots(&["job"]), start);
        writes.record(&Roots(None), start + Duration::from_secs(1));
        let later = start + Duration::from_secs(2);
        for read in [roots(&["job"]), roots(&["run"]), Roots(None)] {
            assert_eq!(since(&writes, &read, later).as_deref(), Some("1.000"));
        }
    }

    #[test]
    fn an_old_write_is_not_sent() {
        let (writes, job, start) = (Writes::default(), roots(&["job"]), Instant::now());
        writes.record(&job, start);
        assert_eq!(since(&writes, &job, start + MAX_AGE).as_deref(), Some("300.000"));
        assert_eq!(since(&writes, &job, start + MAX_AGE + Duration::from_millis(1)), None);
    }

    #[test]
    fn forgotten_writes_concern_all_reads() {
        let (writes, start) = (Writes::default(), Instant::now());
        for number in 0..MAX_PARENTS {
            writes.record(&roots(&[&number.to_string()]), start);
        }
        assert_eq!(since(&writes, &roots(&["job"]), start), None);
        writes.record(&roots(&["one more"]), start);
        assert_eq!(since(&writes, &roots(&["job"]), start).as_deref(), Some("0.000"));
        assert!(writes.lock().by_parent.is_empty());
    }

    #[test]
    fn a_write_counts_when_its_guard_is_dropped() {
        let (writes, job) = (Writes::default(), roots(&["job"]));
        let write = writes.start(job.clone());
        assert_eq!(since(&writes, &job, Instant::now()), None);
        drop(write);
        assert!(since(&writes, &job, Instant::now()).is_some());
    }

    #[test]
    fn an_rpc_reads_or_writes_by_its_name() {
        assert!(is_read("/taskgate.v1.TaskService/SummarizeTasks"));
        assert!(is_read("/taskgate.deadline.v1.DeadlineService/BatchGetTask"));
        assert!(is_write("/taskgate.v1.TaskService/CancelTask"));
        assert!(is_write("/taskgate.omics.v1.OmicsService/UploadReadSetPart"));
        assert!(!is_write("/taskgate.omics.v1.OmicsService/ListRuns"));
        assert!(!is_write("/grpc.health.v1.Health/Check"));
    }
}
