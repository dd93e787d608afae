"""GetTask with view BASIC over the wire: lists replace reads of single tasks."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any, cast

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration

from taskgate.omics.v1 import omics_pb2
from taskgate.v1 import task_pb2, task_service_pb2
from taskgate_emulator import Emulator
from taskgate_emulator.seeds import ids as seed
from taskgate_server.services.omics.lookup import ListLookup
from taskgate_server.services.omics.tasks import LIST_TASKS, Tasks
from taskgate_server.upstream.options import CallOptions
from tests.support.aws_requests import RecordedCalls
from tests.support.call_errors import error_of
from tests.support.task_service import (
    Stub,
    run_name,
    run_task_name,
    stub_of,
    task_name,
)

BASIC, FULL = task_pb2.TASK_VIEW_BASIC, task_pb2.TASK_VIEW_FULL
FAILED_RUN_TASK = f"omics/runs/{seed.RUN_ID}/tasks/{seed.FAILED_RUN_TASK_ID}"


@pytest.fixture
def stub(aws: Emulator) -> Iterator[Stub]:
    with stub_of(aws, default_max_age_seconds=60) as stub:
        yield stub


def request(name: str, **more: Any) -> task_service_pb2.GetTaskRequest:
    return task_service_pb2.GetTaskRequest(name=name, view=BASIC, **more)


def test_one_list_serves_all_callers_with_tasks_of_a_run(aws: Emulator, stub: Stub) -> None:
    run = aws.runs.add(30)
    names = [run_task_name(run, position) for position in range(30)]
    with RecordedCalls(aws) as calls, ThreadPoolExecutor(8) as pool:
        tasks = [response.task for response in pool.map(stub.GetTask, map(request, names))]
    assert [task.name for task in tasks] == names
    assert all(task.display_name and task.native_state for task in tasks)
    assert calls.counts == {"ListRunTasks": 1}


def test_view_full_reads_the_task_itself(aws: Emulator, stub: Stub) -> None:
    with RecordedCalls(aws) as calls:
        assert not stub.GetTask(request(FAILED_RUN_TASK)).task.failure_reason
        for view in (FULL, task_pb2.TASK_VIEW_UNSPECIFIED):
            full = task_service_pb2.GetTaskRequest(name=FAILED_RUN_TASK, view=view)
            assert stub.GetTask(full).task.failure_reason
    assert calls.counts == {"ListRunTasks": 1, "GetRunTask": 1}
    with RecordedCalls(aws) as calls:
        assert stub.GetTask(request(FAILED_RUN_TASK)).task.failure_reason
    assert not calls.counts, "a cached complete response serves both views"


def test_task_that_the_list_lacks_is_read_itself(aws: Emulator, stub: Stub) -> None:
    name = f"{run_name(aws.runs.add(3))}/tasks/404"
    with RecordedCalls(aws) as calls:
        error = error_of(stub.GetTask, request(name))
    assert (error.code, error.metadata["operation"]) == (grpc.StatusCode.NOT_FOUND, "GetRunTask")
    assert calls.counts == {"ListRunTasks": 1, "GetRunTask": 1}


@pytest.mark.parametrize("code", ["AccessDeniedException", "NotSupportedOperationException"])
def test_refused_list_falls_back_to_the_task(aws: Emulator, stub: Stub, code: str) -> None:
    aws.fail("omics", "ListRunTasks", code)
    assert stub.GetTask(request(FAILED_RUN_TASK)).task.name == FAILED_RUN_TASK


def test_failed_list_is_the_error_of_the_task(aws: Emulator, stub: Stub) -> None:
    aws.fail("omics", "ListRunTasks", "ThrottlingException")
    with RecordedCalls(aws) as calls:
        error = error_of(stub.GetTask, request(FAILED_RUN_TASK))
    assert (error.code, error.metadata["operation"]) == (
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        "ListRunTasks",
    )
    assert calls.counts == {"ListRunTasks": 1}


def test_long_list_is_not_read_again_for_one_task(aws: Emulator, stub: Stub) -> None:
    run = aws.runs.add(250)
    last = request(run_task_name(run, 249), max_age=Duration())
    with RecordedCalls(aws) as calls:
        stub.GetTask(last)
    assert calls.counts == {"ListRunTasks": 3}
    with RecordedCalls(aws) as calls:
        stub.GetTask(last)
    assert calls.counts == {"GetRunTask": 1}


def test_deadline_tasks_are_the_same_in_both_views(aws: Emulator, stub: Stub) -> None:
    name = task_name(aws.jobs.add((1,)), 0)
    with RecordedCalls(aws) as calls:
        basic = stub.GetTask(request(name))
        full = stub.GetTask(task_service_pb2.GetTaskRequest(name=name, view=FULL))
    assert basic == full
    assert sum(calls.counts.values()) == 1


def test_unknown_view_is_refused(stub: Stub) -> None:
    invalid = task_service_pb2.GetTaskRequest(name=FAILED_RUN_TASK, view=cast("Any", 7))
    error = error_of(stub.GetTask, invalid)
    assert error.code is grpc.StatusCode.INVALID_ARGUMENT
    assert [violation.field for violation in error.violations] == ["view"]


class Pages:
    """Returns the pages of one run's list, two rows each."""

    def __init__(self, count: int) -> None:
        self.tokens: list[str | None] = []
        self._count = count

    async def call(self, _: str, params: dict[str, Any], __: CallOptions) -> Any:
        token = params.get("startingToken")
        self.tokens.append(token)
        page = int(token or 0)
        value: dict[str, Any] = {"items": [{"taskId": str(2 * page + row)} for row in range(2)]}
        if page + 1 < self._count:
            value["nextToken"] = str(page + 1)
        return type("Response", (), {"value": value, "observe_time": 0.0})


async def test_list_is_read_once_it_costs_no_more_than_the_reads_in_flight() -> None:
    pages = Pages(3)
    backend = Tasks(cast("Any", pages), lambda _: omics_pb2.GetRunTaskResponse())
    lookup = ListLookup(backend, LIST_TASKS)
    name = "omics/runs/7/tasks/5"

    async def is_found() -> bool:
        return name in await lookup.find([name], CallOptions())

    assert await is_found(), "an unknown list counts as one page"
    assert pages.tokens == [None, "1", "2"]
    with ExitStack() as reads:
        for in_flight in range(5):
            assert await is_found() == (in_flight >= 2)
            reads.enter_context(lookup.reading_singly(name))
    assert not await is_found()
    assert "omics/runs/8/tasks/5" in await lookup.find(["omics/runs/8/tasks/5"], CallOptions())
