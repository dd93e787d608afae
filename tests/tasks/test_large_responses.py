"""Responses of many large tasks keep within what a stub without settings takes: 4 MiB."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2

from taskgate.v1 import task_pb2, task_service_pb2, task_service_pb2_grpc
from taskgate_emulator import Emulator
from taskgate_emulator.control import AddedJob
from taskgate_emulator.deadline.tasks import TASK
from taskgate_server.config import Settings
from taskgate_server.tasks.response_size import fit_results
from tests.support.running_server import running_server, settings_for
from tests.support.task_service import step_name, task_name

TASKS = 500
PARAMETERS = {f"Param{number:02}": {"string": "x" * 1000} for number in range(16)}
MAX_BYTES = int(Settings.model_fields["max_response_bytes"].default)


@dataclass(frozen=True)
class LargeJob:
    stub: Any
    job: AddedJob
    names: list[str]
    aws: Emulator


@pytest.fixture(scope="module")
def place() -> Iterator[LargeJob]:
    """A job whose tasks have some 33 KB each: AWS's parameters, and ours."""
    with Emulator(seed="empty") as aws:
        job = aws.jobs.add([TASKS])

        def enlarge(account: Any) -> None:
            for number in range(TASKS):
                key = tuple(job.task(number).values())
                record = account.table(TASK).record(key)
                account.put(TASK, key, {**record, "parameters": PARAMETERS})

        aws.edit(enlarge)
        with (
            running_server(settings_for(aws.endpoint_url)) as address,
            grpc.insecure_channel(str(address)) as channel,
        ):
            stub = task_service_pb2_grpc.TaskServiceStub(channel)
            names = [task_name(job, number) for number in range(TASKS)]
            yield LargeJob(stub, job, names, aws)


def test_tasks_without_room_have_errors_in_a_batch(place: LargeJob) -> None:
    request = task_service_pb2.BatchGetTasksRequest(names=place.names)
    response = place.stub.BatchGetTasks(request, timeout=60)
    assert MAX_BYTES * 0.9 < response.ByteSize() <= MAX_BYTES
    assert [each.name for each in response.results] == place.names
    whole = [each for each in response.results if each.HasField("task")]
    refused = [each.error for each in response.results if each.HasField("error")]
    assert len(whole) > 50
    assert refused
    for status in refused:
        assert status.code == grpc.StatusCode.RESOURCE_EXHAUSTED.value[0]
        info = error_details_pb2.ErrorInfo()
        assert status.details[0].Unpack(info)
        assert info.reason == "RESPONSE_TOO_LARGE"
        assert info.metadata["max_response_bytes"] == str(MAX_BYTES)


def test_smaller_batches_read_all_tasks(place: LargeJob) -> None:
    left, found = list(place.names), {}
    while left:
        request = task_service_pb2.BatchGetTasksRequest(names=left)
        for each in place.stub.BatchGetTasks(request, timeout=60).results:
            if each.HasField("task"):
                found[each.name] = each.task
        assert len(left) > len(place.names) - len(found), "each batch makes progress"
        left = [name for name in place.names if name not in found]
    assert all(len(task.parameters) == len(PARAMETERS) for task in found.values())


@pytest.mark.parametrize("view", [task_pb2.TASK_VIEW_BASIC, task_pb2.TASK_VIEW_FULL])
def test_pages_shrink(place: LargeJob, view: Any) -> None:
    """Each task is on one page."""
    listed: list[str] = []
    token = ""
    while not listed or token:
        request = task_service_pb2.ListTasksRequest(
            parent=step_name(place.job), page_size=1000, page_token=token, view=view
        )
        page = place.stub.ListTasks(request, timeout=60)
        assert page.ByteSize() <= MAX_BYTES + 1024  # and a token
        listed += [task.name for task in page.tasks]
        token = page.next_page_token
    assert sorted(listed) == sorted(place.names)


def test_a_page_has_one_task_at_least(place: LargeJob) -> None:
    """Also where the limit is smaller than one of AWS's pages."""
    settings = settings_for(place.aws.endpoint_url, max_response_bytes=64 * 1024)
    listed: list[str] = []
    token = ""
    with running_server(settings) as address, grpc.insecure_channel(str(address)) as channel:
        stub: Any = task_service_pb2_grpc.TaskServiceStub(channel)
        while len(listed) < 10:
            request = task_service_pb2.ListTasksRequest(
                parent=step_name(place.job), page_size=100, page_token=token
            )
            page = stub.ListTasks(request, timeout=60)
            assert 1 <= len(page.tasks) <= 4
            listed += [task.name for task in page.tasks]
            token = page.next_page_token
    assert listed == place.names[: len(listed)]


def result(name: str, size: int) -> task_service_pb2.TaskResult:
    task = task_pb2.Task(name=name, display_name="x" * size)
    return task_service_pb2.TaskResult(name=name, task=task)


def test_single_task_is_returned_at_any_size() -> None:
    results = [result("a", 10_000)]
    assert fit_results(results, 5_000, "id") == results


def test_errors_of_tasks_stay_and_small_tasks_fit_beside_large_ones() -> None:
    failed = task_service_pb2.TaskResult(name="failed")
    failed.error.code = 5
    results = [result("a", 3_000), failed, result("large", 9_000), result("b", 100)]
    fitted = fit_results(results, 6_000, "id")
    assert [each.WhichOneof("result") for each in fitted] == ["task", "error", "error", "task"]
    assert fitted[1] == failed
    assert fitted[2].error.code == grpc.StatusCode.RESOURCE_EXHAUSTED.value[0]
    assert sum(each.ByteSize() + 5 for each in fitted) <= 6_000
