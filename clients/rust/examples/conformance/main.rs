//! The conformance runner of the Rust client. `clients/conformance/README.md` describes its protocol.

mod values;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use serde_json::{json, Value};
use taskgate_client::protos::taskgate::deadline::v1::GetFarmRequest;
use taskgate_client::v1::{
    BatchGetTasksRequest, BatchUpdateTasksRequest, CancelTaskRequest, GetTaskRequest,
    ListTasksRequest, RetryTaskRequest, StreamTaskLogsRequest, SummarizeTasksRequest,
    SuspendTaskRequest, TaskAction, TaskState, TaskUpdate, TaskView, WaitTaskRequest,
    WatchTasksRequest,
};
use taskgate_client::{Client, Error, Options, Tls, Token, Watch};
use tokio::io::{AsyncBufReadExt, BufReader};

#[derive(Deserialize, Default)]
#[serde(default)]
struct Command {
    r#do: String,
    address: String,
    tls: Option<TlsChoice>,
    token: Option<String>,
    token_file: Option<String>,
    token_sequence: Option<Vec<String>>,
    target: Option<String>,
    balance: bool,
    name: String,
    names: Vec<String>,
    parent: String,
    filter: String,
    page_size: i32,
    limit: i32,
    tail: i32,
    attempt: Option<i32>,
    follow: bool,
    max_age: Option<f64>,
    view: Option<String>,
    timeout: Option<f64>,
    cancel_after: Option<f64>,
    states: Vec<String>,
    request_id: String,
    reason: String,
    updates: BTreeMap<String, String>,
    until_settled: bool,
    heartbeat_interval: Option<f64>,
    skip: Vec<String>,
    service: String,
    farm_id: String,
    chunks: usize,
    kind: String,
    ids: Vec<String>,
}

#[derive(Deserialize)]
struct TlsChoice {
    ca: Option<String>,
    certificate: Option<String>,
    key: Option<String>,
    server_name: Option<String>,
}

enum Fault {
    Failed(Box<Error>),
    Invalid(String),
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        Self::Failed(Box::new(error))
    }
}

type Outcome = Result<Value, Fault>;

#[derive(Default)]
struct Runner {
    client: Option<Client>,
    watch: Option<Watch>,
}

#[tokio::main]
async fn main() {
    let mut runner = Runner::default();
    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    while let Some(line) = lines.next_line().await.expect("standard input") {
        let command = serde_json::from_str(&line).expect("a command");
        println!("{}", runner.run(command).await);
    }
}

impl Runner {
    async fn run(&mut self, command: Command) -> Value {
        let outcome = match command.cancel_after {
            Some(after) => match tokio::time::timeout(seconds(after), self.act(command)).await {
                Ok(outcome) => outcome,
                Err(_) => return json!({"cancelled": true}),
            },
            None => self.act(command).await,
        };
        match outcome {
            Ok(value) => json!({"ok": value}),
            Err(Fault::Failed(error)) => json!({"error": values::error(&error)}),
            Err(Fault::Invalid(why)) => json!({"invalid": why}),
        }
    }

    async fn act(&mut self, command: Command) -> Outcome {
        match command.r#do.as_str() {
            "connect" => self.connect(command).await,
            "parse_name" => values::parsed(&command.name).map_err(Fault::Invalid),
            "build_name" => values::built(&command.kind, &command.ids).map_err(Fault::Invalid),
            "watch" => Ok(self.begin_watch(command)),
            "next" => self.next_event(&command.skip).await,
            "close_watch" => {
                self.watch.as_mut().expect("a watch").close();
                Ok(json!({}))
            }
            "cancel_task" | "retry_task" | "suspend_task" | "batch_update_tasks" => {
                self.update(command).await
            }
            _ => self.read(command).await,
        }
    }

    async fn connect(&mut self, command: Command) -> Outcome {
        (self.watch, self.client) = (None, None);
        let token = match (command.token, command.token_file, command.token_sequence) {
            (Some(token), _, _) => Some(Token::text(token)),
            (_, Some(path), _) => Some(Token::file(path)),
            (_, _, Some(tokens)) => {
                let (tokens, calls) = (Arc::new(tokens), Arc::new(AtomicUsize::new(0)));
                Some(Token::callback(move || {
                    let number = calls.fetch_add(1, Ordering::Relaxed).min(tokens.len() - 1);
                    let token = tokens[number].clone();
                    async move { Ok(token) }
                }))
            }
            _ => None,
        };
        let tls = command.tls.map(|tls| Tls {
            ca: tls.ca.map(Into::into),
            certificate: tls.certificate.map(Into::into),
            key: tls.key.map(Into::into),
            server_name: tls.server_name,
        });
        let options = Options {
            tls,
            token,
            target: command.target,
            balance: command.balance,
            ..Options::default()
        };
        let connected = Client::connect(&command.address, options).await;
        self.client = Some(connected.map_err(|error| Fault::Invalid(error.to_string()))?);
        Ok(json!({}))
    }

    fn client(&self, timeout: Option<f64>) -> Client {
        let client = self.client.clone().expect("a client");
        match timeout {
            Some(timeout) => client.with_timeout(seconds(timeout)),
            None => client,
        }
    }

    async fn read(&self, command: Command) -> Outcome {
        let client = self.client(command.timeout);
        Ok(match command.r#do.as_str() {
            "get_task" => {
                let max_age = command.max_age.map(duration);
                let view = command.view.map_or(0, |view| {
                    let view = TaskView::from_str_name(&format!("TASK_VIEW_{view}"));
                    view.expect("a view").into()
                });
                let request = GetTaskRequest { name: command.name, max_age, view };
                values::task(&client.get_task(request).await?)
            }
            "batch_get_tasks" => {
                let request = BatchGetTasksRequest { names: command.names, ..Default::default() };
                let results = client.batch_get_tasks(request).await?;
                results
                    .iter()
                    .map(|each| each.as_ref().map_or_else(values::failed, values::task))
                    .collect()
            }
            "list_tasks" => list(&client, command).await?,
            "summarize_tasks" => {
                let request =
                    SummarizeTasksRequest { parent: command.parent, ..Default::default() };
                let response = client.summarize_tasks(request).await?;
                let counts = response.counts.unwrap_or_default();
                let states =
                    counts.states.iter().map(|each| (values::state(each.state), each.count));
                json!({
                    "total": counts.total, "states": states.collect::<BTreeMap<_, _>>(),
                    "settled": counts.settled, "parent": values::parent(response.parent_status.as_ref()),
                })
            }
            "wait_task" => {
                let states = command.states.iter().map(|each| {
                    TaskState::from_str_name(&format!("TASK_STATE_{each}")).expect("a state").into()
                });
                let states = states.collect();
                let request = WaitTaskRequest { name: command.name, states, ..Default::default() };
                let response = client.wait_task(request, command.timeout.map(seconds)).await?;
                json!({
                    "task": values::task(&response.task.unwrap_or_default()), "done": response.done,
                    "parent": values::parent(response.parent_status.as_ref()),
                })
            }
            "read_log" => {
                let mut log = client.stream_task_logs(StreamTaskLogsRequest {
                    name: command.name,
                    follow: command.follow,
                    limit: command.limit,
                    tail: command.tail,
                    attempt: command.attempt,
                    heartbeat_interval: command.heartbeat_interval.map(duration),
                    ..Default::default()
                });
                if let Some(timeout) = command.timeout {
                    log = log.with_timeout(seconds(timeout));
                }
                let mut lines = Vec::new();
                while let Some(line) = log.next().await {
                    lines.push(line?.message);
                }
                json!(lines)
            }
            "get_server_info" => {
                let info = client.get_server_info().await?;
                let services: Vec<_> =
                    info.aws_services.into_iter().map(|each| each.name).collect();
                json!({"version": info.version, "services": services})
            }
            "is_serving" => json!(client.is_serving(&command.service).await?),
            "get_farm" => {
                let request = GetFarmRequest { farm_id: Some(command.farm_id) };
                let farm = client.deadline().get_farm(request).await.map_err(Error::from)?;
                json!({"display_name": farm.into_inner().display_name})
            }
            "get_natively" => {
                let request = values::native_read(&command.name);
                let task = client.deadline().get_task(request).await.map_err(Error::from)?;
                json!({"run_status": values::run_status(task.into_inner().run_status)})
            }
            "suspend_natively" => {
                let request = values::native_suspension(&command.name);
                client.deadline().update_task(request).await.map_err(Error::from)?;
                json!({})
            }
            "upload" => {
                let chunks = futures_util::stream::iter(std::iter::repeat_n(
                    values::chunk(),
                    command.chunks,
                ));
                let response =
                    client.omics().upload_read_set_part(chunks).await.map_err(Error::from)?;
                json!({"checksum": response.into_inner().checksum})
            }
            other => return Err(Fault::Invalid(format!("unknown command {other}"))),
        })
    }

    async fn update(&self, command: Command) -> Outcome {
        let client = self.client(command.timeout);
        let Command { name, request_id, reason, .. } = command;
        let task = match command.r#do.as_str() {
            "cancel_task" => {
                client.cancel_task(CancelTaskRequest { name, request_id, reason }).await
            }
            "retry_task" => client.retry_task(RetryTaskRequest { name, request_id, reason }).await,
            "suspend_task" => {
                client.suspend_task(SuspendTaskRequest { name, request_id, reason }).await
            }
            _ => return batch_update(&client, command.updates).await,
        };
        Ok(values::task(&task?))
    }

    fn begin_watch(&mut self, command: Command) -> Value {
        let mut watch = self.client(None).watch_tasks(WatchTasksRequest {
            parent: command.parent,
            names: command.names,
            until_settled: command.until_settled,
            heartbeat_interval: command.heartbeat_interval.map(duration),
            ..Default::default()
        });
        if let Some(timeout) = command.timeout {
            watch = watch.with_timeout(seconds(timeout));
        }
        self.watch = Some(watch);
        json!({})
    }

    async fn next_event(&mut self, skip: &[String]) -> Outcome {
        let watch = self.watch.as_mut().expect("a watch");
        while let Some(event) = watch.next().await {
            let value = values::event(&event?);
            if !skip.iter().any(|kind| value["event"] == json!(kind)) {
                return Ok(value);
            }
        }
        Ok(json!({"event": "none"}))
    }
}

async fn list(client: &Client, command: Command) -> Outcome {
    let mut listing = client.list_tasks(ListTasksRequest {
        parent: command.parent,
        filter: command.filter,
        page_size: command.page_size,
        ..Default::default()
    });
    let limit = usize::try_from(command.limit).ok().filter(|limit| *limit > 0);
    let mut tasks = Vec::new();
    while let Some(task) = listing.next().await {
        tasks.push(values::task(&task?));
        if Some(tasks.len()) == limit {
            break;
        }
    }
    Ok(json!({"tasks": tasks, "total_size": listing.total_size()}))
}

async fn batch_update(client: &Client, updates: BTreeMap<String, String>) -> Outcome {
    let updates = updates.into_iter().map(|(name, action)| {
        let action =
            TaskAction::from_str_name(&format!("TASK_ACTION_{action}")).expect("an action");
        TaskUpdate { name, action: action.into() }
    });
    let request = BatchUpdateTasksRequest { updates: updates.collect(), ..Default::default() };
    let results = client.batch_update_tasks(request).await?;
    let error = |outcome: &Result<(), Error>| outcome.as_ref().err().map(values::failed);
    Ok(results.iter().map(|(name, outcome)| (name.clone(), json!(error(outcome)))).collect())
}

fn seconds(count: f64) -> Duration {
    Duration::from_secs_f64(count)
}

fn duration(count: f64) -> prost_types::Duration {
    seconds(count).try_into().expect("a duration of seconds")
}
