"""What is known and in which order it changed; snapshots; resume tokens."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskgate.v1 import task_pb2, task_watch_pb2
from taskgate_server.errors import TaskgateError
from taskgate_server.tasks.durations import to_timestamp
from taskgate_server.tasks.watch import messages as wire
from taskgate_server.tasks.watch import resume
from taskgate_server.tasks.watch.change_log import ChangeLog, Revisions
from taskgate_server.tasks.watch.snapshots import MESSAGE_BYTES, Snapshots

Response = task_watch_pb2.WatchTasksResponse


def make_task(name: str, answer: Mapping[str, Any], observe_time: float) -> task_pb2.Task:
    task = task_pb2.Task(name=name, state=answer["state"], native_state=str(answer["state"]))
    task.status_message = answer.get("text", "")
    task.observe_time.CopyFrom(to_timestamp(observe_time))
    return task


def name_of(number: int) -> str:
    return f"omics/runs/1/tasks/{number}"


def upsert(change_log: ChangeLog, number: int, state: int, at: float = 1.0, **more: Any) -> None:
    change_log.upsert(name_of(number), {"state": state, **more}, at, at)


def change_log(**more: Any) -> ChangeLog:
    return ChangeLog(make_task, Revisions(), **more)


def test_response_to_an_earlier_request_is_ignored() -> None:
    known = change_log()
    upsert(known, 1, task_pb2.TASK_STATE_RUNNING, at=5.0)
    upsert(known, 1, task_pb2.TASK_STATE_QUEUED, at=4.0)
    known.remove(name_of(1), 4.0)
    entry = known.get(name_of(1))
    assert entry is not None
    assert (entry.state, entry.removed) == (task_pb2.TASK_STATE_RUNNING, False)


def test_equal_response_is_not_a_change() -> None:
    known = change_log()
    upsert(known, 1, task_pb2.TASK_STATE_RUNNING, at=1.0)
    before = known.latest_revision
    upsert(known, 1, task_pb2.TASK_STATE_RUNNING, at=2.0)
    known.upsert(name_of(1), {"other": None, "state": task_pb2.TASK_STATE_RUNNING}, 3.0, 3.0)
    assert known.latest_revision == before
    entry = known.get(name_of(1))
    assert entry is not None
    assert entry.observe_time == 3.0


@given(
    st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), max_size=200),
    st.integers(1, 7),
)
def test_readers_of_any_speed_get_the_latest_changes(
    changes: list[tuple[int, int]], limit: int
) -> None:
    known, seen, position = change_log(), {}, 0
    for index, (number, state) in enumerate(changes):
        if state == 9:
            known.remove(name_of(number), float(index))
        else:
            upsert(known, number, state, at=float(index))
        if index % 3 == 0:
            for entry in known.changes_after(position, limit):
                seen[entry.name], position = entry, entry.revision
    while some := known.changes_after(position, limit):
        for entry in some:
            assert entry.revision > position
            seen[entry.name], position = entry, entry.revision
    for number in range(10):
        assert seen.get(name_of(number)) is known.get(name_of(number))
    there = [entry for entry in seen.values() if not entry.removed]
    assert len(there) == len(known) == len(list(known.entries()))
    assert sum(known.native_states("omics/runs/1").values()) == len(known)


def test_removed_tasks_are_forgotten_and_the_horizon_moves() -> None:
    known = change_log(max_removed=3)
    known.start()
    for number in range(6):
        upsert(known, number, task_pb2.TASK_STATE_RUNNING)
    for number in range(6):
        known.remove(name_of(number), 2.0)
    known.trim()
    assert known.horizon == 9
    assert [entry.name for entry in known.changes_after(9, 10)] == [name_of(n) for n in (3, 4, 5)]


def test_composed_messages_are_valid_protobuf() -> None:
    known = change_log()
    upsert(known, 1, task_pb2.TASK_STATE_QUEUED, at=1.0)
    upsert(known, 1, task_pb2.TASK_STATE_RUNNING, at=2.5)
    entry = known.get(name_of(1))
    assert entry is not None
    response = Response.FromString(wire.with_token(entry.change(known=True), b"token"))
    change = response.task_change
    assert response.resume_token == b"token"
    assert change.kind == task_watch_pb2.TASK_CHANGE_KIND_UPDATED
    assert change.previous_state == task_pb2.TASK_STATE_QUEUED
    assert change.task == make_task(name_of(1), {"state": 4}, 2.5)
    other = Response.FromString(entry.change(known=False)).task_change
    assert other.kind == task_watch_pb2.TASK_CHANGE_KIND_ADDED
    assert not other.previous_state


def test_snapshot_messages_are_shared_and_bounded() -> None:
    known = change_log()
    text = "x" * 9_000
    for number in range(250):
        upsert(known, number, task_pb2.TASK_STATE_RUNNING, text=text)
    snapshots = Snapshots(known)
    first, second = snapshots.take(), snapshots.take()
    ones, others = (
        list(first.messages(known.latest_revision)),
        list(second.messages(known.latest_revision)),
    )
    assert all(one is other for one, other in zip(ones, others, strict=True))
    assert max(map(len, ones)) <= MESSAGE_BYTES + 16
    received = [task.name for one in ones for task in Response.FromString(one).snapshot_tasks.tasks]
    assert received == [name_of(number) for number in range(250)]
    assert first.count == 250


def test_snapshot_leaves_out_tasks_that_were_added_or_removed_meanwhile() -> None:
    known = change_log()
    for number in range(300):
        upsert(known, number, task_pb2.TASK_STATE_QUEUED)
    snapshot, position = Snapshots(known).take(), known.latest_revision
    messages = snapshot.messages(position)
    next(messages)
    known.remove(name_of(250), 2.0)
    upsert(known, 251, task_pb2.TASK_STATE_RUNNING, at=2.0)
    upsert(known, 301, task_pb2.TASK_STATE_RUNNING, at=2.0)
    rest = [task for one in messages for task in Response.FromString(one).snapshot_tasks.tasks]
    states = {task.name: task.state for task in rest}
    assert name_of(250) not in states
    assert name_of(301) not in states
    assert states[name_of(251)] == task_pb2.TASK_STATE_RUNNING
    assert snapshot.left_out == {name_of(250)}


WATCHED = resume.digest_of("omics/runs/1", [], 0)
TOKENS = st.builds(
    resume.ResumeToken,
    st.binary(min_size=8, max_size=8),
    st.just(WATCHED),
    st.integers(0, 2**64 - 1),
)


@given(TOKENS)
def test_token_round_trip(token: resume.ResumeToken) -> None:
    assert resume.parse(token.to_bytes(), WATCHED) == token


@given(st.binary(max_size=80) | TOKENS.map(lambda token: token.to_bytes()[:-1]))
def test_invalid_token_is_refused(garbage: bytes) -> None:
    with pytest.raises(TaskgateError) as raised:
        resume.parse(garbage, WATCHED)
    assert raised.value.code.name == "INVALID_ARGUMENT"


@given(st.lists(st.text(max_size=5), max_size=5))
def test_digest_does_not_depend_on_the_order_of_names(names: list[str]) -> None:
    assert resume.digest_of("", names, 0) == resume.digest_of("", names[::-1] + names, 0)
    assert resume.digest_of("", names, 0) != resume.digest_of("", names, 1)
