"""The client methods that make one call, or one for each page."""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice

import grpc
import pytest

from taskgate.v1 import task_pb2, task_service_pb2, task_update_pb2
from taskgate_client import CallError, Client, OmicsRunName, OmicsTaskName
from tests.support.fake_service import RUN, Failure, FakeTaskService, bad_field, page, status, task


def result(name: str) -> task_service_pb2.TaskResult:
    if name.endswith("/missing"):
        error = status(grpc.StatusCode.NOT_FOUND, "no such task", bad_field("name", "unknown"))
        return task_service_pb2.TaskResult(name=name, error=error)
    return task_service_pb2.TaskResult(name=name, task=task_pb2.Task(name=name))


def test_a_batch_returns_tasks_and_errors_in_order(client: Client, fake: FakeTaskService) -> None:
    fake.script(
        "BatchGetTasks",
        lambda request: task_service_pb2.BatchGetTasksResponse(
            results=[result(name) for name in request.names]
        ),
    )
    names = (f"{RUN}/tasks/1", f"{RUN}/tasks/missing", OmicsTaskName("1234567", "1"))
    first, second, third = client.batch_get_tasks(
        names, view=task_pb2.TASK_VIEW_BASIC, max_age=0.25
    )
    assert isinstance(first, task_pb2.Task)
    assert first == third
    assert isinstance(second, CallError)
    assert second.code is grpc.StatusCode.NOT_FOUND
    assert second.violations == [("name", "unknown")]
    (request,) = fake.requests["BatchGetTasks"]
    assert request.view == task_pb2.TASK_VIEW_BASIC
    assert request.max_age.ToTimedelta().total_seconds() == 0.25


def test_a_large_batch_is_split_into_requests_of_a_thousand(
    client: Client, fake: FakeTaskService
) -> None:
    fake.script(
        "BatchGetTasks",
        lambda request: task_service_pb2.BatchGetTasksResponse(
            results=[result(name) for name in request.names]
        ),
    )
    names = [f"{RUN}/tasks/{number}" for number in range(2_001)]
    tasks = client.batch_get_tasks(names)
    assert [each.name for each in tasks if isinstance(each, task_pb2.Task)] == names
    assert [len(each.names) for each in fake.requests["BatchGetTasks"]] == [1_000, 1_000, 1]
    assert not client.batch_get_tasks([])


def test_a_listing_fetches_pages_when_needed(client: Client, fake: FakeTaskService) -> None:
    fake.script(
        "ListTasks",
        page(task(1), task(2), token="second", total_size=3),
        page(token="third"),
        page(task(3), incomplete_reason="AWS searches to the 10,000th task only"),
    )
    listing = client.list_tasks(OmicsRunName("1234567"), filter="state = FAILED", page_size=2)
    assert not fake.requests["ListTasks"]
    assert [each.name for each in islice(listing, 2)] == [f"{RUN}/tasks/1", f"{RUN}/tasks/2"]
    assert len(fake.requests["ListTasks"]) == 1
    assert listing.total_size == 3
    before = listing.incomplete_reason
    assert [each.name for each in listing] == [f"{RUN}/tasks/3"]
    assert before is None
    assert listing.incomplete_reason == "AWS searches to the 10,000th task only"
    requests = fake.requests["ListTasks"]
    assert [each.page_token for each in requests] == ["", "second", "third"]
    assert {(each.parent, each.filter, each.page_size) for each in requests} == {
        (RUN, "state = FAILED", 2)
    }
    assert not requests[0].HasField("max_age")
    assert not list(listing)


def test_a_failed_page_is_requested_again(client: Client, fake: FakeTaskService) -> None:
    fake.script(
        "ListTasks",
        page(task(1), token="second"),
        Failure(grpc.StatusCode.RESOURCE_EXHAUSTED, "not now"),
        page(task(2)),
    )
    listing = client.list_tasks(RUN)
    next(listing)
    with pytest.raises(CallError, match="not now"):
        next(listing)
    assert next(listing).name == f"{RUN}/tasks/2"
    assert [each.page_token for each in fake.requests["ListTasks"]] == ["", "second", "second"]


def test_summarize_tasks(client: Client, fake: FakeTaskService) -> None:
    fake.script(
        "SummarizeTasks", task_service_pb2.SummarizeTasksResponse(display_name="NA12878 germline")
    )
    assert client.summarize_tasks(RUN, max_age=0).display_name == "NA12878 germline"
    (request,) = fake.requests["SummarizeTasks"]
    assert request.parent == RUN
    assert request.HasField("max_age")
    assert request.max_age.ToTimedelta().total_seconds() == 0


@pytest.mark.parametrize("action", ["cancel", "retry", "suspend"])
def test_an_update_of_one_task(client: Client, fake: FakeTaskService, action: str) -> None:
    rpc = f"{action.capitalize()}Task"
    response = getattr(task_update_pb2, f"{rpc}Response")
    fake.script(rpc, response(task=task(1)))
    method = getattr(client, f"{action}_task")
    result = method(OmicsTaskName("1234567", "1"), reason="wrong camera", request_id="once")
    assert result == task(1)
    (request,) = fake.requests[rpc]
    assert request.name == f"{RUN}/tasks/1"
    assert request.reason == "wrong camera"
    assert request.request_id == "once"


def test_a_batch_of_updates_returns_an_error_for_each_task(
    client: Client, fake: FakeTaskService
) -> None:
    refused = status(grpc.StatusCode.FAILED_PRECONDITION, "HealthOmics has CancelRun only")
    fake.script(
        "BatchUpdateTasks",
        task_update_pb2.BatchUpdateTasksResponse(
            results=[
                task_update_pb2.TaskUpdateResult(name="a"),
                task_update_pb2.TaskUpdateResult(name="b", error=refused),
            ]
        ),
    )
    done = client.batch_update_tasks(
        {"a": task_update_pb2.TASK_ACTION_CANCEL, "b": task_update_pb2.TASK_ACTION_RETRY},
        reason="late",
    )
    assert done["a"] is None
    assert done["b"] is not None
    assert done["b"].code is grpc.StatusCode.FAILED_PRECONDITION
    (request,) = fake.requests["BatchUpdateTasks"]
    assert [(each.name, each.action) for each in request.updates] == [
        ("a", task_update_pb2.TASK_ACTION_CANCEL),
        ("b", task_update_pb2.TASK_ACTION_RETRY),
    ]
    assert request.reason == "late"


def test_every_method_raises_call_errors(client: Client, fake: FakeTaskService) -> None:
    failure = Failure(grpc.StatusCode.INVALID_ARGUMENT, "no", bad_field("parent", "is no parent"))
    calls: dict[str, Callable[[], object]] = {
        "BatchGetTasks": lambda: client.batch_get_tasks(["x"]),
        "ListTasks": lambda: next(client.list_tasks("x")),
        "SummarizeTasks": lambda: client.summarize_tasks("x"),
        "WatchTasks": lambda: next(client.watch_tasks("x")),
        "WaitTask": lambda: client.wait_task("x"),
        "CancelTask": lambda: client.cancel_task("x"),
        "RetryTask": lambda: client.retry_task("x"),
        "SuspendTask": lambda: client.suspend_task("x"),
        "BatchUpdateTasks": lambda: client.batch_update_tasks(
            {"x": task_update_pb2.TASK_ACTION_CANCEL}
        ),
        "StreamTaskLogs": lambda: next(client.stream_task_logs("x")),
    }
    served = task_service_pb2.DESCRIPTOR.services_by_name["TaskService"].methods_by_name
    assert set(calls) | {"GetTask", "GetServerInfo"} == set(served)
    for rpc, call in calls.items():
        fake.script(rpc, failure)
        with pytest.raises(CallError) as caught:
            call()
        assert caught.value.violations == [("parent", "is no parent")], rpc
