"""ListTasks over the wire: every parent, paging, filters, views and tokens."""

from __future__ import annotations

import base64
import logging
from typing import Any

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration

from taskgate.v1 import task_pb2, task_service_pb2
from taskgate_emulator import Emulator
from taskgate_emulator.seeds import ids as seed
from tests.support.aws_requests import RecordedCalls
from tests.support.call_errors import error_of
from tests.support.task_service import (
    Stub,
    every_page,
    every_task,
    job_name,
    queue_name,
    run_name,
    run_task_name,
    step_name,
    stub_of,
    task_name,
)

Request = task_service_pb2.ListTasksRequest
DEMO_RUN = f"omics/runs/{seed.RUN_ID}"
DEMO_JOB = f"deadline/farms/{seed.FARM_ID}/queues/{seed.QUEUE_ID}/jobs/{seed.JOB_ID}"


@pytest.fixture(scope="module")
def stub(channel: grpc.Channel) -> Stub:
    return Stub(channel)


def names(tasks: Any) -> list[str]:
    return [task.name for task in tasks]


def test_lists_a_step(aws: Emulator, stub: Stub) -> None:
    job = aws.jobs.add((7,))
    with RecordedCalls(aws) as calls:
        page = stub.ListTasks(Request(parent=step_name(job)))
    assert names(page.tasks) == [task_name(job, number) for number in range(7)]
    assert (page.next_page_token, page.total_size) == ("", 7)
    assert not page.HasField("incomplete_reason")
    assert calls.counts == {"ListTasks": 1}


def test_listed_task_equals_get_task(aws: Emulator, stub: Stub) -> None:
    job, run = aws.jobs.add((1,)), aws.runs.add(1)
    for parent in (step_name(job), run_name(run)):
        (row,) = stub.ListTasks(Request(parent=parent)).tasks
        task = stub.GetTask(task_service_pb2.GetTaskRequest(name=row.name)).task
        task.observe_time.CopyFrom(row.observe_time)
        assert row == task


def test_lists_a_job_step_by_step(aws: Emulator, stub: Stub) -> None:
    job = aws.jobs.add((3, 0, 120, 2))
    expected = [
        task_name(job, number, step)
        for step, size in enumerate((3, 0, 120, 2))
        for number in range(size)
    ]
    for page_size in (1, 50, 125, 1000):
        request = Request(parent=job_name(job), page_size=page_size)
        pages = list(every_page(stub, request))
        assert names(task for page in pages for task in page.tasks) == expected
        assert all(len(page.tasks) <= page_size for page in pages)
        assert pages[0].total_size == 125
        assert not any(page.HasField("total_size") for page in pages[1:])


def test_job_with_many_steps_is_listed_within_the_call_limit(aws: Emulator, stub: Stub) -> None:
    job = aws.jobs.add((1,) * 130)
    with RecordedCalls(aws) as calls:
        page = stub.ListTasks(Request(parent=job_name(job), page_size=1000))
    assert sum(calls.counts.values()) <= 42
    assert 0 < len(page.tasks) < 130
    tasks = every_task(stub, parent=job_name(job), page_size=1000, max_age=Duration())
    assert names(tasks) == [task_name(job, 0, step) for step in range(130)]


def test_lists_a_job_without_steps(aws: Emulator, stub: Stub) -> None:
    page = stub.ListTasks(Request(parent=job_name(aws.jobs.add(()))))
    assert (len(page.tasks), page.total_size, page.next_page_token) == (0, 0, "")


def test_lists_a_queue(aws: Emulator, stub: Stub) -> None:
    queue = f"queue-{'a' * 32}"
    first, second = aws.jobs.add((120,), queue=queue), aws.jobs.add((2, 3), queue=queue)
    with RecordedCalls(aws) as calls:
        page = stub.ListTasks(Request(parent=queue_name(first), page_size=1000))
    assert calls.counts == {"SearchTasks": 2}
    expected = [task_name(first, number) for number in range(120)]
    expected += [task_name(second, number) for number in range(2)]
    expected += [task_name(second, number, 1) for number in range(3)]
    assert sorted(names(page.tasks)) == sorted(expected)
    assert page.total_size == 125
    assert not page.HasField("incomplete_reason")
    assert not any(task.HasField("create_time") for task in page.tasks)
    assert sorted(names(every_task(stub, parent=queue_name(first), page_size=33))) == sorted(
        expected
    )


def test_rows_of_a_queue_are_completed(aws: Emulator, stub: Stub) -> None:
    queue = f"queue-{'b' * 32}"
    job = aws.jobs.add((4,), queue=queue)
    with RecordedCalls(aws) as calls:
        page = stub.ListTasks(Request(parent=queue_name(job), view=task_pb2.TASK_VIEW_FULL))
    assert calls.counts == {"SearchTasks": 1, "BatchGetTask": 1}
    assert all(task.HasField("create_time") for task in page.tasks)
    # A filter on fields that are missing from AWS's search needs the whole task, too.
    found = every_task(stub, parent=queue_name(job), filter="create_time > 2020-01-01T00:00:00Z")
    assert len(found) == 4


def test_queue_beyond_the_search_limit_of_aws_is_incomplete(aws: Emulator, stub: Stub) -> None:
    job = aws.jobs.add((1,))
    rows = [{**job.task(0), "runStatus": "READY"}]
    aws.respond(
        "deadline",
        "SearchTasks",
        body={"tasks": rows, "totalResults": 10_000, "nextItemOffset": 1},
    )
    page = stub.ListTasks(Request(parent=queue_name(job), page_size=1))
    assert "10,000" in page.incomplete_reason
    assert not page.HasField("total_size")
    assert page.next_page_token


def test_row_without_ids_is_an_unreadable_response(aws: Emulator, stub: Stub) -> None:
    body = {"tasks": [{"runStatus": "READY"}], "totalResults": 1}
    aws.respond("deadline", "SearchTasks", body=body)
    error = error_of(stub.ListTasks, Request(parent=DEMO_JOB.partition("/jobs/")[0]))
    assert error.reason == "UPSTREAM_RESPONSE_UNREADABLE"


def test_lists_a_run(aws: Emulator, stub: Stub) -> None:
    run = aws.runs.add(230)
    expected = [run_task_name(run, position) for position in range(230)]
    request = Request(parent=run_name(run), page_size=90)
    pages = list(every_page(stub, request))
    assert [len(page.tasks) for page in pages] == [90, 90, 50]
    assert names(task for page in pages for task in page.tasks) == expected
    assert not any(page.HasField("total_size") for page in pages)


def test_lists_a_run_with_full_view(aws: Emulator, stub: Stub) -> None:
    tasks = every_task(stub, parent=DEMO_RUN, view=task_pb2.TASK_VIEW_FULL)
    (failed,) = (task for task in tasks if task.omics.task_id == seed.FAILED_RUN_TASK_ID)
    assert failed.failure_reason
    run = aws.runs.add(130)
    with RecordedCalls(aws) as calls:
        page = stub.ListTasks(
            Request(parent=run_name(run), page_size=1000, view=task_pb2.TASK_VIEW_FULL)
        )
    assert calls.counts == {"ListRunTasks": 1, "GetRunTask": 100}
    assert len(page.tasks) == 100
    assert page.next_page_token


def test_page_sizes(aws: Emulator, stub: Stub) -> None:
    job = aws.jobs.add((1200,))
    sizes = {0: 100, 1: 1, 150: 150, 1000: 1000, 5000: 1000, 2**31 - 1: 1000}
    for requested, returned in sizes.items():
        page = stub.ListTasks(Request(parent=step_name(job), page_size=requested))
        assert len(page.tasks) == returned


def test_all_faults_are_reported_at_once(aws: Emulator, stub: Stub) -> None:
    with RecordedCalls(aws) as calls:
        error = error_of(
            stub.ListTasks,
            Request(
                parent="omics/runs/x",
                page_size=-1,
                filter="state = ",
                view=9,  # type: ignore[arg-type]  # no view
                max_age=Duration(seconds=-1),
            ),
        )
    assert error.code is grpc.StatusCode.INVALID_ARGUMENT
    fields = {violation.field for violation in error.violations}
    assert fields == {"parent", "page_size", "filter", "view", "max_age"}
    assert not calls.counts


@pytest.mark.parametrize("parent", ["", "omics", "omics/runs/1/tasks/2", "deadline/farms/farm-1"])
def test_invalid_parent_is_refused(stub: Stub, parent: str) -> None:
    error = error_of(stub.ListTasks, Request(parent=parent))
    assert [violation.field for violation in error.violations] == ["parent"]
    assert "must have the form" in error.message


def test_unknown_parent_is_not_found(stub: Stub) -> None:
    assert (
        error_of(stub.ListTasks, Request(parent="omics/runs/404")).code is grpc.StatusCode.NOT_FOUND
    )


# --- Filters --------------------------------------------------------------------------------------


def test_filtered_pages_are_filled(aws: Emulator, stub: Stub) -> None:
    job = aws.jobs.add((400,))
    failed = range(3, 400, 40)
    for number in failed:
        aws.jobs.move(job.task(number), "FAILED")
    request = Request(parent=step_name(job), filter="state = FAILED", page_size=4)
    pages = list(every_page(stub, request))
    assert [len(page.tasks) for page in pages] == [4, 4, 2]
    found = names(task for page in pages for task in page.tasks)
    assert found == [task_name(job, number) for number in failed]


def test_filter_without_matches_ends(aws: Emulator, stub: Stub) -> None:
    job = aws.jobs.add((2500,))
    request = Request(parent=step_name(job), filter="retry_count > 7")
    with RecordedCalls(aws) as calls:
        page = stub.ListTasks(request)
    assert calls.counts == {"ListTasks": 20}
    assert not page.tasks
    assert page.next_page_token
    pages = list(every_page(stub, request))
    assert [len(page.tasks) for page in pages] == [0, 0]


def test_parameters_compare_as_numbers(aws: Emulator, stub: Stub) -> None:
    job = aws.jobs.add((120,))
    found = every_task(
        stub, parent=step_name(job), filter="parameters.Frame >= 9 parameters.Frame < 11.5"
    )
    assert names(found) == [task_name(job, number) for number in (9, 10, 11)]


def test_single_native_state_is_selected_by_aws(aws: Emulator, stub: Stub) -> None:
    run = aws.runs.add(350)
    for position in (5, 349):
        aws.runs.move(run.task(position), "COMPLETED")
    for text in ("state = SUCCEEDED", 'native_state = "COMPLETED" AND display_name:*'):
        with RecordedCalls(aws) as calls:
            page = stub.ListTasks(Request(parent=run_name(run), filter=text))
        assert names(page.tasks) == [run_task_name(run, position) for position in (5, 349)]
        assert calls.counts == {"ListRunTasks": 1}
        assert "status=COMPLETED" in aws.requests[-1].query
        assert not page.HasField("total_size")


def test_filter_with_several_native_states_is_not_selected_by_aws(
    aws: Emulator, stub: Stub
) -> None:
    run = aws.runs.add(2)
    aws.runs.move(run.task(1), "COMPLETED")
    text = "state = SUCCEEDED OR display_name:*"
    assert len(stub.ListTasks(Request(parent=run_name(run), filter=text)).tasks) == 2


def test_filter_error_has_the_column_and_no_value(
    stub: Stub, caplog: pytest.LogCaptureFixture
) -> None:
    secret = "swordfish"
    caplog.set_level(logging.DEBUG)
    for text, column in (
        (f'state = FAILED AND colour = "{secret}"', 20),
        (f"state = {secret}", 9),
        (f'start_time > "{secret}"', 14),
        (f'parameters.Scene = "{secret}', 20),
        (f'"{secret}"', 1),
    ):
        error = error_of(stub.ListTasks, Request(parent=DEMO_JOB, filter=text))
        assert error.code is grpc.StatusCode.INVALID_ARGUMENT
        (violation,) = error.violations
        assert violation.field == "filter"
        assert violation.description.startswith(f"column {column}: ")
        assert secret not in error.message
    stub.ListTasks(Request(parent=DEMO_JOB, filter=f'parameters.Scene = "{secret}"'))
    assert secret not in caplog.text
    assert not any(secret in str(vars(record)) for record in caplog.records)


# --- Page tokens ----------------------------------------------------------------------------------


def test_token_is_valid_on_another_server(aws: Emulator, stub: Stub) -> None:
    job = aws.jobs.add((5, 5))
    request = Request(parent=job_name(job), page_size=7)
    first = stub.ListTasks(request)
    request.page_token = first.next_page_token
    with stub_of(aws) as other:
        second = other.ListTasks(request)
    assert len({*names(first.tasks), *names(second.tasks)}) == 10


def test_page_size_and_max_age_may_change(aws: Emulator, stub: Stub) -> None:
    job = aws.jobs.add((250,))
    request = Request(parent=step_name(job), page_size=7, filter="state = QUEUED")
    seen = []
    for page_size in (7, 100, 1, 500):
        request.page_size = page_size
        request.max_age.seconds = page_size
        page = stub.ListTasks(request)
        seen += names(page.tasks)
        request.page_token = page.next_page_token
    assert seen == [task_name(job, number) for number in range(250)]
    assert not request.page_token


def test_token_of_a_different_request_is_refused(aws: Emulator, stub: Stub) -> None:
    job, run = aws.jobs.add((5,)), aws.runs.add(5)
    request = Request(parent=step_name(job), page_size=1)
    token = stub.ListTasks(request).next_page_token
    for other in (
        Request(parent=job_name(job)),
        Request(parent=run_name(run)),
        Request(parent=step_name(job), filter="state = QUEUED"),
        Request(parent=step_name(job), view=task_pb2.TASK_VIEW_FULL),
    ):
        other.page_token = token
        with RecordedCalls(aws) as calls:
            error = error_of(stub.ListTasks, other)
        assert error.code is grpc.StatusCode.INVALID_ARGUMENT
        assert [violation.field for violation in error.violations] == ["page_token"]
        assert "different request" in error.message
        assert not calls.counts
    # Unspecified is BASIC.
    request.page_token, request.view = token, task_pb2.TASK_VIEW_BASIC
    assert len(stub.ListTasks(request).tasks) == 1


def test_token_with_a_changed_bit_is_refused(aws: Emulator, stub: Stub) -> None:
    job = aws.jobs.add((5,))
    request = Request(parent=step_name(job), page_size=1)
    token = stub.ListTasks(request).next_page_token
    data = bytearray(base64.urlsafe_b64decode(token + "=="))
    for position in range(0, len(data), 7):
        changed = bytearray(data)
        changed[position] ^= 4
        request.page_token = base64.urlsafe_b64encode(changed).decode()
        with RecordedCalls(aws) as calls:
            error = error_of(stub.ListTasks, request)
        assert [violation.field for violation in error.violations] == ["page_token"]
        assert not calls.counts


def test_step_that_is_deleted_between_pages(aws: Emulator, stub: Stub) -> None:
    job = aws.jobs.add((1, 1, 1))
    request = Request(parent=job_name(job), page_size=1)
    request.page_token = stub.ListTasks(request).next_page_token
    aws.jobs.remove(job.step(1))
    error = error_of(stub.ListTasks, request)
    assert error.code in {grpc.StatusCode.NOT_FOUND, grpc.StatusCode.INVALID_ARGUMENT}


def test_each_task_is_listed_once_while_states_change(aws: Emulator, stub: Stub) -> None:
    job, run = aws.jobs.add((60, 45)), aws.runs.add(105)
    words = ["READY", "RUNNING", "SUCCEEDED", "FAILED"]
    for parent, text in (
        (job_name(job), ""),
        (step_name(job), ""),
        (run_name(run), ""),
        (job_name(job), "NOT state = RUNNING"),
        (run_name(run), "NOT state = RUNNING"),
    ):
        seen: list[str] = []
        turns = iter(range(10_000))
        for page in every_page(stub, Request(parent=parent, page_size=13, filter=text)):
            seen += names(page.tasks)
            turn = next(turns)
            for number in range(turn, 60, 7):
                aws.jobs.move(job.task(number), words[(turn + number) % 4])
                omics = "COMPLETED" if turn % 2 else "RUNNING"
                aws.runs.move(run.task(number), omics)
        assert len(seen) == len(set(seen))
        if not text:
            assert len(seen) == 60 if parent == step_name(job) else len(seen) == 105
