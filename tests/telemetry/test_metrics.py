"""Metrics, as Prometheus sees them over HTTP while callers call over gRPC."""

from __future__ import annotations

import socket
import urllib.error
import urllib.request
from collections.abc import Iterator

import grpc
import pytest

from taskgate.v1 import task_log_pb2, task_watch_pb2
from taskgate_client import CallError, Client, DeadlineTaskName, connect
from taskgate_emulator import Emulator
from taskgate_emulator.seeds import ids as seed
from taskgate_server.ports import ListenError
from taskgate_server.upstream.event_queue import Lag
from tests.support.demo_names import RUNNING_NAME
from tests.support.metered_server import MeteredServer, metered_server
from tests.support.running_server import REGION, running_app, settings_for

JOB = str(RUNNING_NAME).partition("/steps/")[0]
PENDING = f"{JOB}/steps/{seed.COMPOSITE_STEP_ID}/tasks/{seed.PENDING_TASK_ID}"
GET_TASK = "taskgate.v1.TaskService/GetTask"
WATCH = "taskgate.v1.TaskService/WatchTasks"
SECRET = "/mnt/shots/secret"


@pytest.fixture(scope="module")
def upstream() -> Iterator[Emulator]:
    with Emulator() as emulator:
        yield emulator


@pytest.fixture
def observed(upstream: Emulator) -> Iterator[MeteredServer]:
    with metered_server(upstream.endpoint_url, default_max_age_seconds=60) as observed:
        yield observed


@pytest.fixture
def caller(observed: MeteredServer) -> Iterator[Client]:
    with connect(observed.address) as client:
        yield client


def test_rpcs_are_counted_by_method_and_code_with_their_latency(
    observed: MeteredServer, caller: Client
) -> None:
    for _ in range(3):
        caller.get_task(RUNNING_NAME)
    with pytest.raises(CallError):
        caller.get_task("omics/nothing")
    assert observed.value("taskgate_rpcs_total", method=GET_TASK, code="OK") == 3
    assert observed.value("taskgate_rpcs_total", method=GET_TASK, code="INVALID_ARGUMENT") == 1
    assert observed.value("taskgate_rpc_duration_seconds_count", method=GET_TASK) == 4
    assert 0 < observed.value("taskgate_rpc_duration_seconds_sum", method=GET_TASK) < 60


def test_unknown_methods_share_one_label(observed: MeteredServer) -> None:
    with grpc.insecure_channel(observed.address) as channel:
        for method in ("/a.B/C", "/a.B/D", "/taskgate.v1.TaskService/Nope"):
            unary: grpc.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(method)
            with pytest.raises(grpc.RpcError):
                unary(b"")
    methods = {sample.labels["method"] for sample in observed.families()["taskgate_rpcs"].samples}
    assert methods == {"unknown"}
    assert observed.value("taskgate_rpcs_total", method="unknown", code="UNIMPLEMENTED") == 3


def test_aws_calls_and_cached_responses_are_counted(
    observed: MeteredServer, caller: Client
) -> None:
    for _ in range(5):
        caller.get_task(RUNNING_NAME)
    labels = {"service": "deadline", "operation": "GetTask"}
    assert observed.value("taskgate_aws_calls_total", **labels, code="OK") == 1
    assert observed.value("taskgate_aws_call_duration_seconds_count", **labels) == 1
    assert observed.value("taskgate_reads_total", service="deadline", by="cache") == 4
    assert observed.value("taskgate_reads_total", service="deadline", by="sent") == 1
    assert observed.value("taskgate_cache_entries", service="deadline") == 1
    assert observed.value("taskgate_cache_bytes", service="deadline") > 100
    assert 0 < observed.value("taskgate_cache_oldest_seconds", service="deadline") < 60


def test_batch_sizes_are_counted(observed: MeteredServer, caller: Client) -> None:
    names = [
        DeadlineTaskName(seed.FARM_ID, seed.QUEUE_ID, seed.JOB_ID, seed.RENDER_STEP_ID, task)
        for task in (seed.RUNNING_TASK_ID, seed.FAILED_TASK_ID)
    ]
    caller.batch_get_tasks(names)
    sizes = observed.families()["taskgate_aws_batch_items"].samples
    total = sum(each.value for each in sizes if each.name.endswith("_sum"))
    assert total == observed.value("taskgate_reads_total", service="deadline", by="batched")
    assert total + observed.value("taskgate_reads_total", service="deadline", by="sent") == 2


def test_throttles_and_retries_are_counted(upstream: Emulator) -> None:
    learned = {
        "region": REGION,
        "endpoint_url": upstream.endpoint_url,
        "quotas": "learned",
        "max_attempts": 2,
    }
    aws = {"deadline": learned, "omics": learned}
    with (
        metered_server(upstream.endpoint_url, aws=aws) as observed,
        connect(observed.address) as caller,
    ):
        upstream.fail("deadline", "GetTask", "ThrottlingException")
        caller.get_task(RUNNING_NAME)
        labels = {"service": "deadline", "operation": "GetTask"}
        assert observed.value("taskgate_aws_throttles_total", **labels) == 1
        throttled = observed.value("taskgate_aws_calls_total", **labels, code="RESOURCE_EXHAUSTED")
        assert throttled == 1
        assert observed.value("taskgate_aws_retries_total", service="deadline") == 1
        assert 0 < observed.value("taskgate_quota_rate", **labels) < 1000
        assert observed.value("taskgate_quota_waiting", **labels) == 0


def test_open_streams_watchers_pollers_and_followers_are_counted(
    observed: MeteredServer, caller: Client
) -> None:
    stub = caller._tasks
    watch = stub.WatchTasks(task_watch_pb2.WatchTasksRequest(parent=JOB))
    next(watch)
    assert observed.value("taskgate_streams_open", method=WATCH) == 1
    assert observed.value("taskgate_watchers") == 1
    assert observed.value("taskgate_pollers") == 1
    assert observed.value("taskgate_rpcs_in_flight") == 1
    assert observed.value("taskgate_log_followers") == 0
    watch.cancel()
    request = task_log_pb2.StreamTaskLogsRequest(name=PENDING, follow=True)
    logs = stub.StreamTaskLogs(request)
    next(logs)
    assert observed.value("taskgate_log_followers") == 1
    logs.cancel()


def test_health_and_breaker_have_metrics(observed: MeteredServer, caller: Client) -> None:
    caller.get_task(RUNNING_NAME)
    assert observed.value("taskgate_aws_ready", service="deadline") == 1
    assert observed.value("taskgate_breaker_state", service="deadline", state="closed") == 1
    assert observed.value("taskgate_breaker_state", service="deadline", state="open") == 0
    assert 0 <= observed.value("taskgate_event_loop_delay_seconds") < 5


@pytest.mark.bug
def test_a_bug_is_counted(upstream: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    async def fails(*_: object) -> None:
        raise RuntimeError(SECRET)

    monkeypatch.setattr("taskgate_server.tasks.reads.Reads.get_task", fails)
    with metered_server(upstream.endpoint_url) as observed, connect(observed.address) as caller:
        before = observed.value("taskgate_bugs_total")
        with pytest.raises(CallError):
            caller.get_task(RUNNING_NAME)
        assert observed.value("taskgate_bugs_total") == before + 1
        assert observed.value("taskgate_rpcs_total", method=GET_TASK, code="INTERNAL") == 1


def test_refused_callers_are_counted(upstream: Emulator) -> None:
    limits = {"caller_calls_per_second": 0.001, "policy_files": ()}
    phrase = "I understand that anyone on the network can read and make calls"
    more = {**limits, "listen_host": "0.0.0.0", "plaintext_to_everyone": phrase}  # noqa: S104  # a guard
    with metered_server(upstream.endpoint_url, **more) as observed:
        port = observed.address.rpartition(":")[2]
        with connect(f"127.0.0.1:{port}") as caller:
            caller.get_task(RUNNING_NAME)
            with pytest.raises(CallError):
                caller.get_task(RUNNING_NAME)
        assert observed.value("taskgate_caller_limits_total") >= 1


def test_other_paths_are_not_found(observed: MeteredServer) -> None:
    with pytest.raises(urllib.error.HTTPError) as failure:
        urllib.request.urlopen(observed.metrics_url.replace("/metrics", "/"))  # noqa: S310  # our own
    assert failure.value.code == 404
    failure.value.close()


def test_no_value_of_a_caller_is_in_a_metric(upstream: Emulator, observed: MeteredServer) -> None:
    upstream.respond("deadline", "GetTask", body={"parameters": {"Out": {"path": SECRET}}})
    with connect(observed.address) as caller:
        caller.get_task(RUNNING_NAME)
        with pytest.raises(CallError):
            caller.get_task(f"deadline/{SECRET}")
    text = observed.text()
    assert GET_TASK in text
    assert SECRET not in text
    assert seed.FARM_ID not in text


def test_admin_port_in_use_prevents_the_start(upstream: Emulator) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        settings = settings_for(upstream.endpoint_url, admin_port=taken.getsockname()[1])
        with pytest.raises(ListenError, match="TASKGATE_ADMIN_PORT"), running_app(settings):
            raise AssertionError("it has started")


def test_without_a_port_nothing_listens(upstream: Emulator) -> None:
    with running_app(settings_for(upstream.endpoint_url)) as (app, address):
        assert app.admin is None
        with connect(str(address)) as caller:
            assert caller.get_task(RUNNING_NAME).name == str(RUNNING_NAME)


def test_event_lag_is_measured_from_the_time_of_the_event() -> None:
    lag = Lag()
    lag.record("2023-11-14T22:13:20Z", 1_700_000_003.5)
    lag.record("2023-11-14T22:13:20Z", 1_699_999_999.0)
    for odd in ("", "x", "1", "0001-01-01T00:00:00"):
        lag.record(odd, 0.0)
    assert (lag.count, lag.seconds) == (2, 3.5)
