//! The job or run that a call is about, sent as metadata for proxies, which cannot read messages.
//!
//! A proxy that hashes it routes all calls about one job to one replica. The server does not read it.

use crate::protos::grpc::health::v1::HealthCheckRequest;
use crate::protos::taskgate::v1::{
    BatchGetTasksRequest, BatchUpdateTasksRequest, CancelTaskRequest, GetServerInfoRequest,
    GetTaskRequest, ListTasksRequest, RetryTaskRequest, StreamTaskLogsRequest,
    SummarizeTasksRequest, SuspendTaskRequest, WaitTaskRequest, WatchTasksRequest,
};

/// The metadata key.
pub(crate) const PARENT_KEY: &str = "taskgate-parent";

/// Collections whose members the server polls as a whole, with their steps and tasks.
const POLLED_COLLECTIONS: [&str; 2] = ["jobs", "runs"];

/// A request with names.
pub(crate) trait HasNames {
    fn names(&self) -> Vec<&str>;
}

macro_rules! has_names {
    ($($request:ident: |$this:ident| $names:expr;)*) => {
        $(impl HasNames for $request {
            fn names(&self) -> Vec<&str> {
                let $this = self;
                $names
            }
        })*
    };
}

has_names! {
    GetTaskRequest: |request| vec![&request.name];
    WaitTaskRequest: |request| vec![&request.name];
    CancelTaskRequest: |request| vec![&request.name];
    RetryTaskRequest: |request| vec![&request.name];
    SuspendTaskRequest: |request| vec![&request.name];
    StreamTaskLogsRequest: |request| vec![&request.name];
    ListTasksRequest: |request| vec![&request.parent];
    SummarizeTasksRequest: |request| vec![&request.parent];
    WatchTasksRequest: |request| {
        let parent = Some(&request.parent).filter(|parent| !parent.is_empty());
        parent.into_iter().chain(&request.names).map(String::as_str).collect()
    };
    BatchGetTasksRequest: |request| request.names.iter().map(String::as_str).collect();
    BatchUpdateTasksRequest: |request| request.updates.iter().map(|each| &*each.name).collect();
    GetServerInfoRequest: |_request| vec![];
    HealthCheckRequest: |_request| vec![];
}

/// Returns the parent that all names in a request share; `None` if there is none.
pub(crate) fn shared_parent(request: &impl HasNames) -> Option<&str> {
    let mut parents = request.names().into_iter().map(parent_of);
    let parent = parents.next()?;
    // Metadata has to be printable ASCII. No valid name is anything else; the server rejects it.
    let can_be_sent = !parent.is_empty() && parent.bytes().all(|each| matches!(each, b' '..=b'~'));
    (can_be_sent && parents.all(|other| other == parent)).then_some(parent)
}

/// Returns the job or run in the name of a job, run, step or task; any other name unchanged.
fn parent_of(name: &str) -> &str {
    let parts: Vec<&str> = name.split('/').collect();
    let polled =
        (1..parts.len()).step_by(2).find(|index| POLLED_COLLECTIONS.contains(&parts[*index]));
    polled.map_or(name, |index| {
        let length: usize = parts.iter().take(index + 2).map(|part| part.len() + 1).sum();
        &name[..length - 1]
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protos::taskgate::v1::TaskUpdate;

    const JOB: &str = "deadline/farms/farm-1/queues/queue-2/jobs/job-3";
    const RUN: &str = "omics/runs/1234567";

    fn tasks() -> Vec<String> {
        (0..3).map(|number| format!("{RUN}/tasks/{number}")).collect()
    }

    #[test]
    fn the_parent_of_a_name_is_its_job_or_run() {
        for (name, parent) in [
            (&*format!("{JOB}/steps/step-4/tasks/task-5"), JOB),
            (&*format!("{JOB}/steps/step-4"), JOB),
            (JOB, JOB),
            ("deadline/farms/farm-1/queues/queue-2", "deadline/farms/farm-1/queues/queue-2"),
            (&*format!("{RUN}/tasks/8"), RUN),
            (RUN, RUN),
            (
                "deadline/farms/jobs/queues/runs/jobs/job-3/steps/s",
                "deadline/farms/jobs/queues/runs/jobs/job-3",
            ),
            ("omics/runs", "omics/runs"),
            ("no name", "no name"),
        ] {
            assert_eq!(parent_of(name), parent);
        }
    }

    #[test]
    fn names_with_one_parent_share_it() {
        let together = BatchGetTasksRequest { names: tasks(), ..Default::default() };
        assert_eq!(shared_parent(&together), Some(RUN));
        let updates = tasks().into_iter().map(|name| TaskUpdate { name, ..Default::default() });
        let changes = BatchUpdateTasksRequest { updates: updates.collect(), ..Default::default() };
        assert_eq!(shared_parent(&changes), Some(RUN));

        let watch = |parent: &str, names| WatchTasksRequest {
            parent: parent.to_owned(),
            names,
            ..Default::default()
        };
        assert_eq!(shared_parent(&watch("", tasks())), Some(RUN));
        assert_eq!(shared_parent(&watch(&format!("{JOB}/steps/s"), vec![])), Some(JOB));
        assert_eq!(shared_parent(&watch(JOB, tasks())), None);
        let mut apart = tasks();
        apart.push(format!("{JOB}/steps/s/tasks/t"));
        assert_eq!(shared_parent(&watch("", apart)), None);
    }

    #[test]
    fn a_name_that_is_not_printable_ascii_has_no_shared_parent() {
        for name in ["omics/runs/größe/tasks/1", "omics/runs/1\n/tasks/1", "omics/runs/1\t", ""] {
            let request = GetTaskRequest { name: name.to_owned(), ..Default::default() };
            assert_eq!(shared_parent(&request), None, "{name:?}");
        }
    }

    #[test]
    fn a_request_without_names_has_no_shared_parent() {
        assert_eq!(shared_parent(&GetServerInfoRequest {}), None);
        assert_eq!(shared_parent(&WatchTasksRequest::default()), None);
        assert_eq!(shared_parent(&HealthCheckRequest { service: RUN.to_owned() }), None);
    }
}
