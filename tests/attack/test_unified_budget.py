"""The CPU time of the most expensive requests of TaskService, up to the limit on messages.

They are served by the behaviours of the RPCs, with a gateway that nothing may reach: all that
callers send here is refused before.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final, cast
from unittest.mock import Mock

import grpc
import pytest

from taskgate.v1 import task_pb2, task_service_pb2, task_update_pb2
from taskgate_server import errors
from taskgate_server.calls import Rpc, parse_request
from taskgate_server.rpc_registry import make_task_rpcs
from taskgate_server.services.registry import SERVICES
from taskgate_server.services.spec import ServiceSpec
from taskgate_server.tasks.backend import Backends, load_backend
from taskgate_server.tasks.filters import fields as filters_fields
from taskgate_server.tasks.filters.filter import compile_filter
from taskgate_server.tasks.reads import Reads
from taskgate_server.tasks.updates import Updates
from taskgate_server.tasks.updates import _check_batch as check_batch
from taskgate_server.tasks.watch.hub import Hub
from taskgate_server.tasks.watch.service import Watches
from tests.attack.hostile_messages import record, repeated
from tests.support.calls import make_call

pytestmark = pytest.mark.alone

MAX_BYTES: Final = 4 * 1024 * 1024
MAX_SECONDS: Final = 0.250
TRIES: Final = 5
"""Of a request above the bar: other processes compete for the caches."""
SERVICE: Final = task_service_pb2.DESCRIPTOR.services_by_name["TaskService"]
SLASHES: Final = b"deadline" + b"/a" * (MAX_BYTES // 2 - 20)
TASK: Final = "omics/runs/1234567/tasks/7654321"
NOT_SERVED: Final = {"StreamTaskLogs", "GetServerInfo"}
RUN: Final = b"omics/runs/1234567"


@dataclass(frozen=True)
class Unreachable:
    """A stand-in for a gateway that fails when it is called."""

    spec: ServiceSpec


@pytest.fixture(scope="module")
def rpcs() -> dict[str, Rpc]:
    """The RPCs of TaskService by name, but for StreamTaskLogs and GetServerInfo."""
    backends = Backends(
        {spec.name: load_backend(spec)(cast("Any", Unreachable(spec)), Mock()) for spec in SERVICES}
    )
    hub = Hub(backends, {spec.name: 1.0 for spec in SERVICES})
    reads = Reads(backends=backends, max_response_bytes=4_000_000)
    served = [reads, Updates(backends, hub.refresh), Watches(hub, 1.0), Mock(spec=Rest)]
    return {rpc.method.rpartition("/")[2]: rpc for rpc in make_task_rpcs(served)}


class Rest:
    """The RPCs that need CloudWatch Logs and the targets."""

    def stream_task_logs(self) -> None:
        """Do nothing."""

    def get_server_info(self) -> None:
        """Do nothing."""


def field(method: str, name: str) -> int:
    return SERVICE.methods_by_name[method].input_type.fields_by_name[name].number


def serve(rpc: Rpc, data: bytes, tries: int = TRIES) -> tuple[Any, float]:
    """Return the response or error of a request, and its CPU seconds, at best of some tries."""
    assert len(data) <= MAX_BYTES

    async def respond() -> Any:
        call = make_call(seconds=1.0, rpc=rpc)
        try:
            served = rpc.behaviour(parse_request(rpc.request_class, data), call)
            if rpc.server_streams:
                return [each async for each in served]
            return await served
        except errors.TaskgateError as error:
            return error

    seconds = []
    for _ in range(tries):
        began = time.process_time()
        response = asyncio.run(respond())
        seconds.append(time.process_time() - began)
        if seconds[-1] < MAX_SECONDS:
            break
    return response, min(seconds)


def requests() -> Iterator[tuple[str, str, bytes]]:
    """Yield a method, what is expensive about the request, and the request."""
    for method in SERVICE.methods:
        if method.name in NOT_SERVED:
            continue
        for name in {"name", "parent"} & set(method.input_type.fields_by_name):
            number = field(method.name, name)
            yield method.name, f"{name} of slashes", record(number, SLASHES)
            yield method.name, f"long {name}", record(number, b"omics/runs/" + b"1" * 4_000_000)
        yield method.name, "unknown fields", repeated(b"\xa0\x06\x00", MAX_BYTES)
    for method_name in ("BatchGetTasks", "WatchTasks"):
        names = field(method_name, "names")
        yield method_name, "empty names", repeated(record(names, b""), MAX_BYTES)
        yield method_name, "1,000 long names", record(names, b"deadline" + b"/a" * 2000) * 1000
    many = b"".join(record(field("BatchGetTasks", "names"), b"a/%d" % n) for n in range(1000))
    yield "BatchGetTasks", "1,000 bad names", many
    yield from list_requests()
    updates = field("BatchUpdateTasks", "updates")
    yield "BatchUpdateTasks", "1,000 times the same", record(updates, b"") * 1000
    long = record(updates, record(1, b"deadline" + b"/a" * 2000))
    yield "BatchUpdateTasks", "1,000 long names", long * 1000
    states = field("WaitTask", "states")
    task = record(field("WaitTask", "name"), TASK.encode())
    yield "WaitTask", "states", task + record(states, b"\x01" * (MAX_BYTES - 100))
    yield "WaitTask", "strange states", task + record(states, b"\x7f" * (MAX_BYTES - 100))
    run = record(field("WatchTasks", "parent"), RUN)
    token = record(field("WatchTasks", "resume_token"), b"x" * (MAX_BYTES - 100))
    yield "WatchTasks", "resume token", run + token


def list_requests() -> Iterator[tuple[str, str, bytes]]:
    run = record(field("ListTasks", "parent"), RUN)
    text, token = field("ListTasks", "filter"), field("ListTasks", "page_token")
    for name, content in {
        "parentheses": b"(" * 4_000_000,
        "negations": b"-" * 4_000_000,
        "comparisons": b"a=b " * 1_000_000,
        "comparisons within the length": b"a=b " * 512,
        "a quote": b'state = "' + b"\\\\" * 2_000_000,
        "spaces": b" " * 4_000_000,
    }.items():
        yield "ListTasks", f"filter of {name}", run + record(text, content)
    for name, content in {"letters": b"a" * 4_000_000, "brackets": b"W1tb" * 4000}.items():
        yield "ListTasks", f"page token of {name}", run + record(token, content)


REQUESTS: Final = list(requests())


@pytest.mark.parametrize(
    ("method", "data"),
    [pytest.param(method, data, id=f"{method} {what}") for method, what, data in REQUESTS],
)
def test_requests_stay_within_the_cpu_limit(rpcs: dict[str, Rpc], method: str, data: bytes) -> None:
    response, seconds = serve(rpcs[method], data)

    if isinstance(response, errors.TaskgateError):
        assert response.code is grpc.StatusCode.INVALID_ARGUMENT
    else:
        assert method.startswith("Batch"), "only batches respond for each item"
    assert seconds < MAX_SECONDS


def test_a_batch_of_updates_is_counted_first() -> None:
    updates = field("BatchUpdateTasks", "updates")
    data = repeated(record(updates, b""), MAX_BYTES)

    began = time.process_time()
    request = task_update_pb2.BatchUpdateTasksRequest.FromString(data)
    with pytest.raises(errors.TaskgateError, match="must have 1 to 1000 entries"):
        check_batch(request)

    assert time.process_time() - began < MAX_SECONDS


def test_the_measurement_detects_filters_of_any_length(
    rpcs: dict[str, Rpc], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("taskgate_server.tasks.filters.syntax.MAX_CHARACTERS", MAX_BYTES)
    monkeypatch.setattr("taskgate_server.tasks.filters.syntax.MAX_COMPARISONS", MAX_BYTES)
    run = record(field("ListTasks", "parent"), RUN)
    data = run + record(field("ListTasks", "filter"), b"a=b " * 60_000)

    _, seconds = serve(rpcs["ListTasks"], data, tries=1)

    assert seconds > MAX_SECONDS


def test_a_number_in_a_filter_is_recognized_in_linear_time() -> None:
    text = "1" * 1_000_000 + "x"

    began = time.process_time()
    assert filters_fields._to_number(text) is None

    assert time.process_time() - began < MAX_SECONDS


def test_largest_filter_over_2000_tasks_stays_within_the_cpu_limit() -> None:
    terms = [f"parameters.a != {n}" for n in range(100)]
    matches = compile_filter(" ".join(terms)).matches
    task = task_pb2.Task()
    task.parameters["a"].int = "123456"

    began = time.process_time()
    assert all(matches(task) for _ in range(2000))

    # Work for the tasks of 20 AWS pages, not for the request's validation.
    assert time.process_time() - began < 5 * MAX_SECONDS
