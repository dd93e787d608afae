"""StreamTaskLogs over the wire, with CloudWatch Logs by moto's server."""

from __future__ import annotations

import io
import logging
from typing import Any

import grpc
import pytest

from taskgate.v1 import task_service_pb2_grpc
from taskgate_emulator import Emulator
from taskgate_emulator.seeds import ids as seed
from tests.support.call_errors import error_of
from tests.support.ports import refused_endpoint
from tests.support.task_logs import (
    OMICS_GROUP,
    PENDING,
    QUEUE_GROUP,
    RUN_TASK,
    SESSION,
    TASK,
    Logs,
    Request,
    action,
    at,
    log_of,
    run_task,
    server_with_logs,
)

CACHED_TASK = f"omics/runs/{seed.RUN_ID}/tasks/{seed.CACHE_HIT_TASK_ID}"


def ran(aws: Emulator, *actions: dict[str, Any], latest: str | None = None) -> None:
    """The task has been run by these session actions."""
    ids = sorted((each for each in actions if "startedAt" in each), key=lambda a: a["startedAt"])
    body = {
        "taskId": seed.FAILED_TASK_ID,
        "runStatus": "FAILED",
        "latestSessionActionId": latest or ids[-1]["sessionActionId"],
    }
    aws.respond("deadline", "GetTask", body=body)
    half = len(actions) // 2
    aws.respond(
        "deadline",
        "ListSessionActions",
        body={"sessionActions": list(actions[:half]), "nextToken": "more"},
    )
    aws.respond("deadline", "ListSessionActions", body={"sessionActions": list(actions[half:])})


def test_log_of_a_deadline_task(
    aws: Emulator, logs: Logs, stub: task_service_pb2_grpc.TaskServiceStub
) -> None:
    ran(aws, action(3, 10, 20))
    lines = [(9, "before"), (10.6, "first"), (15, "ein Bär"), (20.5, "last"), (21, "after")]
    logs.write(QUEUE_GROUP, SESSION, lines)
    responses = list(stub.StreamTaskLogs(Request(name=TASK)))
    source, messages = log_of(responses)
    assert messages == ["first", "ein Bär", "last"]
    assert (source.log_group, source.log_stream) == (QUEUE_GROUP, SESSION)
    assert (source.attempt, source.attempt_count) == (1, 1)
    assert (source.start_time, source.end_time) == (at(10.5), at(20.5))
    assert [line.time for line in responses[1].lines.lines] == [at(10.6), at(15), at(20.5)]


def test_lines_do_not_reach_the_servers_own_log(
    aws: Emulator,
    logs: Logs,
    neighbours: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG, "taskgate")
    ran(aws, action(3, 10, 20))
    logs.write(QUEUE_GROUP, SESSION, [(11, "a secret")])
    calls = io.StringIO()
    with server_with_logs(aws.endpoint_url, neighbours, calls) as stub:
        assert log_of(stub.StreamTaskLogs(Request(name=TASK)))[1] == ["a secret"]
    lines = [str(vars(record)) for record in caplog.records if record.name == "taskgate"]
    assert lines
    assert "StreamTaskLogs" in calls.getvalue()
    assert "a secret" not in calls.getvalue() + "".join(lines)


def test_attempts_are_numbered_by_their_start(
    aws: Emulator, logs: Logs, stub: task_service_pb2_grpc.TaskServiceStub
) -> None:
    actions = [
        action(7, 300, 310, "b"),
        action(1, None, None, "c"),
        action(3, 10, 20),
        action(9, 100, 110),
    ]
    logs.write(QUEUE_GROUP, SESSION, [(15, "one"), (105, "two")])
    logs.write(QUEUE_GROUP, f"session-{'b' * 32}", [(305, "three")])
    for attempt, expected in [(1, "one"), (2, "two"), (3, "three"), (None, "three")]:
        ran(aws, *actions)
        source, messages = log_of(stub.StreamTaskLogs(Request(name=TASK, attempt=attempt)))
        assert messages == [expected]
        assert (source.attempt, source.attempt_count) == (attempt or 3, 3)


def test_attempt_that_is_missing_from_the_list(
    aws: Emulator, logs: Logs, stub: task_service_pb2_grpc.TaskServiceStub
) -> None:
    ran(aws, action(3, 10, 20), latest=action(9, 100, 110)["sessionActionId"])
    aws.respond("deadline", "GetSessionAction", body=action(9, 100, 110))
    logs.write(QUEUE_GROUP, SESSION, [(15, "one"), (105, "two")])
    source, messages = log_of(stub.StreamTaskLogs(Request(name=TASK)))
    assert messages == ["two"]
    assert (source.attempt, source.attempt_count) == (2, 2)


def test_unknown_attempt_is_not_found(
    aws: Emulator, stub: task_service_pb2_grpc.TaskServiceStub
) -> None:
    ran(aws, action(3, 10, 20))
    error = error_of(lambda: list(stub.StreamTaskLogs(Request(name=TASK, attempt=2))))
    assert error.code is grpc.StatusCode.NOT_FOUND
    assert error.reason == "ATTEMPT_NOT_FOUND"
    assert error.metadata == {"attempt_count": "1"}


@pytest.mark.parametrize("follow", [False, True])
def test_task_that_never_ran_has_an_empty_log(
    aws: Emulator, stub: task_service_pb2_grpc.TaskServiceStub, *, follow: bool
) -> None:
    for name in (PENDING, CACHED_TASK):
        for service, operation, member in (
            ("deadline", "GetTask", "runStatus"),
            ("omics", "GetRunTask", "status"),
        ):
            # Settled, so that following it ends.
            aws.respond(service, operation, body={"taskId": "1", member: "FAILED"}, times=2)
        source, messages = log_of(stub.StreamTaskLogs(Request(name=name, follow=follow)))
        assert (source.attempt, source.attempt_count, source.log_group) == (0, 0, "")
        assert messages == []


@pytest.mark.parametrize("has_arn", [True, False])
def test_log_of_a_healthomics_task(
    aws: Emulator,
    logs: Logs,
    stub: task_service_pb2_grpc.TaskServiceStub,
    *,
    has_arn: bool,
) -> None:
    stream = f"run/{seed.RUN_ID}/task/{seed.FAILED_RUN_TASK_ID}"
    group, more = OMICS_GROUP, {}
    if has_arn:
        group, stream = "/aws/omics/Other", "run/1/task/2"
        arn = f"arn:aws:logs:us-west-2:123456789012:log-group:{group}:log-stream:{stream}"
        more = {"logStream": arn}
    aws.respond("omics", "GetRunTask", body=run_task(**more))
    logs.write(group, stream, [(0, "one"), (1, "two")])
    source, messages = log_of(stub.StreamTaskLogs(Request(name=RUN_TASK)))
    assert messages == ["one", "two"]
    assert (source.log_group, source.log_stream) == (group, stream)
    assert (source.attempt, source.attempt_count) == (1, 1)
    assert not source.HasField("start_time")
    assert not source.HasField("end_time")


def test_attempts_of_a_healthomics_task(
    aws: Emulator, logs: Logs, stub: task_service_pb2_grpc.TaskServiceStub
) -> None:
    rows = [
        run_task(),
        run_task(taskId="33", creationTime="2026-01-01T00:00:09.5Z"),
        run_task(taskId="22", creationTime="2025-12-31T23:59:59Z"),
        run_task(taskId="44", name="sort"),
        {key: value for key, value in run_task(taskId="55").items() if key != "startTime"},
    ]
    for task in ("22", seed.FAILED_RUN_TASK_ID, "33"):
        logs.write(OMICS_GROUP, f"run/{seed.RUN_ID}/task/{task}", [(1, f"of {task}")])
    expected = [(1, "22"), (2, seed.FAILED_RUN_TASK_ID), (3, "33")]
    for attempt, task in [*expected, (None, seed.FAILED_RUN_TASK_ID)]:
        aws.respond("omics", "GetRunTask", body=run_task())
        if task != seed.FAILED_RUN_TASK_ID:
            aws.respond("omics", "GetRunTask", body=run_task(taskId=task))
        aws.respond("omics", "ListRunTasks", body={"items": rows[:2], "nextToken": "more"})
        aws.respond("omics", "ListRunTasks", body={"items": rows[2:]})
        with server_with_logs(aws.endpoint_url, logs.client.meta.endpoint_url) as other:
            source, messages = log_of(other.StreamTaskLogs(Request(name=RUN_TASK, attempt=attempt)))
        assert messages == [f"of {task}"]
        assert (source.attempt, source.attempt_count) == (attempt or 2, 3)
    del stub


@pytest.mark.parametrize("has_group", [True, False])
def test_missing_stream_is_an_empty_log(
    aws: Emulator,
    logs: Logs,
    stub: task_service_pb2_grpc.TaskServiceStub,
    *,
    has_group: bool,
) -> None:
    if has_group:
        logs.client.create_log_group(logGroupName=QUEUE_GROUP)
    for tail in (0, 5):
        ran(aws, action(3, 10, 20))
        source, messages = log_of(stub.StreamTaskLogs(Request(name=TASK, tail=tail)))
        assert source.attempt_count == 1
        assert messages == []


@pytest.mark.parametrize(
    ("request_fields", "expected"),
    [
        ({}, range(2500)),
        ({"limit": 7}, range(7)),
        ({"limit": 2499}, range(2499)),
        ({"tail": 1}, range(2499, 2500)),
        ({"tail": 1700}, range(800, 2500)),
        ({"tail": 9999}, range(2500)),
        ({"tail": 10, "limit": 4}, range(2490, 2494)),
        ({"since": at(12)}, range(1500, 2500)),
        ({"since": at(12), "tail": 3}, range(2497, 2500)),
        ({"since": at(5), "limit": 2}, range(2)),
        ({"since": at(30)}, range(0)),
        ({"since": at(30), "tail": 2}, range(0)),
        ({"since": at(30), "follow": True}, range(0)),
        # Followed to the end, which was long ago.
        ({"follow": True}, range(2500)),
        ({"follow": True, "tail": 2}, range(2498, 2500)),
        ({"follow": True, "limit": 3}, range(3)),
    ],
)
def test_since_limit_and_tail_select_lines(
    aws: Emulator,
    logs: Logs,
    stub: task_service_pb2_grpc.TaskServiceStub,
    request_fields: dict[str, Any],
    expected: range,
) -> None:
    lines = [(10.5 + index / 1000, str(index)) for index in range(2500)]
    logs.write(QUEUE_GROUP, SESSION, [(1, "before"), *lines, (25, "after")])
    ran(aws, action(3, 10, 20))
    ran(aws, action(3, 10, 20))  # for those who look again
    aws.respond("deadline", "GetSessionAction", body=action(3, 10, 20), times=3)
    messages = list(stub.StreamTaskLogs(Request(name=TASK, **request_fields)))
    assert log_of(messages)[1] == [str(index) for index in expected]
    assert all(len(message.lines.lines) <= 1000 for message in messages)


def test_messages_are_bounded(
    aws: Emulator, logs: Logs, stub: task_service_pb2_grpc.TaskServiceStub
) -> None:
    sizes = [100_000, 100_000, 100_000, 200_000, 10]
    logs.write(QUEUE_GROUP, SESSION, [(11 + index, "x" * size) for index, size in enumerate(sizes)])
    ran(aws, action(3, 10, 20))
    _, *messages = stub.StreamTaskLogs(Request(name=TASK))
    found = [[len(line.message) for line in message.lines.lines] for message in messages]
    assert found == [[100_000, 100_000], [100_000], [200_000, 10]]
    assert all(message.ByteSize() <= 256 * 1024 for message in messages)


@pytest.mark.parametrize(
    ("field", "value"), [("limit", -1), ("tail", -1), ("tail", 10_001), ("attempt", 0)]
)
def test_invalid_requests_are_refused(
    aws: Emulator, stub: task_service_pb2_grpc.TaskServiceStub, field: str, value: int
) -> None:
    request = Request(name=TASK)
    setattr(request, field, value)
    before = aws.request_count
    error = error_of(lambda: list(stub.StreamTaskLogs(request)))
    assert error.code is grpc.StatusCode.INVALID_ARGUMENT
    assert [violation.field for violation in error.violations] == [field]
    assert aws.request_count == before


def test_error_of_cloudwatch_logs_is_returned(aws: Emulator) -> None:
    ran(aws, action(3, 10, 20))
    with server_with_logs(aws.endpoint_url, refused_endpoint()) as stub:
        error = error_of(lambda: list(stub.StreamTaskLogs(Request(name=TASK))))
    assert error.code is grpc.StatusCode.UNAVAILABLE
    assert error.metadata == {"operation": "GetLogEvents", "service": "logs"}


def test_unknown_task_is_not_found(stub: task_service_pb2_grpc.TaskServiceStub) -> None:
    missing = f"omics/runs/{seed.RUN_ID}/tasks/404"
    error = error_of(lambda: list(stub.StreamTaskLogs(Request(name=missing))))
    assert error.code is grpc.StatusCode.NOT_FOUND
    assert error.domain == "omics.amazonaws.com"
