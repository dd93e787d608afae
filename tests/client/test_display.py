"""The live display of a watch on a terminal of fixed size."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import grpc
from google.protobuf.timestamp_pb2 import Timestamp
from rich.console import Console

from taskgate.v1 import task_pb2, task_watch_pb2
from taskgate_client import (
    CallError,
    Heartbeat,
    Reconnecting,
    Resumed,
    Snapshot,
    TaskChange,
    WatchedTasks,
    WatchEnd,
    WatchEvent,
)
from taskgate_client.render import WatchDisplay
from taskgate_client.render.text import printable, short_name, span
from tests.support.fake_service import RUN, task

START = datetime(2026, 3, 2, 9, 30, tzinfo=UTC)
JOB = "deadline/farms/f/queues/q/jobs/j"
FAILED, RUNNING = task_pb2.TASK_STATE_FAILED, task_pb2.TASK_STATE_RUNNING
SUCCEEDED, UPDATED = task_pb2.TASK_STATE_SUCCEEDED, task_watch_pb2.TASK_CHANGE_KIND_UPDATED
UNKNOWN = task_pb2.TASK_STATE_UNSPECIFIED
NEW = task_watch_pb2.SNAPSHOT_REASON_NEW_WATCH


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def stamp(seconds: float) -> Timestamp:
    message = Timestamp()
    message.FromDatetime(at(seconds))
    return message


def shown(display: WatchDisplay, seconds: float, height: int = 24) -> list[str]:
    console = Console(width=80, height=height, record=True, file=None, quiet=False)
    with console.capture() as captured:
        console.print(display.render(at(seconds), height))
    return [line.rstrip() for line in captured.get().splitlines()]


def changed(now: task_pb2.Task, before: task_pb2.TaskState.ValueType) -> TaskChange:
    return TaskChange(task=now, kind=UPDATED, previous_state=before)


def display_of(*events: tuple[float, WatchEvent]) -> WatchDisplay:
    display = WatchDisplay(RUN, START)
    for seconds, event in events:
        display.apply(event, at(seconds))
    return display


def test_a_run_with_active_and_failed_tasks() -> None:
    tasks = (
        task(1, SUCCEEDED),
        task(2, RUNNING, start_time=stamp(-65), display_name="BwaMem2"),
        task(3, RUNNING, start_time=stamp(-5)),
        task(4, task_pb2.TASK_STATE_PENDING),
    )
    failed = task(3, FAILED, end_time=stamp(28), failure_reason="SERVICE_ERROR")
    display = display_of(
        (0, Snapshot(tasks=tasks, reason=NEW)),
        (30, changed(failed, RUNNING)),
        (58, Heartbeat(staleness=1.0, next_poll=5)),
    )
    assert shown(display, 60) == [
        "omics run 1234567  1m00s",
        "PENDING    ━━━━━━━━━━                                1  25%",
        "RUNNING    ━━━━━━━━━━                                1  25%",
        "SUCCEEDED  ━━━━━━━━━━                                1  25%",
        "FAILED     ━━━━━━━━━━                                1  25%",
        "2 of 4 settled, 1.0 per minute, about 2m00s left",
        "active",
        "2  BwaMem2  RUNNING  2m05s",
        "failed or blocked",
        "3  FAILED SERVICE_ERROR  32s ago",
        "AWS polled 3s ago, next poll in 3s",
    ]


def test_a_display_without_events() -> None:
    assert shown(display_of(), 3) == ["omics run 1234567  3s", "waiting for the first response"]


def test_a_lost_connection_and_one_that_is_back() -> None:
    lost = Reconnecting(
        error=CallError(grpc.StatusCode.UNAVAILABLE, "Socket closed"), delay=4, failures=1
    )
    display = display_of((0, Snapshot(tasks=(), reason=NEW)), (10, lost))
    assert shown(display, 11)[-1] == (
        "reconnecting in 3 s, connection lost: UNAVAILABLE: Socket closed AWS polled 11s…"
    )
    assert shown(display, 15)[-1].startswith("reconnecting, connection lost")
    display.apply(Resumed(), at(16))
    assert shown(display, 20)[-1] == "AWS polled 20s ago, reconnected 1x"
    display.apply(changed(task(1, SUCCEEDED), RUNNING), at(21))
    assert shown(display, 22)[-1] == "AWS polled 1s ago, reconnected 1x"


def test_a_failed_poll_of_aws() -> None:
    error = CallError(grpc.StatusCode.UNAVAILABLE, "no route")
    display = display_of((0, Heartbeat(staleness=90, upstream_error=error)))
    assert shown(display, 1)[-1] == (
        "polling AWS failed: UNAVAILABLE: no route AWS polled 1m31s ago"
    )


def test_the_end_of_a_watch() -> None:
    end = WatchEnd(
        reason=task_watch_pb2.WATCH_END_REASON_SETTLED, counts=task_pb2.TaskCounts(settled=True)
    )
    display = display_of((0, Snapshot(tasks=(task(1, SUCCEEDED),), reason=NEW)), (5, end))
    assert shown(display, 9)[-1] == "all settled"
    failed = task_pb2.ParentStatus(
        name="omics/runs/1", state=FAILED, native_state="FAILED", ended=True, failure_reason="X"
    )
    display = display_of(
        (0, Snapshot(tasks=(), reason=NEW)), (5, replace(end, parent_status=failed))
    )
    assert shown(display, 9)[-2:] == ["all settled", "omics run 1 FAILED: X"]


def test_long_lists_are_cut_to_the_terminal() -> None:
    running = tuple(task(number, RUNNING) for number in range(500))
    failed = tuple(task(number, FAILED) for number in range(500, 1_000))
    display = display_of((0, Snapshot(tasks=running + failed, reason=NEW)))
    for height in (12, 24, 50):
        lines = shown(display, 1, height)
        assert len(lines) <= max(height, 14)
        assert sum(line.startswith("and ") for line in lines) == 2


def test_an_unknown_state_has_a_bar() -> None:
    display = display_of((0, Snapshot(tasks=(task(1, 77),), reason=NEW)))
    assert shown(display, 1)[1].startswith("state 77  ━━━━")


def test_watched_tasks_follow_the_events() -> None:
    watched = WatchedTasks()
    watched.apply(Snapshot(tasks=(task(1), task(2)), reason=NEW))
    watched.apply(changed(task(1, SUCCEEDED), RUNNING))
    added = task_watch_pb2.TASK_CHANGE_KIND_ADDED
    watched.apply(TaskChange(task=task(3, FAILED), kind=added, previous_state=UNKNOWN))
    removed = task_watch_pb2.TASK_CHANGE_KIND_REMOVED
    watched.apply(TaskChange(task=task(2), kind=removed, previous_state=RUNNING))
    assert watched.counts == {SUCCEEDED: 1, FAILED: 1}
    assert watched.settled_count == 2
    watched.apply(Snapshot(tasks=(task(4),), reason=NEW))
    assert list(watched.tasks) == [f"{RUN}/tasks/4"]
    assert watched.counts == {RUNNING: 1}


def test_durations_and_names_are_short() -> None:
    assert [span(seconds) for seconds in (-1, 8.9, 185, 8_040, 273_600)] == [
        "0s",
        "8s",
        "3m05s",
        "2h14m",
        "3d04h",
    ]
    step, name = "step-2b7d4f60819c5e3daf204b6c8d0e1f30", "task-5ea07293bc4f8160d2537e9fb0314263-5"
    full = f"{JOB}/steps/{step}/tasks/{name}"
    assert short_name(full, JOB) == "step-2b7d4f60…/task-5ea07293…-5"
    assert short_name(full, f"{JOB}/steps/{step}") == "task-5ea07293…-5"
    assert printable("\x1b[2Jgone\ttab") == "\N{REPLACEMENT CHARACTER}[2Jgone\ttab"
