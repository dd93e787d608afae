//! The client: unified tasks, and the transport of other stubs.

use std::collections::HashMap;
use std::future::Future;
use std::time::Duration;

use tokio::time::{sleep, timeout, Instant};
use tonic::{Code, Request, Response, Status};

use crate::connect::Options;
use crate::error::Error;
use crate::listing::TaskListing;
use crate::log_session::LogSession;
use crate::parents::{roots, shared_parent, HasNames, PARENT_KEY};
use crate::protos::grpc::health::v1::health_check_response::ServingStatus;
use crate::protos::grpc::health::v1::health_client::HealthClient;
use crate::protos::grpc::health::v1::HealthCheckRequest;
use crate::protos::taskgate::v1::task_result::Result as Outcome;
use crate::protos::taskgate::v1::task_service_client::TaskServiceClient;
use crate::protos::taskgate::v1::{
    BatchGetTasksRequest, BatchUpdateTasksRequest, CancelTaskRequest, GetServerInfoRequest,
    GetServerInfoResponse, GetTaskRequest, ListTasksRequest, ListTasksResponse, RetryTaskRequest,
    StreamTaskLogsRequest, SummarizeTasksRequest, SummarizeTasksResponse, SuspendTaskRequest, Task,
    WaitTaskRequest, WaitTaskResponse, WatchTasksRequest,
};
use crate::stream::{TaskLog, Watch};
use crate::token::AnyError;
use crate::transport::Transport;
use crate::wait::{bounded, Step, WaitSession};
use crate::watch_session::WatchSession;

/// The timeout of unary calls that set none.
pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(30);

/// Maximum number of names in a request.
const MAX_NAMES: usize = 1_000;
/// A thousand tasks with AWS's own messages exceed gRPC's default of 4 MiB.
pub(crate) const MAX_MESSAGE_BYTES: usize = 64 * 1024 * 1024;

/// A connection to Taskgate. Clones share it.
#[derive(Clone, Debug)]
pub struct Client {
    transport: Transport,
    tasks: TaskServiceClient<Transport>,
    timeout: Duration,
}

impl Client {
    /// Returns a client of the server at an address, `host:port`. It connects with its first call.
    ///
    /// Reads that fail because a connection or server was lost are retried, a few times within a
    /// second or two.
    ///
    /// # Errors
    ///
    /// An option or the address is invalid, such as a token without TLS or a file that cannot be read.
    pub async fn connect(
        address: &str,
        options: Options,
    ) -> Result<Self, Box<dyn std::error::Error + Send + Sync>> {
        let transport: Result<Transport, AnyError> = options.connect(address).await;
        let transport = transport?;
        let tasks =
            TaskServiceClient::new(transport.clone()).max_decoding_message_size(MAX_MESSAGE_BYTES);
        Ok(Self { transport, tasks, timeout: DEFAULT_TIMEOUT })
    }

    /// Returns the client with another timeout for unary calls.
    #[must_use]
    pub fn with_timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Returns the transport for stubs of other services of the server, such as those of a plug-in:
    /// `BatchServiceClient::new(client.transport())`. Their calls have the token and the target of the
    /// client, and the default timeout, which also limits streams of services that it does not know.
    #[must_use]
    pub fn transport(&self) -> Transport {
        self.transport.clone()
    }

    /// Returns a task of either AWS service.
    ///
    /// # Errors
    ///
    /// The call failed.
    pub async fn get_task(&self, request: GetTaskRequest) -> Result<Task, Error> {
        let mut tasks = self.tasks.clone();
        let response = self.unary(request, |request| async move { tasks.get_task(request).await });
        Ok(response.await?.task.unwrap_or_default())
    }

    /// Returns any number of tasks: for each name, in order, the task or its error.
    ///
    /// # Errors
    ///
    /// A call failed as a whole.
    pub async fn batch_get_tasks(
        &self,
        request: BatchGetTasksRequest,
    ) -> Result<Vec<Result<Task, Error>>, Error> {
        let mut results = Vec::with_capacity(request.names.len());
        for names in request.names.chunks(MAX_NAMES) {
            let part = BatchGetTasksRequest { names: names.to_vec(), ..request.clone() };
            let mut tasks = self.tasks.clone();
            let response =
                self.unary(part, |part| async move { tasks.batch_get_tasks(part).await });
            results.extend(response.await?.results.into_iter().map(|each| match each.result {
                Some(Outcome::Task(task)) => Ok(task),
                Some(Outcome::Error(status)) => Err(Error::of_status(&status)),
                None => {
                    Err(Error::new(Code::Unknown, "unknown kind of result, from a newer server"))
                }
            }));
        }
        Ok(results)
    }

    /// Lists the tasks of a queue, job, step or run. The listing fetches pages as needed.
    #[must_use]
    pub fn list_tasks(&self, request: ListTasksRequest) -> TaskListing {
        let client = self.clone();
        let fetch = move |request| {
            let client = client.clone();
            Box::pin(async move { client.list_page(request).await }) as _
        };
        TaskListing::new(Box::new(fetch), request)
    }

    async fn list_page(&self, request: ListTasksRequest) -> Result<ListTasksResponse, Error> {
        let mut tasks = self.tasks.clone();
        self.unary(request, |request| async move { tasks.list_tasks(request).await }).await
    }

    /// Counts the tasks of a job, step or run by state.
    ///
    /// # Errors
    ///
    /// The call failed.
    pub async fn summarize_tasks(
        &self,
        request: SummarizeTasksRequest,
    ) -> Result<SummarizeTasksResponse, Error> {
        let mut tasks = self.tasks.clone();
        self.unary(request, |request| async move { tasks.summarize_tasks(request).await }).await
    }

    /// Watches the tasks of a parent, or the named tasks: a snapshot first, then every change.
    ///
    /// When the connection breaks, the server restarts, or three heartbeats are missed, the client
    /// reconnects and resumes the watch: after `Event::Reconnecting` comes `Event::Resumed`, or
    /// another `Event::Snapshot`.
    #[must_use]
    pub fn watch_tasks(&self, request: WatchTasksRequest) -> Watch {
        let tasks = self.tasks.clone();
        let open = move |request, limit| {
            let (mut tasks, request) = (tasks.clone(), prepared(request, limit));
            Box::pin(async move { tasks.watch_tasks(request).await.map(Response::into_inner) }) as _
        };
        Watch::new(WatchSession::new(request), Box::new(open))
    }

    /// Waits until a task is in one of the states, or has settled if the request has none, also across
    /// restarts of the server. The response is also `done`, with a `parent_status`, if the task can
    /// never settle because its run or job has ended. It is not `done` after a timeout.
    ///
    /// # Errors
    ///
    /// The task does not exist or is deleted during the wait, the wait timed out without a response, or
    /// a call failed.
    pub async fn wait_task(
        &self,
        request: WaitTaskRequest,
        timeout: Option<Duration>,
    ) -> Result<WaitTaskResponse, Error> {
        let request = bounded(request);
        let mut session = WaitSession::new(timeout.map(|timeout| Instant::now() + timeout));
        loop {
            let start = Instant::now();
            let mut tasks = self.tasks.clone();
            let call = |request| async move { tasks.wait_task(request).await };
            let outcome = within(session.call_timeout(start), request.clone(), call).await;
            match session.take(outcome, start, Instant::now())? {
                Step::Done(response) => return Ok(*response),
                Step::CallAfter(pause) => sleep(pause).await,
            }
        }
    }

    /// Cancels a task of Deadline Cloud. With a request id the call is idempotent.
    ///
    /// # Errors
    ///
    /// The task's state or its AWS service does not allow it, or the call failed.
    pub async fn cancel_task(&self, request: CancelTaskRequest) -> Result<Task, Error> {
        let mut tasks = self.tasks.clone();
        let response =
            self.unary(request, |request| async move { tasks.cancel_task(request).await });
        Ok(response.await?.task.unwrap_or_default())
    }

    /// Queues a task of Deadline Cloud again.
    ///
    /// # Errors
    ///
    /// See [`Client::cancel_task`].
    pub async fn retry_task(&self, request: RetryTaskRequest) -> Result<Task, Error> {
        let mut tasks = self.tasks.clone();
        let response =
            self.unary(request, |request| async move { tasks.retry_task(request).await });
        Ok(response.await?.task.unwrap_or_default())
    }

    /// Suspends a task of Deadline Cloud.
    ///
    /// # Errors
    ///
    /// See [`Client::cancel_task`].
    pub async fn suspend_task(&self, request: SuspendTaskRequest) -> Result<Task, Error> {
        let mut tasks = self.tasks.clone();
        let response =
            self.unary(request, |request| async move { tasks.suspend_task(request).await });
        Ok(response.await?.task.unwrap_or_default())
    }

    /// Cancels, retries and suspends up to 1,000 tasks; returns the outcome of each by name.
    ///
    /// # Errors
    ///
    /// The call failed as a whole, without any update.
    pub async fn batch_update_tasks(
        &self,
        request: BatchUpdateTasksRequest,
    ) -> Result<HashMap<String, Result<(), Error>>, Error> {
        let mut tasks = self.tasks.clone();
        let call = |request| async move { tasks.batch_update_tasks(request).await };
        let results = self.unary(request, call).await?.results.into_iter();
        let outcome = |status: crate::protos::google::rpc::Status| Err(Error::of_status(&status));
        Ok(results.map(|each| (each.name, each.error.map_or(Ok(()), outcome))).collect())
    }

    /// Reads the log of a task; with `follow` it continues until the task has settled. When the
    /// connection breaks, or three heartbeats are missed, the client calls again and continues. It
    /// returns no line twice.
    #[must_use]
    pub fn stream_task_logs(&self, request: StreamTaskLogsRequest) -> TaskLog {
        let tasks = self.tasks.clone();
        let open = move |request, limit| {
            let (mut tasks, request) = (tasks.clone(), prepared(request, limit));
            Box::pin(async move { tasks.stream_task_logs(request).await.map(Response::into_inner) })
                as _
        };
        TaskLog::new(LogSession::new(request), Box::new(open))
    }

    /// Returns the server's version, and which AWS services it can call now.
    ///
    /// # Errors
    ///
    /// The call failed.
    pub async fn get_server_info(&self) -> Result<GetServerInfoResponse, Error> {
        let mut tasks = self.tasks.clone();
        let call = |request| async move { tasks.get_server_info(request).await };
        self.unary(GetServerInfoRequest {}, call).await
    }

    /// Returns whether a gRPC service of the server is serving; the empty name is the whole server.
    ///
    /// # Errors
    ///
    /// The call failed, such as for an unknown service.
    pub async fn is_serving(&self, service: &str) -> Result<bool, Error> {
        let mut health = HealthClient::new(self.transport.clone());
        let request = HealthCheckRequest { service: service.to_owned() };
        let response = self.unary(request, |request| async move { health.check(request).await });
        Ok(response.await?.status == i32::from(ServingStatus::Serving))
    }

    async fn unary<Q, A, C, F>(&self, request: Q, call: C) -> Result<A, Error>
    where
        Q: HasNames,
        C: FnOnce(Request<Q>) -> F,
        F: Future<Output = Result<Response<A>, Status>>,
    {
        within(self.timeout, request, call).await
    }
}

/// Makes a call with a timeout, which the server enforces, too.
async fn within<Q, A, C, F>(limit: Duration, request: Q, call: C) -> Result<A, Error>
where
    Q: HasNames,
    C: FnOnce(Request<Q>) -> F,
    F: Future<Output = Result<Response<A>, Status>>,
{
    match timeout(limit, call(prepared(request, Some(limit)))).await {
        Ok(outcome) => Ok(outcome?.into_inner()),
        Err(_) => Err(Error::new(Code::DeadlineExceeded, "timed out")),
    }
}

/// Returns a request with its metadata and timeout.
fn prepared<Q: HasNames>(request: Q, limit: Option<Duration>) -> Request<Q> {
    let parent = shared_parent(&request).and_then(|parent| parent.parse().ok());
    let roots = roots(&request);
    let mut request = Request::new(request);
    request.extensions_mut().insert(roots);
    if let Some(parent) = parent {
        request.metadata_mut().insert(PARENT_KEY, parent);
    }
    if let Some(limit) = limit {
        request.set_timeout(limit);
    }
    request
}
