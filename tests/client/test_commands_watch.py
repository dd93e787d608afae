"""Output and exit codes of `taskgate watch`, `wait` and `logs`."""

from __future__ import annotations

import grpc
import pytest
from google.protobuf import json_format
from google.protobuf.timestamp_pb2 import Timestamp

from taskgate.v1 import (
    task_log_pb2,
    task_pb2,
    task_service_pb2,
    task_watch_pb2,
)
from tests.client.conftest import Run, json_lines
from tests.support.fake_service import (
    RUN,
    Failure,
    FakeTaskService,
    change,
    end,
    event,
    parent_status,
    snapshot,
    status,
    task,
)

NAME = f"{RUN}/tasks/1"


@pytest.mark.parametrize(
    ("states", "reason", "code"),
    [
        ({"SUCCEEDED": 2}, task_watch_pb2.WATCH_END_REASON_SETTLED, 0),
        ({}, task_watch_pb2.WATCH_END_REASON_SETTLED, 0),
        ({"SUCCEEDED": 2, "FAILED": 1, "CANCELLED": 1}, task_watch_pb2.WATCH_END_REASON_SETTLED, 3),
        ({"SUCCEEDED": 2, "CANCELLED": 1}, task_watch_pb2.WATCH_END_REASON_SETTLED, 4),
        ({"SUSPENDED": 1}, task_watch_pb2.WATCH_END_REASON_SETTLED, 4),
        ({"BLOCKED": 1}, task_watch_pb2.WATCH_END_REASON_SETTLED, 4),
        ({}, task_watch_pb2.WATCH_END_REASON_GONE, 5),
    ],
)
def test_watch_exits_with_the_code_of_the_tasks(
    run: Run, fake: FakeTaskService, states: dict[str, int], reason: int, code: int
) -> None:
    fake.script("WatchTasks", [*snapshot(), end(reason, None, **states)])
    assert run("watch", RUN, "--until-settled", "--heartbeat", "2") == code
    (request,) = fake.requests["WatchTasks"]
    assert request.until_settled
    assert request.heartbeat_interval.seconds == 2


PARENTS: list[tuple[task_pb2.ParentStatus, dict[str, int], int, str]] = [
    (
        parent_status(
            *("FAILED", "FAILED"),
            failure_reason="OUTPUT_FAILED",
            status_message="outputs could not\nbe written",
        ),
        {"SUCCEEDED": 2},
        3,
        "omics run 1234567 FAILED: OUTPUT_FAILED: outputs could not be written",
    ),
    (parent_status("FAILED", "FAILED"), {}, 3, "omics run 1234567 FAILED"),
    (parent_status("CANCELLED", "CANCELLED"), {}, 4, "omics run 1234567 CANCELLED"),
    (
        parent_status("CANCELLED", "DELETED"),
        {"SUCCEEDED": 1},
        4,
        "omics run 1234567 CANCELLED (AWS: DELETED)",
    ),
    (
        parent_status(
            *("FAILED", "CREATE_FAILED"),
            lifecycle_status="CREATE_FAILED",
            status_message="the template could not be expanded",
        ),
        {},
        3,
        "omics run 1234567 FAILED (AWS: CREATE_FAILED): the template could not be expanded",
    ),
    (
        parent_status("SUCCEEDED", "SUCCEEDED", lifecycle_status="CREATE_COMPLETE"),
        {"SUCCEEDED": 1},
        0,
        "omics run 1234567 SUCCEEDED",
    ),
    (
        parent_status("SUCCEEDED", "SUCCEEDED", lifecycle_status="ARCHIVED"),
        {"QUEUED": 1},
        4,
        "omics run 1234567 SUCCEEDED (AWS: ARCHIVED)",
    ),
]


@pytest.mark.parametrize("case", PARENTS)
def test_an_ended_parent_is_printed_and_sets_the_exit_code(
    run: Run,
    fake: FakeTaskService,
    capsys: pytest.CaptureFixture[str],
    case: tuple[task_pb2.ParentStatus, dict[str, int], int, str],
) -> None:
    parent, states, code, line = case
    message = end(parent=parent, **states)
    fake.script("WatchTasks", [*snapshot(), message])
    assert run("watch", RUN, "--until-settled") == code
    assert capsys.readouterr().out.endswith(f"; {line}\n")
    assert run("watch", RUN, "--until-settled", "--json") == code
    last = json_lines(capsys.readouterr().out)[-1]
    assert last["parentStatus"] == json_format.MessageToDict(parent)
    summary = task_service_pb2.SummarizeTasksResponse(counts=message.watch_end.counts)
    summary.parent_status.CopyFrom(parent)
    fake.script("SummarizeTasks", summary)
    assert run("summary", RUN) == code
    assert line in " ".join(capsys.readouterr().out.split())
    assert run("summary", RUN, "--json") == code
    summary.parent_status.ended = False
    assert run("summary", RUN) == 0, "nothing has ended yet"
    waited = task_watch_pb2.WaitTaskResponse(task=task(1, 1), done=True, parent_status=parent)
    fake.script("WaitTask", waited)
    assert run("wait", NAME) == (code or 4), "the task has not succeeded"
    assert line in " ".join(capsys.readouterr().err.split())


def test_watch_reports_tasks_that_can_never_settle(
    run: Run, fake: FakeTaskService, capsys: pytest.CaptureFixture[str]
) -> None:
    parent = parent_status("CANCELLED", "CANCELLED")
    fake.script("WatchTasks", [*snapshot(), end(parent=parent, PENDING=2)])
    assert run("watch", RUN, "--until-settled") == 4
    assert "ended, with tasks that can never settle: 2 PENDING; " in capsys.readouterr().out


def test_watch_prints_lines(
    run: Run, fake: FakeTaskService, capsys: pytest.CaptureFixture[str]
) -> None:
    failed = task(1, task_pb2.TASK_STATE_FAILED, failure_reason="SERVICE_ERROR")
    fake.script(
        "WatchTasks",
        [
            *snapshot(task(1), task(2), token=b"t"),
            event(heartbeat=task_watch_pb2.Heartbeat()),
            change(failed),
            change(task(3), 0, kind=task_watch_pb2.TASK_CHANGE_KIND_ADDED),
            change(task(2), kind=task_watch_pb2.TASK_CHANGE_KIND_REMOVED),
            change(task(3)),
            end(task_watch_pb2.WATCH_END_REASON_SERVER_STOPPING),
        ],
        [event(resumed=task_watch_pb2.Resumed()), end(FAILED=1, SUCCEEDED=1)],
    )
    assert run("watch", RUN) == 3
    lines = [line.partition(" ")[2] for line in capsys.readouterr().out.splitlines()]
    lost = lines.pop(5)
    assert lost.startswith(
        "connection lost (UNAVAILABLE: the server is shutting down); reconnecting in "
    )
    assert lines == [
        "snapshot of 2 tasks: 2 RUNNING",
        f"{RUN}/tasks/1 RUNNING -> FAILED: SERVICE_ERROR",
        f"{RUN}/tasks/3 added: RUNNING",
        f"{RUN}/tasks/2 removed, was RUNNING",
        f"{RUN}/tasks/3 still RUNNING, AWS: WORD_4",
        "resumed",
        "all settled: 1 SUCCEEDED, 1 FAILED",
    ]


def test_watch_prints_json(
    run: Run, fake: FakeTaskService, capsys: pytest.CaptureFixture[str]
) -> None:
    beat = task_watch_pb2.Heartbeat(upstream_error=status(grpc.StatusCode.UNAVAILABLE, "AWS"))
    beat.staleness.FromSeconds(2)
    fake.script(
        "WatchTasks",
        [
            *snapshot(task(1), token=b"t"),
            change(task(1, 77), kind=78, sequence=9),
            event(heartbeat=beat),
            Failure(grpc.StatusCode.UNAVAILABLE, "Socket closed"),
        ],
        [event(resumed=task_watch_pb2.Resumed()), end(SUCCEEDED=1)],
    )
    assert run("watch", NAME, f"{RUN}/tasks/2", "--json") == 0
    assert list(fake.requests["WatchTasks"][0].names) == [NAME, f"{RUN}/tasks/2"]
    begin, listed, ended, changed, heartbeat, lost, resumed, last = json_lines(
        capsys.readouterr().out
    )
    assert begin == {"event": "snapshot_begin", "reason": "SNAPSHOT_REASON_NEW_WATCH"}
    assert listed["event"] == "snapshot_task"
    assert ended == {"event": "snapshot_end", "taskCount": 1}
    assert changed["event"] == "change"
    assert changed["kind"] == 78
    assert changed["previousState"] == "TASK_STATE_RUNNING"
    assert changed["sequence"] == 9
    assert isinstance(changed["task"], dict)
    assert changed["task"]["state"] == 77
    assert heartbeat == {
        "event": "heartbeat",
        "stalenessSeconds": 2.0,
        "nextPollSeconds": None,
        "upstreamError": {"code": "UNAVAILABLE", "message": "AWS", "reason": ""},
    }
    assert lost["event"] == "reconnecting"
    assert resumed == {"event": "resumed"}
    assert last["reason"] == "WATCH_END_REASON_SETTLED"
    assert last["parentStatus"] is None


@pytest.mark.parametrize(
    ("state", "arguments", "code"),
    [
        (task_pb2.TASK_STATE_SUCCEEDED, [], 0),
        (task_pb2.TASK_STATE_FAILED, [], 3),
        (task_pb2.TASK_STATE_CANCELLED, [], 4),
        (task_pb2.TASK_STATE_SUSPENDED, [], 4),
        (task_pb2.TASK_STATE_BLOCKED, [], 4),
        (task_pb2.TASK_STATE_RUNNING, ["--state", "running"], 0),
        (task_pb2.TASK_STATE_FAILED, ["--state", "FAILED", "--state", "CANCELLED"], 0),
        (task_pb2.TASK_STATE_SUCCEEDED, ["--state", "RUNNING"], 0),
        (task_pb2.TASK_STATE_FAILED, ["--state", "RUNNING"], 3),
    ],
)
def test_wait_exits_with_the_code_of_the_state(
    run: Run, fake: FakeTaskService, state: int, arguments: list[str], code: int
) -> None:
    fake.script("WaitTask", task_watch_pb2.WaitTaskResponse(task=task(1, state), done=True))
    assert run("wait", NAME, *arguments) == code
    assert len(fake.requests["WaitTask"][0].states) == len(arguments) // 2


def test_wait_times_out(
    run: Run, fake: FakeTaskService, capsys: pytest.CaptureFixture[str]
) -> None:
    fake.script("WaitTask", task_watch_pb2.WaitTaskResponse(task=task(1)))
    assert run("wait", NAME, "--timeout", "0.5s", "--json") == 124
    printed = capsys.readouterr()
    (response,) = json_lines(printed.out)
    assert isinstance(response["task"], dict)
    assert response["task"]["name"] == NAME
    assert "timed out while the task is RUNNING" in printed.err


def log(*messages: str, attempts: int = 1) -> list[task_log_pb2.StreamTaskLogsResponse]:
    source = task_log_pb2.LogSource(attempt=min(attempts, 1), attempt_count=attempts)
    lines = [
        task_log_pb2.LogLine(time=Timestamp(seconds=1_700_000_000, nanos=5_000_000), message=each)
        for each in messages
    ]
    return [
        task_log_pb2.StreamTaskLogsResponse(source=source),
        task_log_pb2.StreamTaskLogsResponse(lines=task_log_pb2.LogLines(lines=lines)),
    ]


def test_logs_prints_lines(
    run: Run, fake: FakeTaskService, capsys: pytest.CaptureFixture[str]
) -> None:
    fake.script("StreamTaskLogs", log("frame 7\n", "\x1b[1mdone\x1b[0m"))
    arguments = ["-f", "--tail", "5", "--limit", "9", "--since", "10m", "--attempt", "1"]
    assert run("logs", NAME, *arguments) == 0
    assert capsys.readouterr().out == "frame 7\n\x1b[1mdone\x1b[0m\n"
    (request,) = fake.requests["StreamTaskLogs"]
    assert (request.follow, request.tail, request.limit, request.attempt) == (True, 5, 9, 1)
    assert request.HasField("since")
    assert run("logs", NAME, "-t", "--since", "2026-11-01T09:30:00Z") == 0
    assert capsys.readouterr().out.startswith("2023-11-14T22:13:20.005Z frame 7\n")
    assert fake.requests["StreamTaskLogs"][1].since.ToJsonString() == "2026-11-01T09:30:00Z"
    assert run("logs", NAME, "--json") == 0
    assert json_lines(capsys.readouterr().out)[0] == {
        "time": "2023-11-14T22:13:20.005Z",
        "message": "frame 7\n",
    }


def test_logs_reports_a_task_that_never_ran(
    run: Run, fake: FakeTaskService, capsys: pytest.CaptureFixture[str]
) -> None:
    fake.script("StreamTaskLogs", log(attempts=0))
    assert run("logs", NAME) == 0
    printed = capsys.readouterr()
    assert not printed.out
    assert "never run" in printed.err
