"""What replicas send each other: changes, the status of a parent, times, and lines of revisions."""

from __future__ import annotations

import math

from grpc import StatusCode

from taskgate.v1 import task_pb2
from taskgate_server.error_rules import Retry
from taskgate_server.errors import TaskgateError
from taskgate_server.tasks.parent_state import unending
from taskgate_server.tasks.watch.change_log import Entry, Revisions
from taskgate_server.tasks.watch.replication import (
    Status,
    StoreTime,
    deserialize,
    deserialize_status,
    serialize,
    serialize_status,
)

EXACT = StoreTime()
NAMES = ("name", "state", "native_state", "body", "observe_time", "sent_at", "added", "removed")


def entry(**more: object) -> Entry:
    values = {
        "name": "omics/runs/1/tasks/ü",
        "state": task_pb2.TASK_STATE_RUNNING,
        "native_state": "RUNNING",
        "body": b"\0body",
        "observe_time": 5.0,
        "sent_at": 4.0,
        "revision": 7,
        "added": 3,
    }
    return Entry(**(values | more))  # type: ignore[arg-type]  # each value has its own type


def test_a_change_is_the_same_on_another_replica() -> None:
    for sent in (entry(), entry(removed=True), entry(observe_time=None), entry(native_state="")):
        received = deserialize(7, serialize(sent, EXACT), EXACT)
        assert [getattr(received, name) for name in NAMES] == [
            getattr(sent, name) for name in NAMES
        ]
        assert received.revision == 7
        assert received.change(known=True) == sent.change(known=True)


def test_a_new_task_is_added_in_the_revision_that_the_store_assigns() -> None:
    received = deserialize(9, serialize(entry(revision=0, added=0), EXACT), EXACT)
    assert (received.revision, received.added) == (9, 9)


def test_a_status_is_the_same_on_another_replica() -> None:
    error = TaskgateError(
        code=StatusCode.UNAVAILABLE,
        message="m",
        reason="R",
        metadata={"key": "value"},
        retry=Retry.REPEATABLE,
    )
    for sent in (Status(), Status(swept_at=3.0, error=error, parent=unending("p", 2.0), gone=True)):
        received = deserialize_status(serialize_status(sent, EXACT), EXACT)
        assert repr(received) == repr(sent)
    assert deserialize_status(b"", EXACT) == Status()
    assert deserialize_status(b"", EXACT).swept_at == -math.inf


def test_a_time_of_another_replica_is_never_too_late() -> None:
    # The clocks of the two replicas show 100 and 500 when that of the store shows 1000.
    one = StoreTime.measured(99.9, 1000.0, 100.2)
    other = StoreTime.measured(499.7, 1000.0, 500.1)
    for seconds in (0.0, 50.0):
        converted = other.to_local(one.to_store(100.0 + seconds))
        assert 500.0 + seconds - 0.7 <= converted <= 500.0 + seconds


def test_a_revision_is_valid_only_in_its_line() -> None:
    revisions = Revisions(b"one")
    revisions.latest = 10
    revisions.begin(b"two", 100)
    assert revisions.latest == 100
    revisions.latest = 120
    assert revisions.has(b"one", 10)
    assert not revisions.has(b"one", 11), "not a state of this line"
    assert not revisions.has(b"two", 99), "before the line"
    assert revisions.has(b"two", 120)
    assert not revisions.has(b"two", 121), "not yet"
    assert not revisions.has(b"three", 5)
    assert revisions.epoch_at(10) == b"one"
    assert revisions.epoch_at(100) == revisions.epoch_at(110) == b"two"


def test_only_the_latest_lines_are_kept() -> None:
    revisions = Revisions(b"0")
    for number in range(1, 20):
        revisions.begin(str(number).encode(), number)
    assert not revisions.has_epoch(b"0")
    assert revisions.has_epoch(b"19")
    assert revisions.has_epoch(b"12")
