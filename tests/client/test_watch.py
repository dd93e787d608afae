"""A watch with a fake server: events, breaks, and how it resumes after them."""

from __future__ import annotations

from contextlib import ExitStack
from datetime import UTC, datetime

import grpc
import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from google.rpc import error_details_pb2

from taskgate.v1 import task_pb2, task_watch_pb2
from taskgate_client import (
    CallError,
    Client,
    Heartbeat,
    OmicsRunName,
    OmicsTaskName,
    Reconnecting,
    Resumed,
    Snapshot,
    TaskChange,
    Timing,
    WatchEnd,
    connect,
)
from tests.support.fake_service import (
    RUN,
    Failure,
    FakeTaskService,
    Silence,
    change,
    end,
    event,
    parent_status,
    serving,
    snapshot,
    status,
    task,
)

SUCCEEDED = task_pb2.TASK_STATE_SUCCEEDED
LOST = Failure(grpc.StatusCode.UNAVAILABLE, "Socket closed")


def resumed() -> task_watch_pb2.WatchTasksResponse:
    return event(resumed=task_watch_pb2.Resumed())


def tokens(fake: FakeTaskService) -> list[bytes]:
    return [request.resume_token for request in fake.requests["WatchTasks"]]


def test_responses_become_events(client: Client, fake: FakeTaskService) -> None:
    observed = Timestamp(seconds=1_700_000_000)
    begin = task_watch_pb2.SnapshotBegin(reason=task_watch_pb2.SNAPSHOT_REASON_NEW_WATCH)
    beat = task_watch_pb2.Heartbeat(upstream_error=status(grpc.StatusCode.UNAVAILABLE, "AWS"))
    beat.staleness.FromMilliseconds(1_500)
    fake.script(
        "WatchTasks",
        [
            event(snapshot_begin=begin),
            event(snapshot_tasks=task_watch_pb2.SnapshotTasks(tasks=[task(1)])),
            event(snapshot_tasks=task_watch_pb2.SnapshotTasks(tasks=[task(2)])),
            event(snapshot_end=task_watch_pb2.SnapshotEnd(task_count=2, observe_time=observed)),
            change(task(2, SUCCEEDED), sequence=7),
            event(heartbeat=beat),
            end(SUCCEEDED=2),
        ],
    )
    first, second, third, last = list(client.watch_tasks(OmicsRunName("1234567")))
    assert isinstance(first, Snapshot)
    assert first.tasks == (task(1), task(2))
    assert first.reason == task_watch_pb2.SNAPSHOT_REASON_NEW_WATCH
    assert first.observe_time == datetime.fromtimestamp(1_700_000_000, UTC)
    assert isinstance(second, TaskChange)
    assert second.task == task(2, SUCCEEDED)
    assert second.kind == task_watch_pb2.TASK_CHANGE_KIND_UPDATED
    assert second.previous_state == task_pb2.TASK_STATE_RUNNING
    assert second.sequence == 7
    assert isinstance(third, Heartbeat)
    assert third.staleness == 1.5
    assert third.next_poll is None
    assert third.upstream_error is not None
    assert third.upstream_error.message == "AWS"
    assert isinstance(last, WatchEnd)
    assert last.reason == task_watch_pb2.WATCH_END_REASON_SETTLED
    assert last.counts.total == 2


def test_the_end_has_the_state_of_the_parent(client: Client, fake: FakeTaskService) -> None:
    parent = parent_status("FAILED", "FAILED", failure_reason="RUN_TIMED_OUT")
    fake.script("WatchTasks", [*snapshot(), end(parent=parent)], [*snapshot(), end()])
    for expected in (parent, None):  # an older server sends none
        *_, last = client.watch_tasks(RUN, until_settled=True)
        assert isinstance(last, WatchEnd)
        assert last.parent_status == expected


def test_arguments_become_a_request(client: Client, fake: FakeTaskService) -> None:
    fake.script("WatchTasks", [end()])
    list(client.watch_tasks(RUN, until_settled=True, heartbeat_interval=2))
    list(client.watch_tasks([OmicsTaskName("1234567", "1"), f"{RUN}/tasks/2"], timeout=60))
    parent, names = fake.requests["WatchTasks"]
    assert parent.parent == RUN
    assert parent.until_settled
    assert parent.heartbeat_interval.seconds == 2
    assert list(names.names) == [f"{RUN}/tasks/1", f"{RUN}/tasks/2"]
    assert not names.parent
    assert not names.HasField("heartbeat_interval")
    without, with_timeout = fake.timeouts["WatchTasks"]
    assert without is None or without > 1_000_000
    assert with_timeout is not None
    assert with_timeout < 62


@pytest.mark.parametrize(
    "broken",
    [
        [LOST],
        [Failure(grpc.StatusCode.CANCELLED, "the server went")],
        [Failure(grpc.StatusCode.INTERNAL, "Received RST_STREAM with error code 2")],
        [],  # a proxy has closed the stream
    ],
    ids=["lost", "cancelled", "reset", "closed"],
)
def test_it_resumes_with_the_latest_token(
    client: Client, fake: FakeTaskService, slept: list[float], broken: list[object]
) -> None:
    fake.script(
        "WatchTasks",
        [*snapshot(task(1), token=b"t1"), change(task(1), token=b"t2"), resumed(), *broken],
        [resumed(), change(task(1, SUCCEEDED), token=b"t3"), *broken],
        [resumed(), end(SUCCEEDED=1)],
    )
    kinds = [type(each) for each in client.watch_tasks(RUN)]
    assert kinds == [
        Snapshot,
        TaskChange,
        Resumed,
        Reconnecting,
        Resumed,
        TaskChange,
        Reconnecting,
        Resumed,
        WatchEnd,
    ]
    assert tokens(fake) == [b"", b"t2", b"t3"]
    assert slept == [0.5, 0.5]  # half of the maximum first delay: the random number is 0.5


def test_a_server_that_shuts_down_is_left_immediately(
    client: Client, fake: FakeTaskService, slept: list[float]
) -> None:
    stopping = end(task_watch_pb2.WATCH_END_REASON_SERVER_STOPPING)
    fake.script(
        "WatchTasks",
        [*snapshot(task(1), token=b"t1"), stopping],
        [resumed(), change(task(1, SUCCEEDED), token=b"t2"), stopping],
        [resumed(), end(SUCCEEDED=1)],
    )
    events = list(client.watch_tasks(RUN))
    lost = [each for each in events if isinstance(each, Reconnecting)]
    assert [each.error.reason for each in lost] == ["SERVER_STOPPING"] * 2
    # Another one within a second may be the same server, or every server.
    assert [each.delay for each in lost] == [0, 0.5]
    assert slept == [0.5]
    assert tokens(fake) == [b"", b"t1", b"t2"]


def test_delays_grow_while_calls_fail(
    client: Client, fake: FakeTaskService, slept: list[float]
) -> None:
    wait = error_details_pb2.RetryInfo()
    wait.retry_delay.FromSeconds(17)
    fake.script(
        "WatchTasks",
        [*snapshot(token=b"t"), LOST],
        *([LOST] for _ in range(5)),
        Failure(grpc.StatusCode.RESOURCE_EXHAUSTED, "the quota has no room", wait),
        [resumed(), end()],
    )
    events = list(client.watch_tasks(RUN))
    assert slept == [0.5, 1, 2, 4, 5, 5, 17]
    failures = [each.failures for each in events if isinstance(each, Reconnecting)]
    assert failures == [1, 2, 3, 4, 5, 6, 7]
    assert [each.delay for each in events if isinstance(each, Reconnecting)] == slept


def test_an_interrupted_snapshot_starts_over_and_is_one_event(
    client: Client, fake: FakeTaskService
) -> None:
    begin = task_watch_pb2.SnapshotBegin()
    part = task_watch_pb2.SnapshotTasks(tasks=[task(1)])
    fake.script(
        "WatchTasks",
        [event(b"in", snapshot_begin=begin), event(b"side", snapshot_tasks=part), LOST],
        [*snapshot(task(1), task(2), token=b"whole"), LOST],
        [resumed(), end()],
    )
    events = [each for each in client.watch_tasks(RUN) if isinstance(each, Snapshot)]
    assert [len(each.tasks) for each in events] == [2]
    assert tokens(fake) == [b"", b"", b"whole"]


def test_an_expired_token_gives_a_snapshot_with_that_reason(
    client: Client, fake: FakeTaskService
) -> None:
    too_old = task_watch_pb2.SNAPSHOT_REASON_TOKEN_TOO_OLD
    fake.script(
        "WatchTasks",
        [*snapshot(task(1), token=b"t1"), LOST],
        [*snapshot(task(2), token=b"t2", reason=too_old), end()],
    )
    reasons = [each.reason for each in client.watch_tasks(RUN) if isinstance(each, Snapshot)]
    assert reasons == [task_watch_pb2.SNAPSHOT_REASON_NEW_WATCH, too_old]


def test_it_resumes_when_the_server_restarts(fake: FakeTaskService) -> None:
    fake.script("WatchTasks", [*snapshot(task(1), token=b"t1"), Silence()], [resumed(), end()])
    with ExitStack() as servers:
        address = servers.enter_context(serving(fake))
        stopped = servers.pop_all()
        port = int(address.rpartition(":")[2])

        def restart(*_: object) -> None:
            if len(fake.requests["WatchTasks"]) == 1:
                servers.enter_context(serving(fake, port))

        with (
            connect(address, timing=Timing(wait=restart)) as client,
            client.watch_tasks(RUN) as watch,
        ):
            assert isinstance(next(watch), Snapshot)
            stopped.close()
            kinds = {type(each) for each in watch}
    assert kinds == {Reconnecting, Resumed, WatchEnd}
    assert tokens(fake) == [b"", b"t1"]


def test_missed_heartbeats_count_as_a_break(client: Client, fake: FakeTaskService) -> None:
    fake.script("WatchTasks", [*snapshot(token=b"t1"), Silence()], [resumed(), end()])
    # Shorter than real servers accept.
    events = list(client.watch_tasks(RUN, heartbeat_interval=0.1))
    assert [type(each) for each in events] == [Snapshot, Reconnecting, Resumed, WatchEnd]
    lost = events[1]
    assert isinstance(lost, Reconnecting)
    assert "no message from the server for 0.3 s" in str(lost.error)
    assert fake.cancelled.wait(10)


def test_a_server_that_never_responded_is_not_retried(slept: list[float]) -> None:
    unreachable = connect(
        "127.0.0.1:1", timing=Timing(wait=lambda _, seconds: slept.append(seconds))
    )
    with unreachable, pytest.raises(CallError) as caught:
        next(unreachable.watch_tasks(RUN))
    assert caught.value.code is grpc.StatusCode.UNAVAILABLE
    assert not slept


def test_a_final_error_ends_it(client: Client, fake: FakeTaskService) -> None:
    fake.script(
        "WatchTasks", [*snapshot(), Failure(grpc.StatusCode.PERMISSION_DENIED, "no longer yours")]
    )
    watch = client.watch_tasks(RUN)
    next(watch)
    with pytest.raises(CallError, match="no longer yours"):
        next(watch)
    assert not list(watch)


def test_it_gives_up_after_five_minutes(address: str, fake: FakeTaskService) -> None:
    now = [0.0]

    def sleep(_: object, seconds: float) -> None:
        now[0] += seconds

    fake.script("WatchTasks", [*snapshot(), LOST], [LOST])
    client = connect(address, timing=Timing(clock=lambda: now[0], wait=sleep, random=lambda: 1))
    with client, pytest.raises(CallError, match="Socket closed"):
        list(client.watch_tasks(RUN))
    assert 300 < now[0] < 311


def test_closing_cancels_the_call(client: Client, fake: FakeTaskService) -> None:
    fake.script("WatchTasks", [*snapshot(), Silence()])
    with client.watch_tasks(RUN) as watch:
        next(watch)
    assert fake.cancelled.wait(10)
    assert not list(watch)


def test_it_times_out(client: Client, fake: FakeTaskService) -> None:
    fake.script("WatchTasks", [*snapshot(), Silence()])
    watch = client.watch_tasks(RUN, timeout=0.2)
    with pytest.raises(CallError) as caught:
        list(watch)
    assert caught.value.code is grpc.StatusCode.DEADLINE_EXCEEDED
    assert "timed out after 0.2 s" in caught.value.message


def test_unknown_values_of_a_newer_server_are_kept(client: Client, fake: FakeTaskService) -> None:
    unknown = task_watch_pb2.WatchTasksResponse.FromString(b"\xa2\x06\x01x")  # field 100
    fake.script("WatchTasks", [unknown, *snapshot(), change(task(1, 77), 78, kind=79), end(80)])
    _, changed, ended = list(client.watch_tasks(RUN))
    assert isinstance(changed, TaskChange)
    assert (changed.task.state, changed.previous_state, changed.kind) == (77, 78, 79)
    assert isinstance(ended, WatchEnd)
    assert ended.reason == 80


def test_it_times_out_while_it_reconnects(address: str, fake: FakeTaskService) -> None:
    fake.script("WatchTasks", [*snapshot(), LOST])
    now = [0.0]
    with connect(address, timing=Timing(clock=lambda: now[0])) as client:
        watch = client.watch_tasks(RUN, timeout=5)
        assert [type(next(watch)) for _ in range(2)] == [Snapshot, Reconnecting]
        now[0] = 6
        with pytest.raises(CallError, match="timed out after 5 s"):
            next(watch)
        assert not list(watch)
