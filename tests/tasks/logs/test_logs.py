"""StreamTaskLogs over the wire, with CloudWatch Logs by moto's server."""

from __future__ import annotations

import io
import logging
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TextIO

import boto3
import grpc
import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from taskgate.v1 import task_log_pb2, task_service_pb2_grpc
from taskgate_emulator import Emulator
from taskgate_emulator.seeds import ids as seed
from tests.conftest import REGION, running_server, settings_for
from tests.emulator.test_faults_served import error_of, refused_endpoint

JOB = f"deadline/farms/{seed.FARM_ID}/queues/{seed.QUEUE_ID}/jobs/{seed.JOB_ID}"
TASK = f"{JOB}/steps/{seed.RENDER_STEP_ID}/tasks/{seed.FAILED_TASK_ID}"
PENDING = f"{JOB}/steps/{seed.COMPOSITE_STEP_ID}/tasks/{seed.PENDING_TASK_ID}"
RUN_TASK = f"omics/runs/{seed.RUN_ID}/tasks/{seed.FAILED_RUN_TASK_ID}"
CACHED_TASK = f"omics/runs/{seed.RUN_ID}/tasks/{seed.CACHE_HIT_TASK_ID}"

QUEUE_GROUP = f"/aws/deadline/{seed.FARM_ID}/{seed.QUEUE_ID}"
OMICS_GROUP = "/aws/omics/WorkflowLog"
SESSION = f"session-{'a' * 32}"
BEGAN = int(time.time()) - 3600
"""Moto takes no events that are older than two weeks, so the times are of today."""

Request = task_log_pb2.StreamTaskLogsRequest


def action(number: int, start: int | None, end: int | None, session: str = "a") -> dict[str, Any]:
    """A session action that ran from `start` to `end`, in seconds after BEGAN."""
    made: dict[str, Any] = {"sessionActionId": f"sessionaction-{session * 32}-{number}"}
    for member, seconds in (("startedAt", start), ("endedAt", end)):
        if seconds is not None:
            moment = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(BEGAN + seconds))
            made[member] = f"{moment}.500Z"
    return made


def at(seconds: float) -> Timestamp:
    moment = Timestamp()
    moment.FromMilliseconds(round((BEGAN + seconds) * 1000))
    return moment


class Logs:
    """What writes to CloudWatch Logs."""

    def __init__(self, endpoint_url: str) -> None:
        self.client = boto3.client("logs", region_name=REGION, endpoint_url=endpoint_url)

    def write(self, group: str, stream: str, lines: Iterable[tuple[float, str]]) -> None:
        """Lines with their times in seconds after BEGAN."""
        for make in (
            lambda: self.client.create_log_group(logGroupName=group),
            lambda: self.client.create_log_stream(logGroupName=group, logStreamName=stream),
        ):
            ignore_existing(make)
        events = [
            {"timestamp": round((BEGAN + seconds) * 1000), "message": message}
            for seconds, message in lines
        ]
        for first in range(0, len(events), 1000):
            part: Any = events[first : first + 1000]
            self.client.put_log_events(logGroupName=group, logStreamName=stream, logEvents=part)


def ignore_existing(make: Callable[[], object]) -> None:
    try:
        make()
    except Exception as error:
        if "AlreadyExists" not in type(error).__name__:
            raise


@pytest.fixture
def logs(neighbours: str) -> Logs:
    return Logs(neighbours)


@pytest.fixture
def aws() -> Iterator[Emulator]:
    with Emulator() as emulator:
        yield emulator


@pytest.fixture
def stub(aws: Emulator, neighbours: str) -> Iterator[task_service_pb2_grpc.TaskServiceStub]:
    with connected(aws.endpoint_url, neighbours) as stub:
        yield stub


class connected:  # noqa: N801  # a context manager is named as a function is
    """A stub of a server whose logs are at `logs_endpoint_url`."""

    def __init__(
        self, endpoint_url: str, logs_endpoint_url: str, log_stream: TextIO | None = None
    ) -> None:
        settings = settings_for(endpoint_url)
        aws = settings.aws["omics"].model_copy(update={"logs_endpoint_url": logs_endpoint_url})
        self._server = running_server(
            settings_for(endpoint_url, aws={"deadline": aws, "omics": aws}), log_stream
        )

    def __enter__(self) -> task_service_pb2_grpc.TaskServiceStub:
        self._channel = grpc.insecure_channel(str(self._server.__enter__()))
        return task_service_pb2_grpc.TaskServiceStub(self._channel)

    def __exit__(self, *error: Any) -> None:
        self._channel.close()
        self._server.__exit__(*error)


def received(
    responses: Iterable[task_log_pb2.StreamTaskLogsResponse],
) -> tuple[task_log_pb2.LogSource, list[str]]:
    """Where the log is, and its lines."""
    parts = list(responses)
    assert parts[0].WhichOneof("part") == "source"
    assert {part.WhichOneof("part") for part in parts[1:]} <= {"lines"}
    return parts[0].source, [line.message for part in parts[1:] for line in part.lines.lines]


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
    source, messages = received(responses)
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
    with connected(aws.endpoint_url, neighbours, calls) as stub:
        assert received(stub.StreamTaskLogs(Request(name=TASK)))[1] == ["a secret"]
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
        source, messages = received(stub.StreamTaskLogs(Request(name=TASK, attempt=attempt)))
        assert messages == [expected]
        assert (source.attempt, source.attempt_count) == (attempt or 3, 3)


def test_attempt_that_is_missing_from_the_list(
    aws: Emulator, logs: Logs, stub: task_service_pb2_grpc.TaskServiceStub
) -> None:
    ran(aws, action(3, 10, 20), latest=action(9, 100, 110)["sessionActionId"])
    aws.respond("deadline", "GetSessionAction", body=action(9, 100, 110))
    logs.write(QUEUE_GROUP, SESSION, [(15, "one"), (105, "two")])
    source, messages = received(stub.StreamTaskLogs(Request(name=TASK)))
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
        source, messages = received(stub.StreamTaskLogs(Request(name=name, follow=follow)))
        assert (source.attempt, source.attempt_count, source.log_group) == (0, 0, "")
        assert messages == []


def run_task(**more: Any) -> dict[str, Any]:
    return {
        "taskId": seed.FAILED_RUN_TASK_ID,
        "name": "align",
        "status": "FAILED",
        "creationTime": "2026-01-01T00:00:00Z",
        "startTime": "2026-01-01T00:00:01Z",
        "stopTime": "2026-01-01T00:00:02Z",
        **more,
    }


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
    source, messages = received(stub.StreamTaskLogs(Request(name=RUN_TASK)))
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
        with connected(aws.endpoint_url, logs.client.meta.endpoint_url) as other:
            source, messages = received(
                other.StreamTaskLogs(Request(name=RUN_TASK, attempt=attempt))
            )
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
        source, messages = received(stub.StreamTaskLogs(Request(name=TASK, tail=tail)))
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
    assert received(messages)[1] == [str(index) for index in expected]
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
    error = error_of(lambda: list(stub.StreamTaskLogs(request)))
    assert error.code is grpc.StatusCode.INVALID_ARGUMENT
    assert [violation.field for violation in error.violations] == [field]
    assert aws.request_count == 0


def test_error_of_cloudwatch_logs_is_returned(aws: Emulator) -> None:
    ran(aws, action(3, 10, 20))
    with connected(aws.endpoint_url, refused_endpoint()) as stub:
        error = error_of(lambda: list(stub.StreamTaskLogs(Request(name=TASK))))
    assert error.code is grpc.StatusCode.UNAVAILABLE
    assert error.metadata == {"operation": "GetLogEvents", "service": "logs"}


def test_unknown_task_is_not_found(stub: task_service_pb2_grpc.TaskServiceStub) -> None:
    missing = f"omics/runs/{seed.RUN_ID}/tasks/404"
    error = error_of(lambda: list(stub.StreamTaskLogs(Request(name=missing))))
    assert error.code is grpc.StatusCode.NOT_FOUND
    assert error.domain == "omics.amazonaws.com"
