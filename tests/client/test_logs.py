"""The lines of a log, and how it resumes after a break."""

from __future__ import annotations

from datetime import UTC, datetime

import grpc
import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from taskgate.v1 import task_log_pb2
from taskgate_client import CallError, Client
from tests.support.fake_service import RUN, Failure, FakeTaskService, Silence

NAME = f"{RUN}/tasks/1"
HEARTBEAT = task_log_pb2.StreamTaskLogsResponse(heartbeat=task_log_pb2.LogHeartbeat())
LOST = Failure(grpc.StatusCode.UNAVAILABLE, "Socket closed")


def lines(*pairs: tuple[int, str]) -> task_log_pb2.StreamTaskLogsResponse:
    """Return a response with lines, given the milliseconds and text of each."""
    messages = [
        task_log_pb2.LogLine(
            time=Timestamp(seconds=at // 1000, nanos=at % 1000 * 1_000_000), message=message
        )
        for at, message in pairs
    ]
    return task_log_pb2.StreamTaskLogsResponse(lines=task_log_pb2.LogLines(lines=messages))


def source(attempt: int) -> task_log_pb2.StreamTaskLogsResponse:
    return task_log_pb2.StreamTaskLogsResponse(
        source=task_log_pb2.LogSource(attempt=attempt, attempt_count=attempt, log_group="/g")
    )


def test_lines_and_their_source(client: Client, fake: FakeTaskService) -> None:
    fake.script("StreamTaskLogs", [source(2), lines((1, "a"), (2, "b")), lines((2, "c"))])
    since = datetime(2026, 3, 2, 9, 30, tzinfo=UTC)
    with client.stream_task_logs(NAME, since=since, limit=9, tail=8, attempt=2) as log:
        assert [line.message for line in log] == ["a", "b", "c"]
        assert log.source is not None
        assert log.source.log_group == "/g"
    (request,) = fake.requests["StreamTaskLogs"]
    assert request.name == NAME
    assert request.since.ToDatetime(UTC) == since
    assert (request.limit, request.tail, request.attempt) == (9, 8, 2)
    assert not request.follow


def test_silence_after_heartbeats_counts_as_a_break(client: Client, fake: FakeTaskService) -> None:
    fake.script(
        "StreamTaskLogs",
        [source(1), lines((1, "a")), HEARTBEAT, Silence()],
        [source(1), lines((1, "a"), (2, "b"))],
        [],
    )
    # Shorter than real servers accept.
    log = client.stream_task_logs(NAME, follow=True, heartbeat_interval=0.1)
    assert [line.message for line in log] == ["a", "b"]
    assert fake.cancelled.wait(10)
    requests = fake.requests["StreamTaskLogs"]
    assert [each.heartbeat_interval.ToMilliseconds() for each in requests] == [100] * 3


def test_a_server_without_heartbeats_may_be_silent(client: Client, fake: FakeTaskService) -> None:
    fake.script("StreamTaskLogs", [source(1), lines((1, "a")), Silence()])
    with (
        client.stream_task_logs(NAME, follow=True, heartbeat_interval=0.1, timeout=1) as log,
        pytest.raises(CallError) as caught,
    ):
        list(log)
    assert caught.value.code is grpc.StatusCode.DEADLINE_EXCEEDED
    assert len(fake.requests["StreamTaskLogs"]) == 1


def test_after_a_break_no_line_is_repeated_or_missed(client: Client, fake: FakeTaskService) -> None:
    fake.script(
        "StreamTaskLogs",
        [source(3), lines((1, "a"), (5, "b"), (5, "c")), LOST],
        [source(3), LOST],
        [source(3), lines((5, "b"), (5, "c"), (5, "d")), LOST],
        [source(3), lines((5, "b"), (5, "c"), (5, "d"), (6, "d"), (6, "d"))],
        [source(4), lines((7, "e"))],
    )
    log = client.stream_task_logs(NAME, follow=True, tail=100, limit=50)
    assert [line.message for line in log] == ["a", "b", "c", "d", "d", "d", "e"]
    assert log.source == source(4).source
    first, second, _, fourth, fifth = fake.requests["StreamTaskLogs"]
    assert not first.HasField("attempt")
    assert (second.attempt, second.tail, second.limit) == (3, 0, 49)
    assert second.since.ToMilliseconds() == 5
    assert (fourth.since.ToMilliseconds(), fourth.limit) == (5, 49)
    # The interrupted attempt is complete; the next call reads later attempts.
    assert not fifth.HasField("attempt")
    assert fifth.since.ToMilliseconds() == 6


def test_a_followed_log_continues_with_the_next_attempt(
    client: Client, fake: FakeTaskService
) -> None:
    fake.script(
        "StreamTaskLogs", [source(0), source(1), lines((1, "a")), source(2), lines((2, "b"))]
    )
    log = client.stream_task_logs(NAME, follow=True)
    assert [(line.message, log.source and log.source.attempt) for line in log] == [
        ("a", 1),
        ("b", 2),
    ]


def test_a_silent_log_times_out(client: Client, fake: FakeTaskService) -> None:
    fake.script("StreamTaskLogs", [source(1), Silence()])
    with pytest.raises(CallError, match="timed out"):
        list(client.stream_task_logs(NAME, follow=True, timeout=0.2))


def test_a_task_that_never_ran_has_no_lines(client: Client, fake: FakeTaskService) -> None:
    fake.script("StreamTaskLogs", [source(0)])
    assert not list(client.stream_task_logs(NAME))
