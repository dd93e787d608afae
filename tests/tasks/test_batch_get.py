"""BatchGetTasks over the wire: many names at once, each answered for itself, in few AWS calls."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration
from google.rpc import error_details_pb2, status_pb2

from taskgate.v1 import task_pb2, task_service_pb2
from taskgate_emulator import Emulator
from taskgate_emulator.seeds import ids as seed
from taskgate_server.config import AwsSettings
from tests.support.aws_requests import RecordedCalls
from tests.support.call_errors import error_of
from tests.support.running_server import REGION
from tests.support.task_service import (
    Stub,
    job_name,
    run_name,
    run_task_name,
    step_name,
    stub_of,
    task_name,
)

BASIC, FULL = task_pb2.TASK_VIEW_BASIC, task_pb2.TASK_VIEW_FULL
FAILED_RUN_TASK = f"omics/runs/{seed.RUN_ID}/tasks/{seed.FAILED_RUN_TASK_ID}"


def batch(stub: Stub, names: list[str], **more: Any) -> list[task_service_pb2.TaskResult]:
    request = task_service_pb2.BatchGetTasksRequest(names=names, **more)
    return list(stub.BatchGetTasks(request).results)


def detail(status: status_pb2.Status, kind: type) -> Any:
    for packed in status.details:
        message = kind()
        if packed.Unpack(message):
            return message
    raise AssertionError(f"no {kind.__name__} in the status")


@pytest.fixture(scope="module")
def stub(channel: grpc.Channel) -> Stub:
    return Stub(channel)


@pytest.fixture
def published(aws: Emulator) -> Iterator[Stub]:
    """A server with AWS's quotas and retries, as it is by default."""
    settings = AwsSettings(region=REGION, endpoint_url=aws.endpoint_url)
    with stub_of(aws, aws={"deadline": settings, "omics": settings}) as stub:
        yield stub


def test_both_services_in_the_order_of_the_request(aws: Emulator, stub: Stub) -> None:
    job, run = aws.jobs.add((3,)), aws.runs.add(2)
    names = [
        task_name(job, 2),
        run_task_name(run, 1),
        task_name(job, 0),
        run_task_name(run, 0),
        task_name(job, 2),
    ]
    results = batch(stub, names)
    assert [result.name for result in results] == names
    assert [result.task.name for result in results] == names
    assert results[0].task == results[4].task


def test_item_equals_get_task(stub: Stub) -> None:
    (result,) = batch(stub, [FAILED_RUN_TASK])
    single = stub.GetTask(task_service_pb2.GetTaskRequest(name=FAILED_RUN_TASK)).task
    result.task.observe_time.CopyFrom(single.observe_time)
    assert result.task == single
    assert single.failure_reason


def test_invalid_name_affects_only_its_item(aws: Emulator, stub: Stub) -> None:
    job = aws.jobs.add((1,))
    missing = f"{step_name(job)}/tasks/task-{'0' * 32}-0"
    names = ["", "omics/runs/x/tasks/1", missing, task_name(job, 0), "batch/jobs/1"]
    results = batch(stub, names)
    codes = [result.error.code for result in results]
    bad = grpc.StatusCode.INVALID_ARGUMENT.value[0]
    assert codes == [bad, bad, grpc.StatusCode.NOT_FOUND.value[0], 0, bad]
    assert results[3].task.name == names[3]
    for name, result in zip(names, results, strict=True):
        if result.HasField("error"):
            single = error_of(stub.GetTask, task_service_pb2.GetTaskRequest(name=name))
            assert result.error.code == single.code.value[0]
            info = detail(result.error, error_details_pb2.ErrorInfo)
            assert (info.reason, info.domain) == (single.reason, single.domain)
    violations = detail(results[1].error, error_details_pb2.BadRequest).field_violations
    assert [violation.field for violation in violations] == ["name"]
    assert detail(results[2].error, error_details_pb2.RequestInfo).request_id
    # Which of the ids AWS does not have is in its message: an item's error has no resource.
    assert detail(results[2].error, error_details_pb2.ResourceInfo)


@pytest.mark.parametrize("count", [0, 1001])
def test_invalid_number_of_names_is_refused(aws: Emulator, stub: Stub, count: int) -> None:
    with RecordedCalls(aws) as calls:
        error = error_of(
            stub.BatchGetTasks,
            task_service_pb2.BatchGetTasksRequest(
                names=[FAILED_RUN_TASK] * count,
                view=7,  # type: ignore[arg-type]  # no view
                max_age=Duration(seconds=-1),
            ),
        )
    assert error.code is grpc.StatusCode.INVALID_ARGUMENT
    assert {each.field for each in error.violations} == {"names", "view", "max_age"}
    assert not calls.counts


def test_duplicates_are_read_once(aws: Emulator, stub: Stub) -> None:
    with RecordedCalls(aws) as calls:
        results = batch(stub, [FAILED_RUN_TASK] * 1000)
    assert len(results) == 1000
    assert calls.counts == {"GetRunTask": 1}


def test_thousand_deadline_tasks_take_a_dozen_calls(aws: Emulator, published: Stub) -> None:
    job = aws.jobs.add((1000,))
    with RecordedCalls(aws) as calls:
        results = batch(published, [task_name(job, number) for number in range(1000)])
    assert all(result.HasField("task") for result in results)
    assert set(calls.counts) <= {"BatchGetTask", "GetTask"}
    assert sum(calls.counts.values()) <= 12


def test_basic_run_tasks_come_from_lists(aws: Emulator, stub: Stub) -> None:
    run, other = aws.runs.add(250), aws.runs.add(30)
    names = [run_task_name(run, position) for position in range(250)]
    names += [run_task_name(other, position) for position in range(30)]
    with RecordedCalls(aws) as calls:
        results = batch(stub, names, view=BASIC)
    assert [result.task.name for result in results] == names
    assert calls.counts == {"ListRunTasks": 4}
    with RecordedCalls(aws) as calls:
        batch(stub, names[:5], view=FULL)
    assert calls.counts == {"GetRunTask": 5}


def test_long_list_is_abandoned_when_it_saves_no_calls(aws: Emulator, stub: Stub) -> None:
    """The wanted ones are at the end of a long list: one page is tried, no more."""
    run = aws.runs.add(1000)
    names = [run_task_name(run, position) for position in (997, 998, 999)]
    with RecordedCalls(aws) as calls:
        results = batch(stub, names, view=BASIC)
    assert [result.task.name for result in results] == names
    assert calls.counts == {"ListRunTasks": 1, "GetRunTask": 3}


def test_task_that_is_missing_from_the_list_is_read_itself(aws: Emulator, stub: Stub) -> None:
    run = aws.runs.add(3)
    names = [*(run_task_name(run, position) for position in range(3)), f"{run_name(run)}/tasks/404"]
    with RecordedCalls(aws) as calls:
        results = batch(stub, names, view=BASIC)
    assert results[3].error.code == grpc.StatusCode.NOT_FOUND.value[0]
    info = detail(results[3].error, error_details_pb2.ErrorInfo)
    assert info.metadata["operation"] == "GetRunTask"
    assert calls.counts == {"ListRunTasks": 1, "GetRunTask": 1}


def test_denied_list_falls_back_to_single_reads(aws: Emulator, stub: Stub) -> None:
    run = aws.runs.add(3)
    aws.fail("omics", "ListRunTasks", "AccessDeniedException")
    names = [run_task_name(run, position) for position in range(3)]
    results = batch(stub, names, view=BASIC)
    assert [result.task.name for result in results] == names


def test_failed_list_is_the_error_of_each_task_of_its_run(aws: Emulator, stub: Stub) -> None:
    run, job = aws.runs.add(3), aws.jobs.add((1,))
    aws.fail("omics", "ListRunTasks", "ThrottlingException")
    names = [*(run_task_name(run, position) for position in range(3)), task_name(job, 0)]
    results = batch(stub, names, view=BASIC)
    throttled = grpc.StatusCode.RESOURCE_EXHAUSTED.value[0]
    assert [result.error.code for result in results] == [throttled] * 3 + [0]


def item_error(name: dict[str, str], code: str) -> dict[str, Any]:
    return {**name, "code": code, "message": "not now"}


def test_throttled_item_affects_only_itself(aws: Emulator, stub: Stub) -> None:
    job = aws.jobs.add((2,))
    ids = [job.task(0), job.task(1)]
    record = {**ids[1], "createdAt": "2026-11-01T00:00:00Z", "createdBy": "me"}
    record["runStatus"] = "RUNNING"
    body = {"tasks": [record], "errors": [item_error(ids[0], "ThrottlingException")]}
    aws.respond("deadline", "BatchGetTask", body=body)
    throttled, fine = batch(stub, [task_name(job, 0), task_name(job, 1)])
    assert throttled.error.code == grpc.StatusCode.RESOURCE_EXHAUSTED.value[0]
    assert detail(throttled.error, error_details_pb2.RetryInfo).retry_delay.seconds
    assert fine.task.native_state == "RUNNING"


def test_transient_errors_of_items_are_retried(aws: Emulator, published: Stub) -> None:
    job = aws.jobs.add((40,))
    code = "InternalServerErrorException"
    errors = [item_error(job.task(number), code) for number in range(40)]
    aws.respond("deadline", "BatchGetTask", body={"tasks": [], "errors": errors})
    with RecordedCalls(aws) as calls:
        results = batch(published, [task_name(job, number) for number in range(40)])
    assert all(result.HasField("task") for result in results)
    assert calls.counts == {"BatchGetTask": 2}


def test_permanent_errors_of_items_are_not_retried(aws: Emulator, published: Stub) -> None:
    job = aws.jobs.add((2,))
    errors = [item_error(job.task(number), "AccessDeniedException") for number in range(2)]
    aws.respond("deadline", "BatchGetTask", body={"tasks": [], "errors": errors})
    with RecordedCalls(aws) as calls:
        results = batch(published, [task_name(job, 0), task_name(job, 1)])
    denied = grpc.StatusCode.PERMISSION_DENIED.value[0]
    assert [result.error.code for result in results] == [denied] * 2
    assert calls.counts == {"BatchGetTask": 1}


def test_max_age_is_honoured(aws: Emulator) -> None:
    job = aws.jobs.add((5,))
    names = [task_name(job, number) for number in range(5)]
    with stub_of(aws, default_max_age_seconds=60) as stub:
        batch(stub, names)
        with RecordedCalls(aws) as calls:
            batch(stub, names)
        assert not calls.counts
        with RecordedCalls(aws) as calls:
            batch(stub, names, max_age=Duration())
        assert calls.counts == {"BatchGetTask": 1}


def test_error_of_an_item_equals_the_error_of_get_task(aws: Emulator, stub: Stub) -> None:
    job = aws.jobs.add((1,))
    name = f"{job_name(job)}/steps/{job.steps[0]}/tasks/task-{'1' * 32}-7"
    (result,) = batch(stub, [name])
    single = error_of(stub.GetTask, task_service_pb2.GetTaskRequest(name=name))
    assert result.error.message == single.message
