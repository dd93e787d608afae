"""Finds the log of a task: a stream of CloudWatch Logs, and the part of it that is the task's.

`services/<name>/logs.py` has the class `Finder` of each AWS service.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from google.protobuf.timestamp_pb2 import Timestamp

from taskgate.v1 import task_log_pb2
from taskgate_server import errors
from taskgate_server.aws.timestamps import to_seconds_and_nanos
from taskgate_server.tasks.backend import TaskBackend
from taskgate_server.upstream.logs import Section
from taskgate_server.upstream.options import CallOptions


@dataclass(frozen=True, slots=True, kw_only=True)
class LogLocation:
    """The log of one attempt at a task."""

    is_over: bool
    """Whether nothing is written any more: the attempt has ended, or the task has settled."""
    attempt: int = 0
    """From 1; 0 for a task that has never run and has no log."""
    attempt_count: int = 0
    attempt_id: str = ""
    """AWS's own id of the attempt."""
    group: str = ""
    stream: str = ""
    start: Timestamp | None = None
    """The beginning of the task's part of the stream; None if the whole stream is the task's."""
    end: Timestamp | None = None
    ended: Timestamp | None = None
    """When the attempt ended, also if the whole stream is the task's."""

    def to_source(self) -> task_log_pb2.LogSource:
        """Return the location as a message of the contract."""
        return task_log_pb2.LogSource(
            attempt=self.attempt,
            attempt_count=self.attempt_count,
            log_group=self.group,
            log_stream=self.stream,
            start_time=self.start,
            end_time=self.end,
        )

    def to_section(self, since: int) -> Section:
        """Return the section of the stream to read.

        Args:
            since: milliseconds since 1970, where the section begins at the earliest.
        """
        start = self.start.ToMilliseconds() if self.start is not None else 0
        return Section(
            group=self.group, stream=self.stream, start=max(start, since), end=self.section_end
        )

    @property
    def section_end(self) -> int | None:
        """The first millisecond after the task's part; None if it has no end."""
        return self.end.ToMilliseconds() + 1 if self.end is not None else None


class LogFinder(ABC):
    """Finds the logs of the tasks of one AWS service."""

    def __init__(self, backend: TaskBackend) -> None:
        self.backend = backend

    @abstractmethod
    async def find(
        self,
        params: Mapping[str, str],
        attempt: int | None,
        options: CallOptions,
        known: LogLocation | None,
    ) -> LogLocation:
        """Return the location of a task's log.

        Args:
            params: the AWS parameters in the task's name.
            attempt: the attempt, from 1; None for the latest.
            options: of the calls to AWS.
            known: the previous location, which saves AWS calls.

        Raises:
            errors.TaskgateError: NOT_FOUND, there was no such attempt; or the error of AWS.
        """

    async def has_ended_root(self, params: Mapping[str, str], options: CallOptions) -> bool:
        """Return whether the job or run of a task has ended for good.

        Raises:
            errors.TaskgateError: AWS refused the request or could not be reached.
        """
        root = self.backend.root(self.backend.names.format(params))
        return root is not None and (await self.backend.parent_state(root, options)).final

    async def call(
        self, operation: str, params: Mapping[str, Any], options: CallOptions
    ) -> dict[str, Any]:
        """Return AWS's response.

        Raises:
            errors.TaskgateError: AWS refused the request or could not be reached.
        """
        response = await self.backend.gateway.call(operation, params, options)
        return response.value


def check_attempt(attempt: int, count: int) -> int:
    """Return the number of an attempt.

    Raises:
        errors.TaskgateError: NOT_FOUND, there were fewer attempts.
    """
    if attempt > count:
        raise errors.OwnError(
            errors.Reason.ATTEMPT_NOT_FOUND,
            f"attempt {attempt} not found: the task has had {count}",
            metadata={"attempt_count": str(count)},
        )
    return attempt


def to_timestamp(value: Any, operation: str) -> Timestamp | None:
    """Convert a timestamp of AWS; None stays None.

    Raises:
        errors.TaskgateError: UNKNOWN, it is not a timestamp.
    """
    if value is None:
        return None
    try:
        seconds, nanos = to_seconds_and_nanos(value)
    except (TypeError, ValueError):
        raise errors.UnreadableResponseError(operation) from None
    return Timestamp(seconds=seconds, nanos=nanos)
