"""Traces of a real server, taken by a collector over OTLP."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import pytest
from opentelemetry.proto.trace.v1 import trace_pb2
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import Decision

from taskgate.deadline.v1 import deadline_pb2, deadline_pb2_grpc
from taskgate.v1 import task_service_pb2, task_service_pb2_grpc, task_update_pb2, task_watch_pb2
from taskgate_emulator import Emulator
from taskgate_emulator.seeds import ids as seed
from taskgate_server import app
from taskgate_server.config import Settings, SettingsError
from taskgate_server.telemetry.sampling import CALLER_TRACES_PER_SECOND, CallerDecisions
from taskgate_server.telemetry.spans import parse_traceparent
from taskgate_server.telemetry.traces import Traces
from tests.support.collector import Collector, collecting
from tests.support.polling import becomes_true
from tests.support.running_server import running_server, settings_for

SECONDS = 10.0
TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
SAMPLED = (("traceparent", f"00-{TRACE}-{PARENT}-01"),)
UNSAMPLED = (("traceparent", f"00-{TRACE}-{PARENT}-00"),)
JOB = f"deadline/farms/{seed.FARM_ID}/queues/{seed.QUEUE_ID}/jobs/{seed.JOB_ID}"
TASK = f"{JOB}/steps/{seed.RENDER_STEP_ID}/tasks/{seed.RUNNING_TASK_ID}"
GET, GET_AWS = "taskgate.v1.TaskService/GetTask", "deadline/GetTask"
SECRET = "beauty-secret"

Spans = list[trace_pb2.Span]


class TracingServer:
    """A server that traces, and its callers."""

    def __init__(self, address: str, collector: Collector, aws: Emulator, log: io.StringIO) -> None:
        self.collector, self.aws, self.log = collector, aws, log
        self.channel = grpc.insecure_channel(address)
        self.tasks: Any = task_service_pb2_grpc.TaskServiceStub(self.channel)
        self.deadline: Any = deadline_pb2_grpc.DeadlineServiceStub(self.channel)

    def get(self, *metadata: tuple[str, str], max_age: float = 0) -> Any:
        request = task_service_pb2.GetTaskRequest(name=TASK)
        request.max_age.FromNanoseconds(int(max_age * 1e9))
        return self.tasks.GetTask(request, metadata=metadata, timeout=SECONDS)

    def spans(self, *names: str) -> list[Spans]:
        """Those of each name, once all names have some."""

        def named(spans: Spans, name: str) -> Spans:
            return [span for span in spans if span.name == name]

        found = self.collector.wait_for(lambda spans: all(named(spans, name) for name in names))
        return [named(found, name) for name in names]


@pytest.fixture
def place(monkeypatch: pytest.MonkeyPatch) -> Iterator[TracingServer]:
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "50")  # what waits is sent soon
    log = io.StringIO()
    with (
        Emulator() as aws,
        collecting() as collector,
        running_server(
            settings_for(aws.endpoint_url, traces_endpoint=collector.endpoint, traces_ratio=0), log
        ) as address,
    ):
        place = TracingServer(str(address), collector, aws, log)
        yield place
        place.channel.close()


def attributes(span: trace_pb2.Span) -> dict[str, Any]:
    return {
        each.key: each.value.int_value
        if each.value.HasField("int_value")
        else each.value.string_value
        for each in span.attributes
    }


def test_rpc_and_its_aws_call_are_in_the_callers_trace(place: TracingServer) -> None:
    place.get(*SAMPLED)
    (rpc,), (call,) = place.spans(GET, GET_AWS)
    assert {rpc.trace_id.hex(), call.trace_id.hex()} == {TRACE}
    assert rpc.parent_span_id.hex() == PARENT
    assert call.parent_span_id == rpc.span_id
    assert (rpc.kind, call.kind) == (
        trace_pb2.Span.SPAN_KIND_SERVER,
        trace_pb2.Span.SPAN_KIND_CLIENT,
    )
    assert rpc.start_time_unix_nano <= call.start_time_unix_nano
    assert call.end_time_unix_nano <= rpc.end_time_unix_nano
    assert attributes(rpc) == {
        "rpc.system": "grpc",
        "rpc.service": "taskgate.v1.TaskService",
        "rpc.method": "GetTask",
        "rpc.grpc.status_code": 0,
    }
    found = attributes(call)
    assert found.pop("aws.request_id")
    assert found == {
        "rpc.system": "aws-api",
        "rpc.service": "deadline",
        "rpc.method": "GetTask",
        "cloud.region": "us-west-2",
        "taskgate.target": "default",
    }


def test_calls_without_a_sampled_trace_have_no_spans(place: TracingServer) -> None:
    place.get(*UNSAMPLED)
    place.get()
    place.get(*SAMPLED)
    (rpcs,) = place.spans(GET)
    assert [rpc.trace_id.hex() for rpc in rpcs] == [TRACE]


def test_callers_decisions_are_limited() -> None:
    exporter = InMemorySpanExporter()
    traces = Traces("http://127.0.0.1:9", {}, 0.0, exporter)
    began = time.monotonic()
    for number in range(1, 1001):
        # A sampler by trace id would take all of these.
        trace = ("traceparent", f"00-{number:016x}{0:016x}-{PARENT}-01")
        span = traces.begin_rpc(GET, [trace])
        traces.end_rpc(span, grpc.StatusCode.OK, None)
    seconds = time.monotonic() - began
    traces.close()

    burst = CALLER_TRACES_PER_SECOND
    assert burst <= len(exporter.get_finished_spans()) <= burst * (1 + seconds) + 1


def test_beyond_the_rate_sampled_callers_are_sampled_at_random() -> None:
    now, chance = [0.0], [0.5]
    sampler = CallerDecisions(0.1, lambda: now[0], lambda: chance[0])

    def sampled(count: int) -> int:
        results = [sampler.should_sample(None, 0, "GetTask") for _ in range(count)]
        return sum(each.decision is Decision.RECORD_AND_SAMPLE for each in results)

    assert sampled(100) == 10
    chance[0] = 0.05
    assert sampled(100) == 100
    chance[0], now[0] = 0.5, 0.5
    assert sampled(100) == 5


def test_rpc_with_a_cached_response_links_to_its_aws_call(place: TracingServer) -> None:
    place.get(*SAMPLED)
    other = "0" * 31 + "7"
    place.get(("traceparent", f"00-{other}-{PARENT}-01"), max_age=60)
    place.collector.wait_for(lambda spans: len(spans) >= 3)
    rpcs, (call,) = place.spans(GET, GET_AWS)
    second = next(rpc for rpc in rpcs if rpc.trace_id.hex() == other)
    assert [link.span_id for link in second.links] == [call.span_id]
    assert call.trace_id.hex() == TRACE


def test_shared_aws_call_links_to_all_waiting_rpcs(place: TracingServer) -> None:
    place.aws.faults.add(kind="latency", service="deadline", operation="GetTask", seconds=0.5)
    traces = [f"{number:032x}" for number in (1, 2, 3)]
    with ThreadPoolExecutor(3) as pool:
        futures = [
            pool.submit(place.get, ("traceparent", f"00-{trace}-{PARENT}-01"), max_age=5)
            for trace in traces
        ]
        for each in futures:
            each.result()
    place.collector.wait_for(lambda spans: len(spans) >= 4)
    rpcs, calls = place.spans(GET, GET_AWS)
    assert len(calls) == 1
    owner = next(rpc for rpc in rpcs if rpc.span_id == calls[0].parent_span_id)
    assert {rpc.trace_id.hex() for rpc in rpcs} == set(traces)
    for rpc in rpcs:
        linked = [] if rpc is owner else [calls[0].span_id]
        assert [link.span_id for link in rpc.links] == linked
    assert owner.trace_id == calls[0].trace_id


def test_batch_links_to_its_reads(place: TracingServer) -> None:
    names = [
        f"{JOB}/steps/{seed.RENDER_STEP_ID}/tasks/{task}"
        for task in (seed.RUNNING_TASK_ID, seed.FLAKY_TASK_ID, seed.SUSPENDED_TASK_ID)
    ]
    request = task_service_pb2.BatchGetTasksRequest(names=names)
    place.tasks.BatchGetTasks(request, metadata=SAMPLED, timeout=SECONDS)
    (rpc,), (batch,) = place.spans("taskgate.v1.TaskService/BatchGetTasks", "deadline/BatchGetTask")
    assert batch.parent_span_id == rpc.span_id


def test_spans_of_errors_have_no_error_texts(place: TracingServer) -> None:
    place.aws.fail("deadline", "GetTask", "AccessDeniedException", message=SECRET)
    with pytest.raises(grpc.RpcError):
        place.get(*SAMPLED)
    (rpc,), (call,) = place.spans(GET, GET_AWS)
    assert attributes(rpc)["rpc.grpc.status_code"] == grpc.StatusCode.PERMISSION_DENIED.value[0]
    assert rpc.status.code == trace_pb2.Status.STATUS_CODE_UNSET  # the caller's fault, not ours
    assert attributes(call)["error.type"] == "ACCESS_DENIED_EXCEPTION"
    assert call.status.code == trace_pb2.Status.STATUS_CODE_ERROR
    assert SECRET not in str(place.collector.spans)


def test_spans_have_no_values_of_requests_or_responses(place: TracingServer) -> None:
    request = task_update_pb2.CancelTaskRequest(name=TASK, reason=SECRET)
    place.tasks.CancelTask(request, metadata=SAMPLED, timeout=SECONDS)
    update = deadline_pb2.UpdateFarmRequest(farm_id=seed.FARM_ID, description=SECRET)
    place.deadline.UpdateFarm(update, metadata=SAMPLED, timeout=SECONDS)
    place.spans("taskgate.v1.TaskService/CancelTask", "deadline/UpdateFarm")
    spans = str(place.collector.spans)
    assert SECRET not in spans
    assert seed.FARM_ID not in spans


def test_calls_of_pollers_have_traces_of_their_own(place: TracingServer) -> None:
    request = task_watch_pb2.WatchTasksRequest(parent=JOB)
    events = place.tasks.WatchTasks(request, metadata=SAMPLED, timeout=SECONDS)
    next(event for event in events if event.HasField("snapshot_end"))
    events.cancel()
    (watch,) = place.spans("taskgate.v1.TaskService/WatchTasks")
    assert [span.name for span in place.collector.spans] == [watch[0].name]


def test_the_log_has_the_ids_of_the_trace(place: TracingServer) -> None:
    place.get(*SAMPLED)
    (rpc,) = place.spans(GET)
    assert becomes_true(lambda: GET in place.log.getvalue())  # lines are written some at a time
    line = json.loads(next(x for x in place.log.getvalue().splitlines() if GET in x))
    assert (line["trace_id"], line["span_id"]) == (TRACE, rpc[0].span_id.hex())


def test_without_traces_the_log_has_the_callers_ids(aws: Emulator) -> None:
    log = io.StringIO()
    with (
        running_server(settings_for(aws.endpoint_url), log) as address,
        grpc.insecure_channel(str(address)) as channel,
    ):
        stub: Any = task_service_pb2_grpc.TaskServiceStub(channel)
        request = task_service_pb2.GetServerInfoRequest()
        stub.GetServerInfo(request, metadata=SAMPLED, timeout=SECONDS)
        stub.GetServerInfo(request, metadata=(("traceparent", "nonsense"),), timeout=SECONDS)
    lines = [json.loads(line) for line in log.getvalue().splitlines()]
    calls = [line for line in lines if line["message"] == "call"]
    assert (calls[0]["trace_id"], calls[0]["span_id"]) == (TRACE, PARENT)
    assert "trace_id" not in calls[1]


def test_failing_collector_affects_no_call_and_is_logged_once(
    place: TracingServer, caplog: pytest.LogCaptureFixture
) -> None:
    place.collector.status = 500
    for _ in range(3):
        place.get(*SAMPLED)
    assert becomes_true(lambda: "traces cannot be exported" in caplog.messages)
    assert caplog.messages.count("traces cannot be exported") == 1
    assert not [record for record in caplog.records if record.name.startswith("opentelemetry")]


def test_headers_are_read_from_a_file(aws: Emulator, tmp_path: Path) -> None:
    file = tmp_path / "headers"
    file.write_text("authorization: Bearer t0ken\n\n")
    with collecting() as collector:
        settings = settings_for(
            aws.endpoint_url, traces_endpoint=collector.endpoint, traces_headers_file=file
        )
        with running_server(settings) as address, grpc.insecure_channel(str(address)) as channel:
            stub: Any = task_service_pb2_grpc.TaskServiceStub(channel)
            request = task_service_pb2.GetServerInfoRequest()
            stub.GetServerInfo(request, metadata=SAMPLED, timeout=SECONDS)
        # What waited was sent when the server stopped.
        assert [span.name for span in collector.spans] == ["taskgate.v1.TaskService/GetServerInfo"]
        assert collector.headers["authorization"] == "Bearer t0ken"


@pytest.mark.parametrize("text", ["authorization Bearer t0ken", None])
async def test_invalid_headers_prevent_the_start(tmp_path: Path, text: str | None) -> None:
    file = tmp_path / "headers"
    if text is not None:
        file.write_text(text)
    settings = Settings(
        listen_port=0, traces_endpoint="http://127.0.0.1:4318/v1/traces", traces_headers_file=file
    )
    with pytest.raises(SettingsError, match="traces_headers_file") as raised:
        app.build(settings)
    assert "t0ken" not in str(raised.value)


def test_without_traces_opentelemetry_is_not_loaded() -> None:
    program = (
        "import sys, asyncio; from taskgate_server import app, rpc_registry\n"
        "from taskgate_server.config import Settings\n"
        "async def main(): app.build(Settings(listen_port=0))\n"
        "asyncio.run(main()); print([name for name in sys.modules if 'opentelemetry' in name])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("text", "known"),
    [
        (f"00-{TRACE}-{PARENT}-01", True),
        (f"01-{TRACE}-{PARENT}-01-more", True),
        (f"ff-{TRACE}-{PARENT}-01", False),
        (f"00-{'0' * 32}-{PARENT}-01", False),
        (f"00-{TRACE}-{'0' * 16}-01", False),
        (f"00-{TRACE.upper()}-{PARENT}-01", False),
        (f"00-{TRACE}-{PARENT}", False),
        (f'00-{TRACE}-{PARENT}-01"', False),
        ("", False),
    ],
)
def test_only_valid_traceparents_are_accepted(text: str, known: bool) -> None:
    assert (parse_traceparent(text) is not None) == known
