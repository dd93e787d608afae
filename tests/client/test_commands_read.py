"""Output of `taskgate get`, `list` and `summary`, and the errors of all commands."""

from __future__ import annotations

import grpc
import pytest

from taskgate.v1 import (
    task_pb2,
    task_service_pb2,
)
from tests.client.conftest import Run, json_lines
from tests.support.fake_service import (
    RUN,
    Failure,
    FakeTaskService,
    bad_field,
    end,
    page,
    status,
    task,
)

NAME = f"{RUN}/tasks/1"
NOT_FOUND = Failure(grpc.StatusCode.NOT_FOUND, "there is no such thing")
SLOW = Failure(grpc.StatusCode.DEADLINE_EXCEEDED, "AWS was slow")


def test_get_prints_every_field_of_one_task(
    run: Run, fake: FakeTaskService, capsys: pytest.CaptureFixture[str]
) -> None:
    parameters = {"Frame": task_pb2.TaskParameter(int="1001")}
    fake.script("GetTask", task_service_pb2.GetTaskResponse(task=task(1, parameters=parameters)))
    assert run("get", NAME, "--max-age", "0") == 0
    shown = capsys.readouterr().out
    assert NAME in shown
    assert "RUNNING" in shown
    assert "1001" in shown
    assert fake.requests["GetTask"][0].HasField("max_age")


def test_untrusted_text_cannot_control_the_terminal(
    run: Run, fake: FakeTaskService, capsys: pytest.CaptureFixture[str]
) -> None:
    evil = "\x1b]0;owned\x07"
    injected = task(1, parameters={evil: task_pb2.TaskParameter(string=evil)})
    injected.native_state = injected.display_name = evil
    injected.status_message = injected.failure_reason = evil
    injected.resources.instance_type = evil
    fake.script("GetTask", task_service_pb2.GetTaskResponse(task=injected))
    assert run("get", NAME) == 0
    fake.script("GetTask", Failure(grpc.StatusCode.NOT_FOUND, evil))
    assert run("get", NAME) == 5
    shown = capsys.readouterr()
    assert "owned" in shown.out
    assert "owned" in shown.err
    assert "\x1b" not in shown.out + shown.err
    assert "\x07" not in shown.out + shown.err


def test_get_prints_the_target_state_until_it_is_reached(
    run: Run, fake: FakeTaskService, capsys: pytest.CaptureFixture[str]
) -> None:
    cancelled = task_pb2.TASK_STATE_CANCELLED
    for state, is_changing in ((task_pb2.TASK_STATE_STOPPING, True), (cancelled, False)):
        changing = task(1, state, target_state=cancelled)
        fake.script("GetTask", task_service_pb2.GetTaskResponse(task=changing))
        assert run("get", NAME) == 0
        assert ("changing to CANCELLED" in capsys.readouterr().out) is is_changing


def test_get_prints_several_tasks_and_errors(
    run: Run, fake: FakeTaskService, capsys: pytest.CaptureFixture[str]
) -> None:
    missing = status(grpc.StatusCode.NOT_FOUND, "there is no such thing")
    results = [
        task_service_pb2.TaskResult(name=NAME, task=task(1)),
        task_service_pb2.TaskResult(name="x", error=missing),
    ]
    fake.script("BatchGetTasks", task_service_pb2.BatchGetTasksResponse(results=results))
    assert run("get", NAME, "x") == 5
    printed = capsys.readouterr()
    assert NAME in printed.out
    assert "there is no such thing" in printed.err
    assert run("get", NAME, "x", "--json") == 5
    assert [each["name"] for each in json_lines(capsys.readouterr().out)] == [NAME]


@pytest.mark.parametrize(
    "failure_and_code",
    [
        (NOT_FOUND, 5),
        (SLOW, 124),
        (Failure(grpc.StatusCode.INVALID_ARGUMENT, "no"), 1),
        (Failure(grpc.StatusCode.UNAVAILABLE, "no"), 1),
    ],
    ids=["not found", "slow", "invalid", "unavailable"],
)
@pytest.mark.parametrize(
    ("rpc", "arguments"),
    [
        ("GetTask", ["get", NAME]),
        ("ListTasks", ["list", RUN]),
        ("SummarizeTasks", ["summary", RUN]),
        ("WatchTasks", ["watch", RUN]),
        ("WaitTask", ["wait", NAME, "--timeout", "0.5"]),
        ("StreamTaskLogs", ["logs", NAME]),
        ("BatchUpdateTasks", ["cancel", NAME]),
        ("GetServerInfo", ["info"]),
    ],
)
def test_a_failed_call_prints_its_message_and_sets_the_exit_code(
    run: Run,
    fake: FakeTaskService,
    capsys: pytest.CaptureFixture[str],
    rpc: str,
    arguments: list[str],
    failure_and_code: tuple[Failure, int],
) -> None:
    failure, code = failure_and_code
    fake.script(rpc, failure)
    assert run(*arguments) == code
    printed = capsys.readouterr()
    assert failure.status.message in printed.err
    assert not printed.out


def test_an_error_prints_every_invalid_field(
    run: Run, fake: FakeTaskService, capsys: pytest.CaptureFixture[str]
) -> None:
    faults = bad_field("parent", "is no parent")
    faults.field_violations.add(field="filter", description="at 7: no such field")
    fake.script("ListTasks", Failure(grpc.StatusCode.INVALID_ARGUMENT, "two faults", faults))
    assert run("list", "x", "--filter", "state = color") == 1
    printed = capsys.readouterr().err
    for text in ("two faults", "is no parent", "field filter", "at 7: no such field"):
        assert text in printed


def test_list_prints_a_table_json_or_names(
    run: Run, fake: FakeTaskService, capsys: pytest.CaptureFixture[str]
) -> None:
    tasks = [
        task(1, display_name="BwaMem2", parameters={"Frame": task_pb2.TaskParameter(int="7")}),
        task(2, task_pb2.TASK_STATE_FAILED, retry_count=2),
    ]
    fake.script("ListTasks", page(*tasks, total_size=9, incomplete_reason="only the first 10,000"))
    assert run("list", RUN, "--filter", "state = FAILED", "--view", "full", "-p") == 0
    printed = capsys.readouterr()
    assert "tasks/1  BwaMem2" in printed.out
    assert "Frame=7" in printed.out
    assert "FAILED" in printed.out
    assert "2 of 9 tasks" in printed.err
    assert "only the first 10,000" in printed.err
    (request,) = fake.requests["ListTasks"]
    assert (request.filter, request.view) == ("state = FAILED", task_pb2.TASK_VIEW_FULL)
    assert run("list", RUN, "--json") == 0
    assert [each["name"] for each in json_lines(capsys.readouterr().out)] == [
        f"{RUN}/tasks/1",
        f"{RUN}/tasks/2",
    ]
    assert run("list", RUN, "--names", "--limit", "1") == 0
    assert capsys.readouterr().out == f"{NAME}\n"


def test_summary_prints_counts_by_state(
    run: Run, fake: FakeTaskService, capsys: pytest.CaptureFixture[str]
) -> None:
    counts = end(RUNNING=3, FAILED=1).watch_end.counts
    counts.settled = False
    response = task_service_pb2.SummarizeTasksResponse(
        counts=counts,
        display_name="NA12878 germline",
        native_state="RUNNING",
        failed_tasks=[NAME],
    )
    fake.script("SummarizeTasks", response)
    assert run("summary", RUN) == 0
    shown = capsys.readouterr().out
    for text in ("NA12878 germline", "RUNNING", "75%", "25%", "4 tasks, not settled", NAME):
        assert text in shown
    assert run("summary", RUN, "--json") == 0
    (summary,) = json_lines(capsys.readouterr().out)
    assert summary["displayName"] == "NA12878 germline"
