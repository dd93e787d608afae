//! The parent that a call is about, sent as metadata for proxies, which cannot read messages.
//!
//! A proxy that hashes it routes all calls about one job to one replica. The server does not read it.
//!
//! It is the parent that the server polls with everything it contains, such as a job or a run. Names of
//! services that this version does not know belong to what directly contains the task.

use crate::name_forms::matched;
use crate::names::ROOT_FORMS;
use crate::protos::grpc::health::v1::HealthCheckRequest;
use crate::protos::taskgate::v1::{
    BatchGetTasksRequest, BatchUpdateTasksRequest, CancelTaskRequest, GetServerInfoRequest,
    GetTaskRequest, ListTasksRequest, RetryTaskRequest, StreamTaskLogsRequest,
    SummarizeTasksRequest, SuspendTaskRequest, WaitTaskRequest, WatchTasksRequest,
};

use crate::writes::Roots;

/// The metadata key.
pub(crate) const PARENT_KEY: &str = "taskgate-parent";

/// A request with names of tasks, of a parent, or of both.
pub(crate) trait HasNames {
    /// Returns the parent of each name.
    fn parents(&self) -> Vec<&str>;
}

macro_rules! has_names {
    ($($request:ident: |$this:ident| $parents:expr;)*) => {
        $(impl HasNames for $request {
            fn parents(&self) -> Vec<&str> {
                let $this = self;
                $parents
            }
        })*
    };
}

has_names! {
    GetTaskRequest: |request| vec![parent_of_task(&request.name)];
    WaitTaskRequest: |request| vec![parent_of_task(&request.name)];
    CancelTaskRequest: |request| vec![parent_of_task(&request.name)];
    RetryTaskRequest: |request| vec![parent_of_task(&request.name)];
    SuspendTaskRequest: |request| vec![parent_of_task(&request.name)];
    StreamTaskLogsRequest: |request| vec![parent_of_task(&request.name)];
    ListTasksRequest: |request| vec![parent_of(&request.parent)];
    SummarizeTasksRequest: |request| vec![parent_of(&request.parent)];
    WatchTasksRequest: |request| {
        let parent = Some(&*request.parent).filter(|parent| !parent.is_empty());
        let tasks = request.names.iter().map(|name| parent_of_task(name));
        parent.map(parent_of).into_iter().chain(tasks).collect()
    };
    BatchGetTasksRequest: |request| request.names.iter().map(|name| parent_of_task(name)).collect();
    BatchUpdateTasksRequest: |request| {
        request.updates.iter().map(|each| parent_of_task(&each.name)).collect()
    };
    GetServerInfoRequest: |_request| vec![];
    HealthCheckRequest: |_request| vec![];
}

/// Returns the parent that all names in a request share; `None` if there is none.
pub(crate) fn shared_parent(request: &impl HasNames) -> Option<&str> {
    let mut parents = request.parents().into_iter();
    let parent = parents.next()?;
    // Metadata has to be printable ASCII. No valid name is anything else; the server rejects it.
    let can_be_sent = !parent.is_empty() && parent.bytes().all(|each| matches!(each, b' '..=b'~'));
    (can_be_sent && parents.all(|other| other == parent)).then_some(parent)
}

/// Returns the jobs and runs of all names in a request.
pub(crate) fn roots(request: &impl HasNames) -> Roots {
    let parents = request.parents();
    let is_root = |name: &&str| root_of(name).is_some_and(|root| matched(root, name).is_some());
    let are_roots = !parents.is_empty() && parents.iter().all(is_root);
    Roots(are_roots.then(|| parents.into_iter().map(str::to_owned).collect()))
}

/// Returns the job or run in the name of a job, run, step or task; any other name unchanged.
fn parent_of(name: &str) -> &str {
    let Some(root) = root_of(name) else { return name };
    let length: usize =
        name.split('/').take(root.split('/').count()).map(|part| part.len() + 1).sum();
    let start = &name[..length - 1];
    if matched(root, start).is_some() {
        start
    } else {
        name
    }
}

/// Returns the job or run of a task, or what contains the task of an unknown service.
fn parent_of_task(name: &str) -> &str {
    if root_of(name).is_some() || name.split('/').count() <= 3 {
        return parent_of(name);
    }
    name.rsplitn(3, '/').last().unwrap_or(name)
}

/// Returns the form of the parents of a name's service that are polled as a whole.
fn root_of(name: &str) -> Option<&'static str> {
    let service = name.split('/').next();
    ROOT_FORMS.iter().copied().find(|form| form.split('/').next() == service)
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
    fn a_request_concerns_the_jobs_and_runs_in_its_names_or_also_others() {
        let task = format!("{JOB}/steps/step-4/tasks/task-5");
        let names = |names: &[&str]| BatchGetTasksRequest {
            names: names.iter().map(ToString::to_string).collect(),
            ..Default::default()
        };
        let both = Some(vec![JOB.to_owned(), RUN.to_owned()]);
        assert_eq!(roots(&names(&[&task, "omics/runs/1234567/tasks/1"])).0, both);
        assert_eq!(roots(&names(&[&task, "batch/queues/q/jobs/j"])).0, None);
        let queue = "deadline/farms/f/queues/q".to_owned();
        assert_eq!(roots(&ListTasksRequest { parent: queue, ..Default::default() }).0, None);
        assert_eq!(roots(&GetServerInfoRequest {}).0, None);
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
    fn the_parent_of_a_task_of_any_service_is_what_contains_it() {
        for (name, parent) in [
            (&*format!("{RUN}/tasks/8"), RUN),
            ("batch/queues/q/jobs/j", "batch/queues/q"),
            ("batch/queues/q/jobs/j/childJobs/3", "batch/queues/q/jobs/j"),
            ("batch/queues/q", "batch/queues/q"),
            ("no name", "no name"),
        ] {
            assert_eq!(parent_of_task(name), parent);
            let request = GetTaskRequest { name: name.to_owned(), ..Default::default() };
            assert_eq!(shared_parent(&request), Some(parent));
        }
        let parent = "batch/queues/q/jobs/j".to_owned();
        let request = WatchTasksRequest { parent: parent.clone(), ..Default::default() };
        assert_eq!(shared_parent(&request), Some(&*parent));
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
