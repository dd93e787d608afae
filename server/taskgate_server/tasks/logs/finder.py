"""Where a task's log is: a stream of CloudWatch Logs, and the part of it that is the task's.

Each AWS service has a module here that finds it, named after the service.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from google.protobuf.timestamp_pb2 import Timestamp

from taskgate.v1 import task_log_pb2
from taskgate_server import errors
from taskgate_server.aws.paging import PagedOperation
from taskgate_server.aws.timestamps import to_seconds_and_nanos
from taskgate_server.services.spec import ServiceSpec
from taskgate_server.tasks.backend import TaskBackend
from taskgate_server.upstream.logs import Section
from taskgate_server.upstream.options import CallOptions


@dataclass(frozen=True, slots=True, kw_only=True)
class LogPlace:
    """Where the log of one attempt at a task is."""

    is_over: bool
    """Whether nothing new is written: the attempt has ended, or the task has settled."""
    attempt: int = 0
    """From 1; 0 for a task that never ran, which has no log."""
    attempt_count: int = 0
    attempt_id: str = ""
    """AWS's own id of the attempt."""
    group: str = ""
    stream: str = ""
    start: Timestamp | None = None
    """When the part of the stream begins that is the task's; None if all of it is."""
    end: Timestamp | None = None
    ended: Timestamp | None = None
    """When the attempt ended, also where the whole stream is the task's."""

    def to_source(self) -> task_log_pb2.LogSource:
        """The same for the caller."""
        return task_log_pb2.LogSource(
            attempt=self.attempt,
            attempt_count=self.attempt_count,
            log_group=self.group,
            log_stream=self.stream,
            start_time=self.start,
            end_time=self.end,
        )

    def to_section(self, since: int) -> Section:
        """The same for the reader.

        Args:
            since: milliseconds since 1970 before which nothing is wanted.
        """
        start = to_milliseconds(self.start) if self.start is not None else 0
        return Section(
            group=self.group, stream=self.stream, start=max(start, since), end=self.section_end
        )

    @property
    def section_end(self) -> int | None:
        """The first millisecond after the end of the part; None if it has no end."""
        return to_milliseconds(self.end) + 1 if self.end is not None else None


class LogFinder(ABC):
    """Finds the logs of one AWS service's tasks."""

    def __init__(self, backend: TaskBackend) -> None:
        self.backend = backend
        self.gateway = backend.gateway

    @abstractmethod
    async def find(
        self,
        params: Mapping[str, str],
        attempt: int | None,
        options: CallOptions,
        known: LogPlace | None,
    ) -> LogPlace:
        """Where the log is.

        Args:
            params: the AWS parameters in the task's name.
            attempt: which one, from 1; None for the latest.
            options: of the calls to AWS.
            known: where it was when last asked, to ask AWS for less.

        Raises:
            errors.TaskgateError: NOT_FOUND for an attempt that there was not; else as AWS answers.
        """

    async def has_ended_root(self, params: Mapping[str, str], options: CallOptions) -> bool:
        """Return whether the job or run of a task has ended for good.

        Args:
            params: the AWS parameters in the task's name.
            options: of the calls to AWS.

        Raises:
            errors.TaskgateError: AWS refused the request or could not be reached.
        """
        root = self.backend.root(self.backend.names.format(params))
        return (await self.backend.parent_state(root, options)).final

    async def rows(
        self, paged: PagedOperation, params: Mapping[str, Any], options: CallOptions
    ) -> list[Mapping[str, Any]]:
        """All rows of a list.

        Raises:
            errors.TaskgateError: as AWS answers.
        """
        rows: list[Mapping[str, Any]] = []
        token, before = "", None
        while token != before:
            page, _ = await self.backend.fetch_page(paged, params, token, paged.max_size, options)
            rows += page.rows
            if not page.next_token:
                break
            before, token = token, page.next_token
        return rows

    async def ask(
        self, operation: str, params: Mapping[str, Any], options: CallOptions
    ) -> dict[str, Any]:
        """What AWS answers.

        Raises:
            errors.TaskgateError: as AWS answers.
        """
        response = await self.gateway.call(operation, params, options)
        return response.value


def load_finder(spec: ServiceSpec) -> type[LogFinder]:
    """The class `Finder` of the module here that is named after the AWS service."""
    finder: type[LogFinder] = import_module(f"taskgate_server.services.{spec.name}.logs").Finder
    return finder


def check_attempt(attempt: int, count: int) -> int:
    """The attempt, if there was one of that number.

    Raises:
        errors.TaskgateError: NOT_FOUND, there were not so many.
    """
    if attempt > count:
        raise errors.OwnError(
            errors.Reason.ATTEMPT_NOT_FOUND,
            f"attempt {attempt} not found: the task has had {count}",
            metadata={"attempt_count": str(count)},
        )
    return attempt


def to_milliseconds(moment: Timestamp) -> int:
    """Milliseconds since 1970, rounded down."""
    return int(moment.seconds * 1000 + moment.nanos // 1_000_000)


def moment(told: Any, operation: str) -> Timestamp | None:
    """AWS's timestamp.

    Raises:
        errors.TaskgateError: UNKNOWN, it is none.
    """
    if told is None:
        return None
    try:
        seconds, nanos = to_seconds_and_nanos(told)
    except (TypeError, ValueError):
        raise errors.UnreadableResponseError(operation) from None
    return Timestamp(seconds=seconds, nanos=nanos)
