"""One stream of StreamTaskLogs, from the first line to the end.

`LogStream` reads lines, checks the state of the task, and sends the lines, repeatedly. During
throttles and outages it waits.
"""

from __future__ import annotations

import math
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Final, TypeAlias, TypeVar

from google.protobuf.timestamp_pb2 import Timestamp

from taskgate.v1 import task_log_pb2
from taskgate_server.calls import CallContext
from taskgate_server.errors import CircuitOpenError, QuotaError, TaskgateError
from taskgate_server.tasks.logs.finder import LogFinder, LogLocation
from taskgate_server.tasks.response_size import split
from taskgate_server.upstream.gateway import Gateway
from taskgate_server.upstream.logs import Cursor, Line, LogReader, Section, read_last
from taskgate_server.upstream.options import CallOptions, Priority
from taskgate_server.upstream.retries import Sleep, is_retryable, is_throttle, retry_info_seconds

T = TypeVar("T")

Response: TypeAlias = task_log_pb2.StreamTaskLogsResponse

MIN_PERIOD_SECONDS: Final = 1.0
MAX_PERIOD_SECONDS: Final = 5.0
PERIOD_GROWTH: Final = 1.5
"""The interval between reads of a log that is written: 1 s after new lines, then growing."""

QUIET_SECONDS: Final = 5.0
GRACE_SECONDS: Final = 60.0
"""A log is complete when the task has settled and no line has arrived for QUIET_SECONDS, and
GRACE_SECONDS after it settled at the latest. CloudWatch Logs returns lines some seconds after they
were written."""

CLOCK_SKEW_SECONDS: Final = 300.0
"""How far ahead the clock of a worker may be. AWS refuses signatures with a larger deviation."""

PARENT_MAX_AGE_SECONDS: Final = 30.0
"""The maximum age of the state of the task's job or run, which streams of its log share."""

OUTAGE_SECONDS: Final = 60.0
"""How long CloudWatch Logs may fail before a stream that follows a log ends with its error."""

MAX_LINES: Final = 1000
MAX_BYTES: Final = 256 * 1024
LINE_OVERHEAD_BYTES: Final = 32
"""The size of a line without its text: time, tags and lengths."""


@dataclass(slots=True, kw_only=True)
class LogStream:
    """One stream of a log. Its clock is monotonic, and its wall clock has seconds since 1970."""

    finder: LogFinder
    gateway: Gateway
    """To CloudWatch Logs."""
    params: Mapping[str, str]
    """The AWS parameters in the task's name."""
    request: task_log_pb2.StreamTaskLogsRequest
    call: CallContext
    sleep: Sleep
    clock: Callable[[], float]
    wall_clock: Callable[[], float]
    _began_at: float = field(init=False)
    _location: LogLocation = field(init=False)
    _cursor: Cursor | None = field(init=False, default=None)
    _first: list[Line] | None = field(init=False, default=None)
    """Lines that were read backwards and are not sent yet."""
    _left: int | None = field(init=False, default=None)
    """The number of lines that may still be sent; None for no limit."""
    _period: float = field(init=False, default=MIN_PERIOD_SECONDS)
    _had_lines: bool = field(init=False, default=False)
    """Whether lines have arrived since the latest pause."""
    _over_since: float = field(init=False, default=math.inf)
    _last_line_at: float = field(init=False, default=-math.inf)

    async def parts(self) -> AsyncGenerator[Response, None]:
        """Yield the responses.

        Raises:
            errors.TaskgateError: the task or the attempt does not exist, or the error of AWS.
        """
        self._began_at = self.clock()
        self._left = self.request.limit or None
        self._location = await self._find(self._attempt, None)
        yield Response(source=self._location.to_source())
        await self._begin()
        while True:
            lines, is_all = await self._read()
            latest = await self._update_location()
            for message in to_messages(self._take(lines)):
                yield message
            if self._left == 0:
                return
            if not is_all:
                continue
            if latest is not None:
                # All lines of this attempt were sent, and there is another attempt.
                self._location, self._over_since = latest, math.inf
                self._go_to(self._section())
                yield Response(source=latest.to_source())
            elif not self.request.follow or self._is_drained():
                return
            else:
                await self._pause()

    async def _begin(self) -> None:
        """Go to the first line."""
        if not self._location.attempt:
            return
        section = self._section()
        if self.request.tail and not section.is_empty:
            read = partial(read_last, self._reading(), section, self.request.tail)
            self._first, self._cursor = await self._retry(read)
        else:
            self._go_to(section)

    def _go_to(self, section: Section) -> None:
        self._cursor = None if section.is_empty else Cursor(section)

    def _section(self) -> Section:
        # Rounded up: an earlier line may have the same millisecond.
        since = self.request.since.seconds * 1000 - -self.request.since.nanos // 1_000_000
        section = self._location.to_section(max(since, 0))
        if section.end is None and not self.request.follow:
            # Without an end there would be no last page while lines are being written.
            end = int((self.wall_clock() + CLOCK_SKEW_SECONDS) * 1000)
            section = replace(section, end=end)
        return section

    async def _read(self) -> tuple[list[Line], bool]:
        """Return the next lines, and whether there are no more for now."""
        if self._first is not None:
            lines, self._first = self._first, None
            return lines, not self.request.follow
        if self._cursor is None:
            return [], True
        return await self._retry(partial(self._cursor.read, self._reading(), self._left))

    async def _update_location(self) -> LogLocation | None:
        """Update the location of the log.

        It is read after the lines, so that lines of the next attempt are not taken for this one's.

        Returns:
            The next attempt, if there is one by now.
        """
        if not self.request.follow:
            return None
        latest = await self._retry(partial(self._find, self._attempt, self._location))
        if not latest.is_over and await self._is_stuck():
            latest = replace(latest, is_over=True)
        known = self._location
        if latest.attempt_id == known.attempt_id:
            self._location = latest
        elif not latest.attempt:
            self._location = replace(known, is_over=latest.is_over)  # the task is queued again
        else:
            if known.attempt and known.ended is None:
                self._location = await self._retry(partial(self._find, known.attempt, known))
            return latest
        return None

    async def _find(self, attempt: int | None, known: LogLocation | None) -> LogLocation:
        options = self._call_options(None if known is None else self._period)
        return await self.finder.find(self.params, attempt, options, known)

    async def _is_stuck(self) -> bool:
        """Return whether the task can never settle, since its job or run has ended for good."""
        options = self._call_options(PARENT_MAX_AGE_SECONDS)
        try:
            return await self.finder.has_ended_root(self.params, options)
        except TaskgateError:
            return False  # the log continues, and the next check is soon

    def _take(self, lines: list[Line]) -> list[Line]:
        """Return the lines that belong to the task, up to the limit."""
        end = self._location.section_end
        if end is not None:
            lines = [line for line in lines if line.time < end]
        if self._left is not None:
            lines = lines[: self._left]
            self._left -= len(lines)
        if lines:
            self._had_lines, self._last_line_at = True, self.clock()
        return lines

    def _is_drained(self) -> bool:
        """Return whether no more lines are expected."""
        place, now = self._location, self.clock()
        if not place.is_over:
            self._over_since = math.inf
            return False
        if not place.attempt:
            return True
        if place.ended is not None and self.wall_clock() - place.ended.seconds > GRACE_SECONDS:
            return True
        self._over_since = min(self._over_since, now)
        quiet_for = now - max(self._over_since, self._last_line_at)
        return quiet_for >= QUIET_SECONDS or now - self._over_since >= GRACE_SECONDS

    async def _pause(self) -> None:
        grown = min(self._period * PERIOD_GROWTH, MAX_PERIOD_SECONDS)
        self._period = MIN_PERIOD_SECONDS if self._had_lines else grown
        self._had_lines = False
        await self.sleep(self._period)

    async def _retry(self, call: Callable[[], Awaitable[T]]) -> T:
        """Return what a call returns once it succeeds: wait for the end of throttles and outages.

        Raises:
            errors.TaskgateError: of a failure that is not transient.
        """
        began, pause = math.inf, MIN_PERIOD_SECONDS
        while True:
            try:
                return await call()
            except TaskgateError as error:
                now = self.clock()
                began = min(began, now)
                if not self._is_transient(error, now - began):
                    raise
                seconds = max(retry_info_seconds(error), pause)
            await self.sleep(seconds)
            pause = min(pause * 2, MAX_PERIOD_SECONDS)

    def _is_transient(self, error: TaskgateError, seconds: float) -> bool:
        if is_throttle(error) or isinstance(error, QuotaError):
            return True
        transient = isinstance(error, CircuitOpenError) or is_retryable(error, repeatable=True)
        return self.request.follow and transient and seconds < OUTAGE_SECONDS

    def _reading(self) -> LogReader:
        return LogReader(gateway=self.gateway, options=self._call_options(0.0))

    def _call_options(self, max_age: float | None) -> CallOptions:
        """Return the options of a call to AWS.

        Args:
            max_age: seconds; None for the call that finds the log, for which the caller waits.
        """
        polls = self.request.follow and max_age is not None
        return CallOptions(
            timeout=self.call.time_remaining(),
            max_age=max_age,
            since_write=self.call.since_write + self.clock() - self._began_at,
            priority=Priority.POLLER if polls else Priority.INTERACTIVE,
            requester=self.call.requester,
        )

    @property
    def _attempt(self) -> int | None:
        return self.request.attempt if self.request.HasField("attempt") else None


def to_messages(lines: Iterable[Line]) -> Iterator[Response]:
    """Yield the lines in messages of at most MAX_LINES and MAX_BYTES, or one longer line.

    A line of CloudWatch Logs has at most 1 MiB, and gRPC clients accept messages of up to 4 MiB.
    """
    for some in split(lines, _size, MAX_LINES, MAX_BYTES):
        content = task_log_pb2.LogLines(lines=map(_line, some))
        yield Response(lines=content)


def _size(line: Line) -> int:
    return len(line.message.encode()) + LINE_OVERHEAD_BYTES


def _line(line: Line) -> task_log_pb2.LogLine:
    seconds, millis = divmod(line.time, 1000)
    time = Timestamp(seconds=seconds, nanos=millis * 1_000_000)
    return task_log_pb2.LogLine(time=time, message=line.message)
