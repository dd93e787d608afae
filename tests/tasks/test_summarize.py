"""SummarizeTasks over the wire: counts of a step, a job and a run, in few AWS calls."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import grpc
import pytest

from taskgate.v1 import task_pb2, task_service_pb2
from taskgate_emulator import Emulator, ManualClock
from taskgate_emulator.seeds import ids as seed
from tests.support.aws_requests import RecordedCalls
from tests.support.call_errors import error_of
from tests.support.task_service import (
    Stub,
    every_task,
    job_name,
    queue_name,
    run_name,
    run_task_name,
    step_name,
    stub_of,
    task_name,
)

Summary = task_service_pb2.SummarizeTasksResponse
DEMO_RUN = f"omics/runs/{seed.RUN_ID}"
DEMO_JOB = f"deadline/farms/{seed.FARM_ID}/queues/{seed.QUEUE_ID}/jobs/{seed.JOB_ID}"


@pytest.fixture(scope="module")
def frozen() -> Iterator[Stub]:
    """A server whose AWS has the demo at its first moment: nothing moves between two requests."""
    with Emulator(clock=ManualClock()) as emulator, stub_of(emulator) as stub:
        yield stub


@pytest.fixture(scope="module")
def stub(channel: grpc.Channel) -> Stub:
    return Stub(channel)


def summarize(stub: Stub, parent: str) -> Summary:
    return stub.SummarizeTasks(task_service_pb2.SummarizeTasksRequest(parent=parent))


def states(summary: Summary) -> dict[str, int]:
    return {
        task_pb2.TaskState.Name(each.state).removeprefix("TASK_STATE_"): each.count
        for each in summary.counts.states
    }


@pytest.mark.parametrize(
    "parent",
    [DEMO_JOB, f"{DEMO_JOB}/steps/{seed.RENDER_STEP_ID}", DEMO_RUN],
    ids=["job", "step", "run"],
)
def test_summary_equals_the_sum_of_the_list(frozen: Stub, parent: str) -> None:
    tasks, summary = every_task(frozen, parent=parent), summarize(frozen, parent)
    assert summary.counts.total == len(tasks)
    for task in tasks:
        assert summary.counts.native_states[task.native_state] > 0
    counted = [(each.state, each.count) for each in summary.counts.states]
    assert counted == sorted(counted)
    for state, count in counted:
        assert count == sum(task.state == state for task in tasks)
    failed = [task.name for task in tasks if task.state == task_pb2.TASK_STATE_FAILED]
    assert list(summary.failed_tasks) == failed
    starts = [task.start_time.ToNanoseconds() for task in tasks if task.HasField("start_time")]
    assert summary.first_start_time.ToNanoseconds() == min(starts)
    assert summary.last_change_time.ToNanoseconds() >= max(starts)
    assert summary.display_name
    assert summary.native_state
    assert summary.HasField("observe_time")
    assert not summary.counts.settled


def test_job_takes_one_call_and_step_two(aws: Emulator, stub: Stub) -> None:
    job = aws.jobs.add((40, 7))
    aws.jobs.move(job.task(3), "RUNNING")
    with RecordedCalls(aws) as calls:
        summary = summarize(stub, job_name(job))
    assert calls.counts == {"GetJob": 1}
    assert states(summary) == {"QUEUED": 46, "RUNNING": 1}
    assert dict(summary.counts.native_states) == {"READY": 46, "RUNNING": 1}
    with RecordedCalls(aws) as calls:
        summary = summarize(stub, step_name(job, 1))
    assert calls.counts == {"GetStep": 1, "GetJob": 1}
    assert states(summary) == {"QUEUED": 7}
    for number in range(7):
        aws.jobs.move(job.task(number, 1), "SUCCEEDED")
    with RecordedCalls(aws) as calls:
        assert summarize(stub, step_name(job, 1)).counts.settled
    assert calls.counts == {"GetStep": 1}


def test_only_steps_with_failed_tasks_are_searched(aws: Emulator, stub: Stub) -> None:
    job = aws.jobs.add((150, 250, 90))
    for number in (10, 120):
        aws.jobs.move(job.task(number, 1), "FAILED")
    with RecordedCalls(aws) as calls:
        summary = summarize(stub, job_name(job))
    assert list(summary.failed_tasks) == [task_name(job, number, 1) for number in (10, 120)]
    assert calls.counts == {"GetJob": 1, "ListSteps": 1, "ListTasks": 2}


def test_at_most_a_hundred_failed_tasks_are_named(aws: Emulator, stub: Stub) -> None:
    job, run = aws.jobs.add((150,), status="FAILED"), aws.runs.add(150, status="FAILED")
    for parent in (step_name(job), job_name(job), run_name(run)):
        summary = summarize(stub, parent)
        assert len(set(summary.failed_tasks)) == len(summary.failed_tasks) == 100
        assert states(summary) == {"FAILED": 150}


def test_search_for_failed_tasks_is_limited(aws: Emulator, stub: Stub) -> None:
    job = aws.jobs.add((2200,))
    aws.jobs.move(job.task(2150), "FAILED")
    with RecordedCalls(aws) as calls:
        summary = summarize(stub, step_name(job))
    assert states(summary)["FAILED"] == 1
    assert not summary.failed_tasks
    assert calls.counts == {"GetStep": 1, "GetJob": 1, "ListTasks": 20}


@pytest.mark.parametrize(
    ("words", "settled"),
    [
        (("SUCCEEDED", "FAILED", "CANCELED", "SUSPENDED", "NOT_COMPATIBLE"), True),
        (("SUCCEEDED", "INTERRUPTING"), False),
        (("SUCCEEDED", "READY"), False),
    ],
)
def test_job_settles(aws: Emulator, stub: Stub, words: tuple[str, ...], settled: bool) -> None:
    job = aws.jobs.add((len(words),))
    for number, word in enumerate(words):
        aws.jobs.move(job.task(number), word)
    assert summarize(stub, job_name(job)).counts.settled is settled
    assert summarize(stub, step_name(job)).counts.settled is settled


@pytest.mark.parametrize(
    ("response", "native_state", "settled"),
    [
        ({"lifecycleStatus": "CREATE_IN_PROGRESS"}, "CREATE_IN_PROGRESS", False),
        ({"lifecycleStatus": "CREATE_FAILED"}, "CREATE_FAILED", True),
        ({"lifecycleStatus": "CREATE_COMPLETE", "taskRunStatus": "PENDING"}, "PENDING", False),
        ({"lifecycleStatus": "CREATE_COMPLETE", "taskRunStatus": "CANCELED"}, "CANCELED", True),
    ],
)
def test_job_without_tasks_has_its_own_status(
    aws: Emulator, stub: Stub, response: dict[str, Any], native_state: str, settled: bool
) -> None:
    job = aws.jobs.add(())
    aws.respond("deadline", "GetJob", body={"jobId": job.job, "name": "Empty", **response})
    summary = summarize(stub, job_name(job))
    assert (summary.counts.total, summary.native_state) == (0, native_state)
    assert summary.counts.settled is settled


def test_a_run_settles_with_its_tasks_and_itself(aws: Emulator, stub: Stub) -> None:
    run = aws.runs.add(3, status="COMPLETED")
    # Between two tasks of a run all that there are have ended; there may be more.
    assert not summarize(stub, run_name(run)).counts.settled
    aws.runs.move({"id": run.run}, "COMPLETED")
    with RecordedCalls(aws) as calls:
        summary = summarize(stub, run_name(run))
    assert summary.counts.settled
    assert summary.native_state == "COMPLETED"
    assert calls.counts == {"GetRun": 1, "ListRunTasks": 1}
    empty = aws.runs.add(0)
    assert not summarize(stub, run_name(empty)).counts.settled
    aws.runs.move({"id": empty.run}, "CANCELLED")
    assert summarize(stub, run_name(empty)).counts.settled


def test_long_run_is_read_completely(aws: Emulator, stub: Stub) -> None:
    run = aws.runs.add(420)
    aws.runs.move(run.task(419), "FAILED")
    summary = summarize(stub, run_name(run))
    assert states(summary) == {"RUNNING": 419, "FAILED": 1}
    assert list(summary.failed_tasks) == [run_task_name(run, 419)]


def test_unknown_native_state_is_unrecognized(aws: Emulator, stub: Stub) -> None:
    run = aws.runs.add(0)
    items = [{"taskId": "1", "status": "HIBERNATING"}, {"taskId": "2"}]
    aws.respond("omics", "ListRunTasks", body={"items": items})
    summary = summarize(stub, run_name(run))
    assert states(summary) == {"UNRECOGNIZED": 1, "UNSPECIFIED": 1}
    assert summary.counts.native_states["HIBERNATING"] == 1


def test_invalid_parents_are_refused(aws: Emulator, stub: Stub) -> None:
    job = aws.jobs.add((1,))
    for parent in (queue_name(job), task_name(job, 0), "", "omics/runs/x"):
        request = task_service_pb2.SummarizeTasksRequest(parent=parent)
        error = error_of(stub.SummarizeTasks, request)
        assert error.code is grpc.StatusCode.INVALID_ARGUMENT
        assert [violation.field for violation in error.violations] == ["parent"]
    missing = task_service_pb2.SummarizeTasksRequest(parent="omics/runs/404")
    assert error_of(stub.SummarizeTasks, missing).code is grpc.StatusCode.NOT_FOUND


def test_invalid_timestamp_is_an_unreadable_response(aws: Emulator, stub: Stub) -> None:
    job = aws.jobs.add((1,))
    aws.respond("deadline", "GetJob", body={"jobId": job.job, "startedAt": "yesterday"})
    request = task_service_pb2.SummarizeTasksRequest(parent=job_name(job))
    response = stub.SummarizeTasks(request)
    assert not response.HasField("first_start_time")
