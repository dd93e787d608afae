"""Names and ids that are too long, too deep or too many are rejected before they cost anything."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.message import Message

from taskgate.deadline.v1 import deadline_pb2
from taskgate.omics.v1 import omics_pb2
from taskgate.v1 import (
    task_log_pb2,
    task_service_pb2,
    task_service_pb2_grpc,
    task_update_pb2,
    task_watch_pb2,
)
from taskgate_emulator import Emulator
from taskgate_server import errors
from taskgate_server.auth.resources import NOTHING, compile_paths
from tests.support.running_server import running_server, settings_for

UNIFIED = "taskgate.v1.TaskService"
DEADLINE = "taskgate.deadline.v1.DeadlineService"
OMICS = "taskgate.omics.v1.OmicsService"
TASK = "omics/runs/7/tasks/8"
SECONDS = 10.0
SERVICE_WORDS = ("omics", "deadline")
"""Of the forms that messages show."""

BAD_NAMES = {
    "31 KB of segments": "deadline" + "/as/i" * 4000,
    "a segment too many": f"{TASK}/logs/1",
    "a segment too few": "omics/runs/7/tasks",
    "an empty id": "omics/runs//tasks/8",
    "an empty id at the end": "omics/runs/7/tasks/",
    "another collection": "omics/runs/7/steps/8",
    "another service": "lambda/runs/7/tasks/8",
    "a service alone": "omics",
    "a name of 513 bytes": f"omics/runs/7/tasks/{'8' * 494}",
    "a name of 513 bytes in fewer characters": f"omics/runs/7/tasks/{'é' * 247}",
}


def rejected(method: str, request: Message) -> errors.TaskgateError:
    paths = compile_paths(method, type(request))
    with pytest.raises(errors.TaskgateError) as raised:
        paths(request)
    assert raised.value.code is grpc.StatusCode.INVALID_ARGUMENT
    return raised.value


def requests_with(name: str) -> Iterator[tuple[str, Message, str]]:
    yield "GetTask", task_service_pb2.GetTaskRequest(name=name), "name"
    yield "WaitTask", task_watch_pb2.WaitTaskRequest(name=name), "name"
    yield "StreamTaskLogs", task_log_pb2.StreamTaskLogsRequest(name=name), "name"
    yield "CancelTask", task_update_pb2.CancelTaskRequest(name=name), "name"
    yield "ListTasks", task_service_pb2.ListTasksRequest(parent=name), "parent"
    yield "WatchTasks", task_watch_pb2.WatchTasksRequest(parent=name), "parent"
    yield "WatchTasks", task_watch_pb2.WatchTasksRequest(names=[TASK, name]), "names[1]"


@pytest.mark.parametrize("case", BAD_NAMES)
def test_malformed_name_is_rejected_and_not_quoted(case: str) -> None:
    name = BAD_NAMES[case]
    for method, request, field in requests_with(name):
        error = rejected(f"{UNIFIED}/{method}", request)
        assert error.message.startswith(f"{field}: must have ")
        assert name not in error.message or name in SERVICE_WORDS
        assert len(error.message) < 400


def test_the_message_shows_the_form_of_the_service() -> None:
    request = task_service_pb2.GetTaskRequest(name="omics/runs/7")
    error = rejected(f"{UNIFIED}/GetTask", request)
    assert error.message == "name: must have the form omics/runs/{id}/tasks/{taskId}"


def test_the_longest_name_and_each_parent_are_taken() -> None:
    longest = f"omics/runs/7/tasks/{'8' * 493}"
    get = task_service_pb2.GetTaskRequest(name=longest)
    [path] = compile_paths(f"{UNIFIED}/GetTask", type(get))(get)
    assert len(path) == 3
    for parent in ("omics/runs/7", "deadline/farms/f/queues/q", "deadline/farms/f/queues/q/jobs/j"):
        listing = task_service_pb2.ListTasksRequest(parent=parent)
        [path] = compile_paths(f"{UNIFIED}/ListTasks", type(listing))(listing)
        assert path[-1][1] == parent.rpartition("/")[2]


@pytest.mark.parametrize("case", BAD_NAMES)
def test_malformed_name_in_a_batch_fails_only_its_item(case: str) -> None:
    request = task_service_pb2.BatchGetTasksRequest(names=[BAD_NAMES[case], TASK])
    first, second = compile_paths(f"{UNIFIED}/BatchGetTasks", type(request))(request)
    assert (first, second[-1]) == (NOTHING, ("Task", "8"))


def crowd() -> Iterator[tuple[str, Message]]:
    """Requests that name 1,001 resources."""
    many = [str(number) for number in range(1001)]
    yield f"{UNIFIED}/BatchGetTasks", task_service_pb2.BatchGetTasksRequest(names=many)
    yield f"{UNIFIED}/WatchTasks", task_watch_pb2.WatchTasksRequest(names=many)
    updates = task_update_pb2.BatchUpdateTasksRequest()
    items = deadline_pb2.BatchUpdateTaskRequest()
    for _ in many:
        updates.updates.add()
        items.tasks.add()
    yield f"{UNIFIED}/BatchUpdateTasks", updates
    yield f"{DEADLINE}/BatchUpdateTask", items
    yield f"{DEADLINE}/SearchTasks", deadline_pb2.SearchTasksRequest(queue_ids=many)
    yield f"{OMICS}/BatchDeleteReadSet", omics_pb2.BatchDeleteReadSetRequest(ids=many)
    schedule = deadline_pb2.UpdateWorkerScheduleRequest()
    for each in many:
        schedule.updated_session_actions[each].SetInParent()
    yield f"{DEADLINE}/UpdateWorkerSchedule", schedule
    both = deadline_pb2.StartSessionsStatisticsAggregationRequest()
    both.resource_ids.queue_ids.values.extend(many)
    yield f"{DEADLINE}/StartSessionsStatisticsAggregation", both


@pytest.mark.parametrize(("method", "request_"), list(crowd()))
def test_too_many_resources_are_rejected(method: str, request_: Message) -> None:
    assert "at most 1000 resources" in rejected(method, request_).message


LONG: list[tuple[str, Callable[[str], Message], int]] = [
    (f"{DEADLINE}/GetJob", lambda key: deadline_pb2.GetJobRequest(job_id=key), 2048),
    (f"{DEADLINE}/CreateJob", lambda key: deadline_pb2.CreateJobRequest(source_job_id=key), 2048),
    (
        f"{DEADLINE}/BatchGetTask",
        lambda key: deadline_pb2.BatchGetTaskRequest(
            identifiers=[deadline_pb2.BatchGetTaskIdentifier(task_id=key)]
        ),
        2048,
    ),
    (f"{OMICS}/GetRun", lambda key: omics_pb2.GetRunRequest(id=key), 18),
    (f"{OMICS}/StartRun", lambda key: omics_pb2.StartRunRequest(workflow_id=key), 18),
    (f"{OMICS}/TagResource", lambda key: omics_pb2.TagResourceRequest(resource_arn=key), 2048),
]


@pytest.mark.parametrize(("method", "build", "limit"), LONG)
def test_an_id_longer_than_the_model_allows_is_rejected(
    method: str, build: Callable[[str], Message], limit: int
) -> None:
    request = build("1" * (limit + 1))
    assert f"must be at most {limit}" in rejected(method, request).message
    fitting = build("1" * limit)
    assert compile_paths(method, type(fitting))(fitting)


def test_an_arn_cannot_make_a_path_long() -> None:
    arn = "arn:aws:omics:us-west-2:111122223333:" + "run/7/workflow/1/" * 100
    request = omics_pb2.TagResourceRequest(resource_arn=arn)
    [path] = compile_paths(f"{OMICS}/TagResource", type(request))(request)
    assert [kind for kind, _ in path] == ["AwsService", "Run", "Workflow", "Resource"]


@pytest.fixture(scope="module")
def stub(aws: Emulator, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    file: Path = tmp_path_factory.mktemp("policy") / "policy.cedar"
    file.write_text('permit (principal, action in Action::"read", resource in Omics::Run::"7");')
    with (
        running_server(settings_for(aws.endpoint_url, policy_files=[file])) as address,
        grpc.insecure_channel(str(address)) as channel,
    ):
        yield task_service_pb2_grpc.TaskServiceStub(channel)


def test_anonymous_callers_get_the_same_error_for_all_malformed_names(stub: Any) -> None:
    for name in (BAD_NAMES["31 KB of segments"], BAD_NAMES["a segment too many"]):
        with pytest.raises(grpc.RpcError) as raised:
            stub.GetTask(task_service_pb2.GetTaskRequest(name=name), timeout=SECONDS)
        assert raised.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    with pytest.raises(grpc.RpcError) as raised:
        stub.GetTask(task_service_pb2.GetTaskRequest(name="omics/runs/8/tasks/8"), timeout=SECONDS)
    assert raised.value.code() is grpc.StatusCode.PERMISSION_DENIED


def test_batch_with_a_malformed_name_has_the_other_results(stub: Any) -> None:
    names = [BAD_NAMES["31 KB of segments"], "omics/runs/8/tasks/8"]
    request = task_service_pb2.BatchGetTasksRequest(names=names)
    results = stub.BatchGetTasks(request, timeout=SECONDS).results
    assert [
        grpc.StatusCode.INVALID_ARGUMENT.value[0],
        grpc.StatusCode.PERMISSION_DENIED.value[0],
    ] == [result.error.code for result in results]
