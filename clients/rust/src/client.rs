//! The client: one channel, the unified tasks, and every operation of both AWS services.

use std::collections::HashMap;
use std::future::Future;
use std::time::Duration;

use tokio::time::{sleep, timeout, Instant};
use tonic::{Code, Request, Response, Status};

use crate::connect::{AnyError, Options};
use crate::error::Error;
use crate::listing::TaskListing;
use crate::log_session::LogSession;
use crate::parents::{shared_parent, Naming, PARENT};
use crate::protos::grpc::health::v1::health_check_response::ServingStatus;
use crate::protos::grpc::health::v1::health_client::HealthClient;
use crate::protos::grpc::health::v1::HealthCheckRequest;
use crate::protos::taskgate::deadline::v1::deadline_service_client::DeadlineServiceClient;
use crate::protos::taskgate::omics::v1::omics_service_client::OmicsServiceClient;
use crate::protos::taskgate::v1::task_result::Result as Outcome;
use crate::protos::taskgate::v1::task_service_client::TaskServiceClient;
use crate::protos::taskgate::v1::{
    BatchGetTasksRequest, BatchUpdateTasksRequest, CancelTaskRequest, GetServerInfoRequest,
    GetServerInfoResponse, GetTaskRequest, ListTasksRequest, ListTasksResponse, RetryTaskRequest,
    StreamTaskLogsRequest, SummarizeTasksRequest, SummarizeTasksResponse, SuspendTaskRequest, Task,
    WaitTaskRequest, WaitTaskResponse, WatchTasksRequest,
};
use crate::stream::{TaskLog, Watch};
use crate::transport::Transport;
use crate::wait::{bounded, Step, WaitSession};
use crate::watch_session::WatchSession;

/// Ends calls for which no other time is set.
pub const DEFAULT_TIME_LIMIT: Duration = Duration::from_secs(30);

/// How many tasks one request may name.
const MOST_NAMES: usize = 1_000;
/// A thousand tasks, each with AWS's own answer, are more than the 4 MiB that gRPC starts with.
const MAX_MESSAGE_BYTES: usize = 64 * 1024 * 1024;

/// A connection to Taskgate. Clones share it.
#[derive(Clone, Debug)]
pub struct Client {
    transport: Transport,
    tasks: TaskServiceClient<Transport>,
    time_limit: Duration,
}

impl Client {
    /// A client of the server at an address, `host:port`. Nothing is sent until the first call.
    ///
    /// Reads that find a connection or a server gone are made again, a few times within a second or
    /// two.
    ///
    /// # Errors
    ///
    /// An option or the address cannot be: a token without TLS, a file that cannot be read.
    pub async fn connect(
        address: &str,
        options: Options,
    ) -> Result<Self, Box<dyn std::error::Error + Send + Sync>> {
        let transport: Result<Transport, AnyError> = options.connect(address).await;
        let transport = transport?;
        let tasks =
            TaskServiceClient::new(transport.clone()).max_decoding_message_size(MAX_MESSAGE_BYTES);
        Ok(Self { transport, tasks, time_limit: DEFAULT_TIME_LIMIT })
    }

    /// The same client with another time for each call.
    #[must_use]
    pub fn with_time_limit(mut self, limit: Duration) -> Self {
        self.time_limit = limit;
        self
    }

    /// Every operation of AWS Deadline Cloud. `Error::from` unpacks its errors. Unary calls
    /// end after [`DEFAULT_TIME_LIMIT`] unless the request's `set_timeout` says otherwise.
    #[must_use]
    pub fn deadline(&self) -> DeadlineServiceClient<Transport> {
        DeadlineServiceClient::new(self.transport.clone())
            .max_decoding_message_size(MAX_MESSAGE_BYTES)
    }

    /// Every operation of AWS HealthOmics; all else is as of `deadline`.
    #[must_use]
    pub fn omics(&self) -> OmicsServiceClient<Transport> {
        OmicsServiceClient::new(self.transport.clone()).max_decoding_message_size(MAX_MESSAGE_BYTES)
    }

    /// One task of either AWS service.
    ///
    /// # Errors
    ///
    /// Whatever went wrong; so of all methods.
    pub async fn get_task(&self, request: GetTaskRequest) -> Result<Task, Error> {
        let mut tasks = self.tasks.clone();
        let answer = self.unary(request, |request| async move { tasks.get_task(request).await });
        Ok(answer.await?.task.unwrap_or_default())
    }

    /// Any number of tasks: for each name, in their order, the task, or its error.
    ///
    /// # Errors
    ///
    /// None of them could be had.
    pub async fn batch_get_tasks(
        &self,
        request: BatchGetTasksRequest,
    ) -> Result<Vec<Result<Task, Error>>, Error> {
        let mut results = Vec::with_capacity(request.names.len());
        for names in request.names.chunks(MOST_NAMES) {
            let part = BatchGetTasksRequest { names: names.to_vec(), ..request.clone() };
            let mut tasks = self.tasks.clone();
            let answer = self.unary(part, |part| async move { tasks.batch_get_tasks(part).await });
            results.extend(answer.await?.results.into_iter().map(|each| match each.result {
                Some(Outcome::Task(task)) => Ok(task),
                Some(Outcome::Error(status)) => Err(Error::of_status(&status)),
                None => Err(Error::new(Code::Unknown, "a result of a newer server")),
            }));
        }
        Ok(results)
    }

    /// The tasks of a queue, a job, a step or a run; asks for page after page by itself.
    #[must_use]
    pub fn list_tasks(&self, request: ListTasksRequest) -> TaskListing {
        TaskListing::new(self.clone(), request)
    }

    pub(crate) async fn list_page(
        &self,
        request: ListTasksRequest,
    ) -> Result<ListTasksResponse, Error> {
        let mut tasks = self.tasks.clone();
        self.unary(request, |request| async move { tasks.list_tasks(request).await }).await
    }

    /// How many tasks of a job, a step or a run are in which state.
    ///
    /// # Errors
    ///
    /// Whatever went wrong.
    pub async fn summarize_tasks(
        &self,
        request: SummarizeTasksRequest,
    ) -> Result<SummarizeTasksResponse, Error> {
        let mut tasks = self.tasks.clone();
        self.unary(request, |request| async move { tasks.summarize_tasks(request).await }).await
    }

    /// The tasks of a parent, or those named, and every change of them.
    ///
    /// When the connection breaks, the server is started anew, or nothing is heard for three
    /// heartbeats, the watch goes on by itself where it was: `Event::Reconnecting` tells of it, then
    /// `Event::Resumed`, or a new `Event::Snapshot`.
    #[must_use]
    pub fn watch_tasks(&self, request: WatchTasksRequest) -> Watch {
        let tasks = self.tasks.clone();
        let open = move |request, limit| {
            let (mut tasks, request) = (tasks.clone(), limited(request, limit));
            Box::pin(async move { tasks.watch_tasks(request).await.map(Response::into_inner) }) as _
        };
        Watch::new(WatchSession::new(request), Box::new(open))
    }

    /// Waits until a task is in one of the states, or has settled if the request names none, also
    /// across restarts of the server. The response is `done`, with a `parent_status`, too, if the task
    /// can never settle because its run or job has ended. It is not `done` when the time is up.
    ///
    /// # Errors
    ///
    /// There is no such task, it vanishes, or whatever went wrong.
    pub async fn wait_task(
        &self,
        request: WaitTaskRequest,
        time_limit: Option<Duration>,
    ) -> Result<WaitTaskResponse, Error> {
        let request = bounded(request);
        let mut session = WaitSession::new(time_limit.map(|limit| Instant::now() + limit));
        loop {
            let asked = Instant::now();
            let mut tasks = self.tasks.clone();
            let call = |request| async move { tasks.wait_task(request).await };
            let outcome = within(session.call_limit(asked), request.clone(), call).await;
            match session.take(outcome, asked, Instant::now())? {
                Step::Over(answer) => return Ok(*answer),
                Step::Again(pause) => sleep(pause).await,
            }
        }
    }

    /// Ends a task of Deadline Cloud. With a request id it is safe to call again.
    ///
    /// # Errors
    ///
    /// The task's state forbids it, or its AWS service cannot, or whatever went wrong.
    pub async fn cancel_task(&self, request: CancelTaskRequest) -> Result<Task, Error> {
        let mut tasks = self.tasks.clone();
        let answer = self.unary(request, |request| async move { tasks.cancel_task(request).await });
        Ok(answer.await?.task.unwrap_or_default())
    }

    /// Queues a task of Deadline Cloud again.
    ///
    /// # Errors
    ///
    /// As of `cancel_task`.
    pub async fn retry_task(&self, request: RetryTaskRequest) -> Result<Task, Error> {
        let mut tasks = self.tasks.clone();
        let answer = self.unary(request, |request| async move { tasks.retry_task(request).await });
        Ok(answer.await?.task.unwrap_or_default())
    }

    /// Holds a task of Deadline Cloud.
    ///
    /// # Errors
    ///
    /// As of `cancel_task`.
    pub async fn suspend_task(&self, request: SuspendTaskRequest) -> Result<Task, Error> {
        let mut tasks = self.tasks.clone();
        let answer =
            self.unary(request, |request| async move { tasks.suspend_task(request).await });
        Ok(answer.await?.task.unwrap_or_default())
    }

    /// Cancels, retries and suspends up to 1,000 tasks: by name what became of each.
    ///
    /// # Errors
    ///
    /// Nothing was done.
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

    /// What a task has written to its log, and with `follow` what it writes later. When the connection
    /// breaks, or three heartbeats of the server do not come, it calls again and continues; no line is
    /// returned twice.
    #[must_use]
    pub fn stream_task_logs(&self, request: StreamTaskLogsRequest) -> TaskLog {
        let tasks = self.tasks.clone();
        let open = move |request, limit| {
            let (mut tasks, request) = (tasks.clone(), limited(request, limit));
            Box::pin(async move { tasks.stream_task_logs(request).await.map(Response::into_inner) })
                as _
        };
        TaskLog::new(LogSession::new(request), Box::new(open))
    }

    /// What the server is and which AWS services it can serve now.
    ///
    /// # Errors
    ///
    /// The server could not be asked.
    pub async fn get_server_info(&self) -> Result<GetServerInfoResponse, Error> {
        let mut tasks = self.tasks.clone();
        let call = |request| async move { tasks.get_server_info(request).await };
        self.unary(GetServerInfoRequest {}, call).await
    }

    /// Whether a gRPC service of the server can be used now; the empty name is the whole server.
    ///
    /// # Errors
    ///
    /// The server could not be asked, or has no such service.
    pub async fn is_serving(&self, service: &str) -> Result<bool, Error> {
        let mut health = HealthClient::new(self.transport.clone());
        let request = HealthCheckRequest { service: service.to_owned() };
        let answer = self.unary(request, |request| async move { health.check(request).await });
        Ok(answer.await?.status == i32::from(ServingStatus::Serving))
    }

    async fn unary<Q, A, C, F>(&self, request: Q, call: C) -> Result<A, Error>
    where
        Q: Naming,
        C: FnOnce(Request<Q>) -> F,
        F: Future<Output = Result<Response<A>, Status>>,
    {
        within(self.time_limit, request, call).await
    }
}

/// Makes a call that ends after so long, here and at the server.
async fn within<Q, A, C, F>(limit: Duration, request: Q, call: C) -> Result<A, Error>
where
    Q: Naming,
    C: FnOnce(Request<Q>) -> F,
    F: Future<Output = Result<Response<A>, Status>>,
{
    match timeout(limit, call(limited(request, Some(limit)))).await {
        Ok(outcome) => Ok(outcome?.into_inner()),
        Err(_) => Err(Error::new(Code::DeadlineExceeded, "the time is up")),
    }
}

/// A request with what is told beside it.
fn limited<Q: Naming>(request: Q, limit: Option<Duration>) -> Request<Q> {
    let parent = shared_parent(&request).and_then(|parent| parent.parse().ok());
    let mut request = Request::new(request);
    if let Some(parent) = parent {
        request.metadata_mut().insert(PARENT, parent);
    }
    if let Some(limit) = limit {
        request.set_timeout(limit);
    }
    request
}
