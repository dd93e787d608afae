"""CancelTask, RetryTask, SuspendTask and BatchUpdateTasks over the wire."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from typing import Any

import grpc
import pytest
from google.rpc import code_pb2, error_details_pb2, status_pb2

from taskgate.v1 import task_pb2, task_service_pb2, task_service_pb2_grpc, task_update_pb2
from taskgate_client import CallError
from taskgate_emulator import Emulator
from taskgate_emulator.seeds import ids as seed
from tests.support.call_errors import error_of
from tests.support.running_server import running_server, settings_for

JOB = f"deadline/farms/{seed.FARM_ID}/queues/{seed.QUEUE_ID}/jobs/{seed.JOB_ID}"
RENDER = f"{JOB}/steps/{seed.RENDER_STEP_ID}/tasks"
SUSPENDED = f"{RENDER}/{seed.SUSPENDED_TASK_ID}"
CANCELED = f"{RENDER}/{seed.CANCELED_TASK_ID}"
FAILED = f"{RENDER}/{seed.FAILED_TASK_ID}"
PENDING = f"{JOB}/steps/{seed.COMPOSITE_STEP_ID}/tasks/{seed.PENDING_TASK_ID}"
RUN_TASK = f"omics/runs/{seed.RUN_ID}/tasks/{seed.CPU_TASK_ID}"

CANCEL = task_update_pb2.TASK_ACTION_CANCEL
RETRY = task_update_pb2.TASK_ACTION_RETRY
SUSPEND = task_update_pb2.TASK_ACTION_SUSPEND


@pytest.fixture
def aws() -> Iterator[Emulator]:
    """A local AWS of this test's own, since it changes it."""
    with Emulator() as emulator:
        yield emulator


@pytest.fixture
def stub(aws: Emulator) -> Iterator[task_service_pb2_grpc.TaskServiceStub]:
    settings = settings_for(aws.endpoint_url, default_max_age_seconds=60)
    with running_server(settings) as address, grpc.insecure_channel(str(address)) as channel:
        yield task_service_pb2_grpc.TaskServiceStub(channel)


def missing(number: int) -> str:
    return f"{RENDER}/task-{'0' * 32}-{number}"


def batch(*updates: tuple[str, Any], **more: str) -> task_update_pb2.BatchUpdateTasksRequest:
    pairs = [task_update_pb2.TaskUpdate(name=name, action=action) for name, action in updates]
    return task_update_pb2.BatchUpdateTasksRequest(updates=pairs, **more)


def sent(aws: Emulator) -> list[tuple[str, dict[str, Any]]]:
    """The writes that AWS has got: operation and body."""
    return [
        (str(request.operation), json.loads(request.body))
        for request in aws.requests
        if "Update" in str(request.operation)
    ]


def tokens(aws: Emulator) -> list[str]:
    return [
        request.headers["x-amz-client-token"]
        for request in aws.requests
        if "Update" in str(request.operation)
    ]


def info_of(status: status_pb2.Status) -> error_details_pb2.ErrorInfo:
    info = error_details_pb2.ErrorInfo()
    assert status.details[0].Unpack(info)
    return info


def test_cancel(aws: Emulator, stub: task_service_pb2_grpc.TaskServiceStub) -> None:
    request = task_update_pb2.CancelTaskRequest(name=PENDING, request_id="mine", reason="enough")
    task = stub.CancelTask(request).task
    assert task.name == PENDING
    assert task.state == task_pb2.TASK_STATE_CANCELLED
    assert sent(aws) == [("UpdateTask", {"targetRunStatus": "CANCELED"})]
    assert tokens(aws) == ["mine"]


def test_retry_and_suspend(stub: task_service_pb2_grpc.TaskServiceStub) -> None:
    retried = stub.RetryTask(task_update_pb2.RetryTaskRequest(name=CANCELED)).task
    assert retried.state in {task_pb2.TASK_STATE_PENDING, task_pb2.TASK_STATE_QUEUED}
    suspended = stub.SuspendTask(task_update_pb2.SuspendTaskRequest(name=PENDING)).task
    assert suspended.state == task_pb2.TASK_STATE_SUSPENDED


def test_write_is_retried_with_the_same_token(aws: Emulator) -> None:
    settings = settings_for(aws.endpoint_url)
    twice = settings.aws["deadline"].model_copy(update={"max_attempts": 2})
    aws.fail("deadline", "UpdateTask", "InternalServerErrorException")
    more = {"aws": {"deadline": twice}}
    with (
        running_server(settings_for(aws.endpoint_url, **more)) as address,
        grpc.insecure_channel(str(address)) as channel,
    ):
        stub = task_service_pb2_grpc.TaskServiceStub(channel)
        stub.SuspendTask(task_update_pb2.SuspendTaskRequest(name=PENDING))
    first, second = tokens(aws)
    assert first == second
    assert 1 <= len(first) <= 64


def test_state_may_forbid_the_action(stub: task_service_pb2_grpc.TaskServiceStub) -> None:
    request = task_update_pb2.CancelTaskRequest(name=FAILED)
    error = error_of(lambda: stub.CancelTask(request))
    assert error.code is grpc.StatusCode.FAILED_PRECONDITION
    assert error.reason == "CONFLICT_EXCEPTION"
    assert error.metadata["reason"] == "STATUS_CONFLICT"


@pytest.mark.parametrize("method", ["CancelTask", "RetryTask", "SuspendTask"])
def test_healthomics_cannot_change_single_tasks(
    aws: Emulator, stub: task_service_pb2_grpc.TaskServiceStub, method: str
) -> None:
    request = getattr(task_update_pb2, f"{method}Request")(name=RUN_TASK)
    error = error_of(lambda: getattr(stub, method)(request))
    assert error.code is grpc.StatusCode.FAILED_PRECONDITION
    assert error.reason == "VERB_NOT_IN_SERVICE"
    assert error.metadata == {"service": "omics", "alternative": "CancelRun"}
    assert "taskgate.omics.v1.OmicsService/CancelRun" in error.message
    assert aws.request_count == 0


@pytest.mark.parametrize(
    ("name", "request_id", "field"),
    [("deadline/farms", "", "name"), ("", "", "name"), (PENDING, "x" * 65, "request_id")],
)
def test_invalid_requests_are_refused(
    aws: Emulator,
    stub: task_service_pb2_grpc.TaskServiceStub,
    name: str,
    request_id: str,
    field: str,
) -> None:
    request = task_update_pb2.CancelTaskRequest(name=name, request_id=request_id)
    error = error_of(lambda: stub.CancelTask(request))
    assert error.code is grpc.StatusCode.INVALID_ARGUMENT
    assert [violation.field for violation in error.violations] == [field]
    assert aws.request_count == 0


def test_batch_of_updates(aws: Emulator, stub: task_service_pb2_grpc.TaskServiceStub) -> None:
    request = batch(
        (PENDING, CANCEL),
        (FAILED, CANCEL),
        (RUN_TASK, CANCEL),
        (missing(1), RETRY),
        (CANCELED, RETRY),
        ("deadline/farms/f", SUSPEND),
        (SUSPENDED, task_update_pb2.TASK_ACTION_UNSPECIFIED),
    )
    results = stub.BatchUpdateTasks(request).results
    assert [result.name for result in results] == [update.name for update in request.updates]
    assert [result.error.code for result in results] == [
        code_pb2.OK,
        code_pb2.FAILED_PRECONDITION,
        code_pb2.FAILED_PRECONDITION,
        code_pb2.NOT_FOUND,
        code_pb2.OK,
        code_pb2.INVALID_ARGUMENT,
        code_pb2.INVALID_ARGUMENT,
    ]
    assert [result.HasField("error") for result in results].count(False) == 2
    assert info_of(results[1].error).reason == "CONFLICT_EXCEPTION"
    assert info_of(results[2].error).reason == "VERB_NOT_IN_SERVICE"
    [(operation, body)] = sent(aws)
    assert operation == "BatchUpdateTask"
    targets = [item["targetRunStatus"] for item in body["tasks"]]
    assert targets == ["CANCELED", "CANCELED", "PENDING", "PENDING"]


def test_read_after_a_write_is_fresh(stub: task_service_pb2_grpc.TaskServiceStub) -> None:
    read = task_service_pb2.GetTaskRequest
    before = [stub.GetTask(read(name=name)).task.state for name in (PENDING, CANCELED)]
    stub.BatchUpdateTasks(batch((PENDING, SUSPEND), (CANCELED, RETRY)))
    after = [stub.GetTask(read(name=name)).task.state for name in (PENDING, CANCELED)]
    assert before != after
    assert after[0] == task_pb2.TASK_STATE_SUSPENDED
    assert after[1] != task_pb2.TASK_STATE_CANCELLED


def test_cached_responses_of_other_tasks_stay_valid(
    aws: Emulator, stub: task_service_pb2_grpc.TaskServiceStub
) -> None:
    request = task_service_pb2.GetTaskRequest(name=FAILED)
    stub.GetTask(request)
    stub.BatchUpdateTasks(batch((PENDING, SUSPEND), (CANCELED, RETRY)))
    count = aws.request_count
    stub.GetTask(request)
    assert aws.request_count == count


def test_more_updates_than_an_aws_batch_holds(
    aws: Emulator, stub: task_service_pb2_grpc.TaskServiceStub
) -> None:
    request = batch(*((missing(number), RETRY) for number in range(250)), request_id="mine")
    results = stub.BatchUpdateTasks(request).results
    assert {result.error.code for result in results} == {code_pb2.NOT_FOUND}
    sizes = sorted(len(body["tasks"]) for _, body in sent(aws))
    assert sizes == [50, 100, 100]
    first = sorted(tokens(aws))
    assert len(set(first)) == 3
    assert all(1 <= len(token) <= 64 for token in first)
    stub.BatchUpdateTasks(request)
    assert sorted(tokens(aws)[3:]) == first


def test_one_of_a_batch_alone_is_a_single_call(
    aws: Emulator, stub: task_service_pb2_grpc.TaskServiceStub
) -> None:
    assert not stub.BatchUpdateTasks(batch((PENDING, CANCEL), request_id="a")).results[0].error.code
    assert [operation for operation, _ in sent(aws)] == ["UpdateTask"]
    assert tokens(aws) == ["a"]


@pytest.mark.parametrize("code", ["UnknownOperationException", "NewException"])
def test_an_endpoint_without_the_batch_operation(
    aws: Emulator, stub: task_service_pb2_grpc.TaskServiceStub, code: str
) -> None:
    headers = {"x-amzn-errortype": code}
    aws.respond("deadline", "BatchUpdateTask", status=400, headers=headers, times=100)
    request = batch((PENDING, CANCEL), (FAILED, CANCEL), (missing(1), RETRY))
    codes = [result.error.code for result in stub.BatchUpdateTasks(request).results]
    assert codes == [code_pb2.OK, code_pb2.FAILED_PRECONDITION, code_pb2.NOT_FOUND]
    operations = [operation for operation, _ in sent(aws)]
    assert operations == ["BatchUpdateTask", *["UpdateTask"] * 3]
    assert len(set(tokens(aws))) == 4
    for _ in range(2):
        stub.BatchUpdateTasks(batch((CANCELED, RETRY), (SUSPENDED, RETRY)))
    before = len(sent(aws))
    stub.BatchUpdateTasks(batch((CANCELED, RETRY), (SUSPENDED, RETRY)))
    assert [operation for operation, _ in sent(aws)][before:] == ["UpdateTask"] * 2


def test_denied_batch_does_not_end_batching(
    aws: Emulator, stub: task_service_pb2_grpc.TaskServiceStub
) -> None:
    aws.fail("deadline", "BatchUpdateTask", "AccessDeniedException")
    stub.BatchUpdateTasks(batch((PENDING, CANCEL), (missing(1), RETRY)))
    stub.BatchUpdateTasks(batch((CANCELED, RETRY), (missing(1), RETRY)))
    operations = [operation for operation, _ in sent(aws)]
    assert operations == ["BatchUpdateTask", "UpdateTask", "UpdateTask", "BatchUpdateTask"]


def test_failed_batch_is_the_error_of_each_item(
    aws: Emulator, stub: task_service_pb2_grpc.TaskServiceStub
) -> None:
    aws.fail("deadline", "BatchUpdateTask", "InternalServerErrorException")
    results = stub.BatchUpdateTasks(batch((PENDING, CANCEL), (CANCELED, RETRY))).results
    assert [result.error.code for result in results] == [code_pb2.INTERNAL] * 2
    assert len(sent(aws)) == 1


def test_transient_errors_of_items_are_retried(aws: Emulator) -> None:
    settings = settings_for(aws.endpoint_url)
    twice = settings.aws["deadline"].model_copy(update={"max_attempts": 2})
    ids = {
        "farmId": seed.FARM_ID,
        "queueId": seed.QUEUE_ID,
        "jobId": seed.JOB_ID,
        "stepId": seed.COMPOSITE_STEP_ID,
        "taskId": seed.PENDING_TASK_ID,
    }
    errors = [{**ids, "code": "ThrottlingException", "message": "slow down"}]
    aws.respond("deadline", "BatchUpdateTask", body={"errors": errors})
    with (
        running_server(settings_for(aws.endpoint_url, aws={"deadline": twice})) as address,
        grpc.insecure_channel(str(address)) as channel,
    ):
        stub = task_service_pb2_grpc.TaskServiceStub(channel)
        results = stub.BatchUpdateTasks(batch((PENDING, CANCEL), (CANCELED, RETRY))).results
    assert not any(result.error.code for result in results)
    assert [len(body["tasks"]) for _, body in sent(aws)] == [2, 1]
    assert len(set(tokens(aws))) == 2


def test_retries_of_items_are_limited(
    aws: Emulator, stub: task_service_pb2_grpc.TaskServiceStub
) -> None:
    name = missing(1).split("/")
    errors = [
        {
            **dict(
                zip(["farmId", "queueId", "jobId", "stepId", "taskId"], name[2::2], strict=True)
            ),
            "code": "ThrottlingException",
        }
    ]
    aws.respond("deadline", "BatchUpdateTask", body={"errors": errors}, times=5)
    results = stub.BatchUpdateTasks(batch((missing(1), RETRY), (CANCELED, RETRY))).results
    assert [result.error.code for result in results] == [code_pb2.RESOURCE_EXHAUSTED, code_pb2.OK]
    assert len(sent(aws)) == 1  # max_attempts is 1


def test_a_batch_is_checked_as_a_whole(
    aws: Emulator, stub: task_service_pb2_grpc.TaskServiceStub
) -> None:
    def violations(request: task_update_pb2.BatchUpdateTasksRequest) -> list[str]:
        error: CallError = error_of(lambda: stub.BatchUpdateTasks(request))
        assert error.code is grpc.StatusCode.INVALID_ARGUMENT
        return [violation.field for violation in error.violations]

    assert violations(batch()) == ["updates"]
    assert violations(batch(*((missing(n), RETRY) for n in range(1001)))) == ["updates"]
    assert violations(batch((PENDING, CANCEL), request_id="x" * 65)) == ["request_id"]
    twice = batch((PENDING, CANCEL), (FAILED, CANCEL), (PENDING, RETRY))
    assert violations(twice) == ["updates[2].name"]
    assert aws.request_count == 0


def ids(name: str) -> str:
    """A task's name without its collections."""
    service, *rest = name.split("/")
    return "/".join([service, *rest[1::2]])


def test_caller_action_and_reason_are_audited(
    stub: task_service_pb2_grpc.TaskServiceStub, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "taskgate")
    stub.BatchUpdateTasks(
        batch((PENDING, CANCEL), (missing(1), RETRY), ("x" * 9999, RETRY), reason="y" * 2000)
    )
    [line] = [record for record in caplog.records if record.msg == "audit"]
    fields = vars(line)
    assert fields["resources"] == [ids(PENDING), ids(missing(1))]
    assert fields["resource_count"] == 2, "a malformed name is no resource"
    assert fields["failed_count"] == 2
    assert fields["code"] == "OK"
    assert fields["actions"] == {"TASK_ACTION_CANCEL": 1, "TASK_ACTION_RETRY": 1}
    assert fields["reason"] == "y" * 256
    assert 1 <= len(fields["request_id"]) <= 64
    assert fields["method"] == "taskgate.v1.TaskService/BatchUpdateTasks"
