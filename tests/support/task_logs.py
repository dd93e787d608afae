"""Logs of tasks in CloudWatch Logs: a writer, and how to read what `StreamTaskLogs` returns."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Any, TextIO

import boto3
import grpc
from google.protobuf.timestamp_pb2 import Timestamp

from taskgate.v1 import task_log_pb2, task_service_pb2_grpc
from taskgate_emulator.seeds import ids as seed
from tests.support.running_server import REGION, running_server, settings_for

JOB = f"deadline/farms/{seed.FARM_ID}/queues/{seed.QUEUE_ID}/jobs/{seed.JOB_ID}"
TASK = f"{JOB}/steps/{seed.RENDER_STEP_ID}/tasks/{seed.FAILED_TASK_ID}"
PENDING = f"{JOB}/steps/{seed.COMPOSITE_STEP_ID}/tasks/{seed.PENDING_TASK_ID}"
RUN_TASK = f"omics/runs/{seed.RUN_ID}/tasks/{seed.FAILED_RUN_TASK_ID}"
QUEUE_GROUP = f"/aws/deadline/{seed.FARM_ID}/{seed.QUEUE_ID}"
OMICS_GROUP = "/aws/omics/WorkflowLog"
SESSION = f"session-{'a' * 32}"
BEGAN = int(time.time()) - 3600
"""Moto rejects events that are older than two weeks, so the times are of today."""


Request = task_log_pb2.StreamTaskLogsRequest


def action(number: int, start: int | None, end: int | None, session: str = "a") -> dict[str, Any]:
    """Return a session action that ran from `start` to `end`, in seconds after BEGAN."""
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
    """A writer to CloudWatch Logs."""

    def __init__(self, endpoint_url: str) -> None:
        self.client = boto3.client("logs", region_name=REGION, endpoint_url=endpoint_url)

    def write(self, group: str, stream: str, lines: Iterable[tuple[float, str]]) -> None:
        """Write lines with their times in seconds after BEGAN."""
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


def log_of(
    responses: Iterable[task_log_pb2.StreamTaskLogsResponse],
) -> tuple[task_log_pb2.LogSource, list[str]]:
    """Return the source of a log, and its lines."""
    parts = list(responses)
    assert parts[0].WhichOneof("part") == "source"
    assert {part.WhichOneof("part") for part in parts[1:]} <= {"lines"}
    return parts[0].source, [line.message for part in parts[1:] for line in part.lines.lines]


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


class server_with_logs:  # noqa: N801  # a context manager is named as a function is
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
