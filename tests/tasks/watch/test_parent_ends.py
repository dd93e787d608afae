"""How a run or a job itself has ended, reported alike by a watch, a summary, a wait and a log."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest
from google.protobuf.duration_pb2 import Duration

from taskgate.v1 import task_log_pb2, task_pb2, task_service_pb2, task_watch_pb2
from taskgate_emulator import Emulator
from taskgate_emulator.control import AddedJob, AddedRun
from taskgate_emulator.deadline.tasks import JOB
from tests.support.aws_requests import RecordedCalls
from tests.support.manual_clock_server import End, ManualClockServer, watch
from tests.support.task_service import job_name, run_name, run_task_name, step_name, task_name

pytestmark = pytest.mark.timed

MESSAGE = "the template could not be expanded"
REASON = {"failureReason": "OUTPUT_FAILED", "statusMessage": "outputs could not be written"}


def run(aws: Emulator, status: str, tasks: int = 0, tasks_are: str = "COMPLETED") -> AddedRun:
    added = aws.runs.add(tasks, status=tasks_are)
    more = REASON if status == "FAILED" else {}
    aws.runs.move({"id": added.run}, status, **more)
    return added


def job(aws: Emulator, lifecycle: str, tasks: int = 0, tasks_are: str = "READY") -> AddedJob:
    added = aws.jobs.add([tasks] if tasks else [], status=tasks_are or "READY")
    found = {"lifecycleStatus": lifecycle, "lifecycleStatusMessage": MESSAGE}
    aws.edit(lambda account: account.update(JOB, (added.farm, added.queue, added.job), **found))
    return added


def state_of(status: task_pb2.ParentStatus) -> str:
    return task_pb2.TaskState.Name(status.state).removeprefix("TASK_STATE_")


def summary_of(place: ManualClockServer, parent: str) -> task_service_pb2.SummarizeTasksResponse:
    request = task_service_pb2.SummarizeTasksRequest(parent=parent, max_age=Duration())
    response: task_service_pb2.SummarizeTasksResponse = place.stub.SummarizeTasks(request)
    return response


def end_of(place: ManualClockServer, **request: Any) -> task_watch_pb2.WatchEnd:
    with watch(place, until_settled=True, **request) as (picture, read):
        read()
        assert picture.end is not None
        assert picture.end.reason == End.WATCH_END_REASON_SETTLED
        assert picture.end.counts.settled
        return picture.end


RUNS: list[tuple[str, int, str, str]] = [
    ("FAILED", 0, "", "FAILED"),
    ("FAILED", 2, "COMPLETED", "FAILED"),
    ("FAILED", 2, "PENDING", "FAILED"),
    ("COMPLETED", 0, "", "SUCCEEDED"),
    ("COMPLETED", 2, "COMPLETED", "SUCCEEDED"),
    ("CANCELLED", 0, "", "CANCELLED"),
    ("CANCELLED", 2, "PENDING", "CANCELLED"),
    ("DELETED", 1, "COMPLETED", "CANCELLED"),
]


@pytest.mark.parametrize(("status", "tasks", "tasks_are", "state"), RUNS)
def test_end_of_a_run_has_the_state_of_the_run(
    place: ManualClockServer, status: str, tasks: int, tasks_are: str, state: str
) -> None:
    name = run_name(run(place.aws, status, tasks, tasks_are))
    end, summary = end_of(place, parent=name), summary_of(place, name)
    for found in (end.parent_status, summary.parent_status):
        assert (found.name, state_of(found), found.native_state) == (name, state, status)
        assert found.ended
        assert found.HasField("observe_time")
        assert found.HasField("failure_reason") is found.HasField("status_message")
        assert (found.failure_reason == REASON["failureReason"]) is (status == "FAILED")
        assert (found.status_message == REASON["statusMessage"]) is (status == "FAILED")
    assert end.counts == summary.counts
    assert end.counts.total == tasks
    assert summary.counts.settled
    assert summary.native_state == status


JOBS: list[tuple[str, int, str, str, str]] = [
    ("CREATE_FAILED", 0, "", "FAILED", "CREATE_FAILED"),
    ("CREATE_FAILED", 2, "READY", "FAILED", "CREATE_FAILED"),
    ("UPLOAD_FAILED", 0, "", "FAILED", "UPLOAD_FAILED"),
    ("ARCHIVED", 0, "", "CANCELLED", "ARCHIVED"),
    ("ARCHIVED", 2, "READY", "CANCELLED", "ARCHIVED"),
    ("ARCHIVED", 2, "SUCCEEDED", "SUCCEEDED", "SUCCEEDED"),
    ("CREATE_COMPLETE", 2, "FAILED", "FAILED", "FAILED"),
    ("UPDATE_FAILED", 2, "CANCELED", "CANCELLED", "CANCELED"),
]


@pytest.mark.parametrize(("lifecycle", "tasks", "tasks_are", "state", "native"), JOBS)
def test_end_of_a_job_has_the_state_of_the_job(
    place: ManualClockServer,
    lifecycle: str,
    tasks: int,
    tasks_are: str,
    state: str,
    native: str,
) -> None:
    name = job_name(job(place.aws, lifecycle, tasks, tasks_are))
    end, summary = end_of(place, parent=name), summary_of(place, name)
    for found in (end.parent_status, summary.parent_status):
        assert (found.name, state_of(found), found.native_state) == (name, state, native)
        assert (found.ended, found.lifecycle_status) == (True, lifecycle)
        assert (found.status_message == MESSAGE) is (native == lifecycle)
    assert end.counts == summary.counts
    assert summary.counts.settled


@pytest.mark.parametrize(
    "lifecycle", ["CREATE_IN_PROGRESS", "UPLOAD_IN_PROGRESS", "UPDATE_IN_PROGRESS"]
)
def test_job_that_is_being_updated_has_not_ended(place: ManualClockServer, lifecycle: str) -> None:
    added = job(place.aws, lifecycle, 1, "SUCCEEDED")
    summary = summary_of(place, job_name(added))
    assert not summary.parent_status.ended
    assert not summary.counts.settled
    with watch(place, parent=job_name(added), until_settled=True) as (picture, read):
        read(lambda: picture.is_complete)
        place.aws.jobs.add_tasks(added.step(), 1, status="SUCCEEDED")
        edit: Callable[..., Any] = place.aws.edit
        key = (added.farm, added.queue, added.job)
        edit(lambda account: account.update(JOB, key, lifecycleStatus="CREATE_COMPLETE"))
        read()
        assert picture.end is not None
        assert picture.end.counts.total == 2, "the task that came with the last update"


def test_a_step_ends_with_its_job(place: ManualClockServer) -> None:
    added = job(place.aws, "ARCHIVED", 2)
    name = step_name(added)
    end, summary = end_of(place, parent=name), summary_of(place, name)
    for found in (end.parent_status, summary.parent_status):
        assert (found.name, state_of(found)) == (job_name(added), "CANCELLED")
    assert end.counts == summary.counts
    whole = job(place.aws, "CREATE_COMPLETE", 2, "SUCCEEDED")
    with RecordedCalls(place.aws) as calls:
        found = end_of(place, parent=step_name(whole)).parent_status
    assert (found.name, state_of(found)) == (step_name(whole), "SUCCEEDED")
    assert "GetJob" not in calls.counts


def test_named_tasks_that_can_never_settle_end_the_watch(place: ManualClockServer) -> None:
    dead, done = run(place.aws, "FAILED", 2, "PENDING"), run(place.aws, "FAILED", 1)
    names = [run_task_name(done, 0), run_task_name(dead, 1)]
    end = end_of(place, names=names)
    assert end.parent_status.name == run_name(dead)
    assert end.parent_status.failure_reason == REASON["failureReason"]
    assert end.counts.total == 2
    assert not end_of(place, names=names[:1]).HasField("parent_status"), "the task says it all"


@pytest.mark.parametrize("service", ["deadline", "omics"])
def test_a_wait_for_a_task_that_can_never_settle_ends(
    place: ManualClockServer, service: str
) -> None:
    if service == "omics":
        dead = run(place.aws, "CANCELLED", 1, "PENDING")
        parent, name, word = run_name(dead), run_task_name(dead, 0), "PENDING"
    else:
        archived = job(place.aws, "ARCHIVED", 1)
        parent, name, word = job_name(archived), task_name(archived, 0), "READY"
    response = place.stub.WaitTask(task_watch_pb2.WaitTaskRequest(name=name), timeout=30)
    assert response.done
    assert response.task.native_state == word
    assert (response.parent_status.name, state_of(response.parent_status)) == (parent, "CANCELLED")


def test_wait_for_a_settled_task_has_no_parent_status(
    place: ManualClockServer,
) -> None:
    name = run_task_name(run(place.aws, "FAILED", 1), 0)
    response = place.stub.WaitTask(task_watch_pb2.WaitTaskRequest(name=name), timeout=30)
    assert response.done
    assert not response.HasField("parent_status")


def test_task_that_settles_late_is_counted_at_the_end(place: ManualClockServer) -> None:
    """The tasks of a run need not have settled in the response that is sent when it has."""
    dead = run(place.aws, "FAILED", 2, "RUNNING")
    with watch(place, parent=run_name(dead), until_settled=True) as (picture, read):
        read(lambda: picture.is_complete)
        for number in (0, 1):
            place.aws.runs.move(dead.task(number), "CANCELLED")
        read()
        assert picture.end is not None
        assert dict(picture.end.counts.native_states) == {"CANCELLED": 2}


def test_a_followed_log_of_a_task_that_can_never_run_ends(place: ManualClockServer) -> None:
    name = run_task_name(run(place.aws, "CANCELLED", 1, "PENDING"), 0)
    request = task_log_pb2.StreamTaskLogsRequest(name=name, follow=True)
    began = time.monotonic()
    [part] = place.stub.StreamTaskLogs(request, timeout=30)
    assert part.source.attempt_count == 0
    assert time.monotonic() - began < 15
