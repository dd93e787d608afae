"""One caller's stream of a log: from where it begins to where it ends.

Wanted      what the caller asked for
Patience    waits out throttles instead of ending the stream
Following   reads, looks what has become of the task, tells, and again
"""

from __future__ import annotations

import math
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Final, TypeVar

from taskgate.v1 import task_log_pb2
from taskgate_server.errors import CircuitOpenError, QuotaError, TaskgateError
from taskgate_server.tasks.logs.finder import LogFinder, LogPlace
from taskgate_server.tasks.logs.messages import to_messages
from taskgate_server.upstream.gateway import Gateway
from taskgate_server.upstream.logs import Cursor, Line, LogReader, Section, read_last
from taskgate_server.upstream.options import CallOptions, Priority
from taskgate_server.upstream.retries import Sleep, is_retryable, is_throttle, retry_info_seconds

T = TypeVar("T")

MIN_PERIOD_SECONDS: Final = 1.0
MAX_PERIOD_SECONDS: Final = 5.0
PERIOD_GROWTH: Final = 1.5
"""A log that goes on is read each second while lines come, and ever more seldom while not."""

QUIET_SECONDS: Final = 5.0
GRACE_SECONDS: Final = 60.0
"""A log is all there when the task has settled and nothing has come for so long, or so long after
it settled at the latest. CloudWatch Logs shows lines some seconds after they were written."""

CLOCK_SKEW_SECONDS: Final = 300.0
"""How far ahead a worker's clock may be. AWS refuses signatures that are older or newer by this."""

PARENT_MAX_AGE_SECONDS: Final = 30.0
"""How old the state of a task's job or run may be that followers of its log share."""

OUTAGE_SECONDS: Final = 60.0
"""How long CloudWatch Logs may fail before a stream that is followed ends with its error."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What the caller asked for."""

    follow: bool
    since: int
    """Milliseconds since 1970."""
    limit: int | None
    tail: int
    """0 for all lines."""
    attempt: int | None


@dataclass(frozen=True, slots=True)
class Patience:
    """Asks again what AWS refuses for a while.

    Args:
        sleep: waits for seconds.
        clock: monotonic seconds.
        is_endless: whether also failures are waited out that are no throttles.
    """

    sleep: Sleep
    clock: Callable[[], float]
    is_endless: bool

    async def ask(self, ask: Callable[[], Awaitable[T]]) -> T:
        """What it returns in the end.

        Raises:
            errors.TaskgateError: one that does not pass.
        """
        began, pause = math.inf, MIN_PERIOD_SECONDS
        while True:
            try:
                return await ask()
            except TaskgateError as error:
                now = self.clock()
                began = min(began, now)
                if not self._may_pass(error, now - began):
                    raise
                seconds = max(retry_info_seconds(error), pause)
            await self.sleep(seconds)
            pause = min(pause * 2, MAX_PERIOD_SECONDS)

    def _may_pass(self, error: TaskgateError, seconds: float) -> bool:
        if is_throttle(error) or isinstance(error, QuotaError):
            return True
        passing = isinstance(error, CircuitOpenError) or is_retryable(error, repeatable=True)
        return self.is_endless and passing and seconds < OUTAGE_SECONDS


@dataclass(slots=True, kw_only=True)
class Following:
    """One caller's stream.

    Args:
        finder: of the AWS service whose task it is.
        gateway: to CloudWatch Logs.
        params: the AWS parameters in the task's name.
        wanted: what the caller asked for.
        patience: for what AWS refuses.
        time_remaining: tells the seconds that the caller still waits; None for no limit.
        requester: whose share of the quotas the stream uses.
        wall_clock: seconds since 1970.
    """

    finder: LogFinder
    gateway: Gateway
    params: Mapping[str, str]
    wanted: Wanted
    patience: Patience
    time_remaining: Callable[[], float | None]
    requester: str
    wall_clock: Callable[[], float]
    _place: LogPlace = field(init=False)
    _cursor: Cursor | None = field(init=False, default=None)
    _first: list[Line] | None = field(init=False, default=None)
    """What has been read backwards and not told."""
    _left: int | None = field(init=False, default=None)
    """How many lines may still be told; None for any number."""
    _period: float = field(init=False, default=MIN_PERIOD_SECONDS)
    _had_lines: bool = field(init=False, default=False)
    """Whether there have been some since the last pause."""
    _over_since: float = field(init=False, default=math.inf)
    _last_line_at: float = field(init=False, default=-math.inf)

    async def parts(self) -> AsyncGenerator[task_log_pb2.StreamTaskLogsResponse, None]:
        """The messages.

        Raises:
            errors.TaskgateError: there is no such task or attempt, else as AWS answers.
        """
        self._left = self.wanted.limit
        self._place = await self._find(self.wanted.attempt, None)
        yield _source(self._place)
        await self._begin()
        while True:
            lines, is_all = await self._read()
            latest = await self._look()
            for message in to_messages(self._take(lines)):
                yield message
            if self._left == 0:
                return
            if not is_all:
                continue
            if latest is not None:
                # All of this attempt is told, and there is another one.
                self._place, self._over_since = latest, math.inf
                self._go_to(self._section())
                yield _source(latest)
            elif not self.wanted.follow or self._is_drained():
                return
            else:
                await self._pause()

    async def _begin(self) -> None:
        """Goes to where the first line is."""
        if not self._place.attempt:
            return
        section = self._section()
        if self.wanted.tail and not section.is_empty:
            read = partial(read_last, self._reading(), section, self.wanted.tail)
            self._first, self._cursor = await self.patience.ask(read)
        else:
            self._go_to(section)

    def _go_to(self, section: Section) -> None:
        self._cursor = None if section.is_empty else Cursor(section)

    def _section(self) -> Section:
        section = self._place.to_section(self.wanted.since)
        if section.end is None and not self.wanted.follow:
            # Without an end, and with more written meanwhile, there would be no last page.
            end = int((self.wall_clock() + CLOCK_SKEW_SECONDS) * 1000)
            section = replace(section, end=end)
        return section

    async def _read(self) -> tuple[list[Line], bool]:
        """The next lines, and whether that was all for now."""
        if self._first is not None:
            lines, self._first = self._first, None
            return lines, not self.wanted.follow
        if self._cursor is None:
            return [], True
        return await self.patience.ask(partial(self._cursor.read, self._reading(), self._left))

    async def _look(self) -> LogPlace | None:
        """What has become of the task, seen after its lines: so no others are taken for its own.

        Returns:
            The next attempt, if there is one by now.
        """
        if not self.wanted.follow:
            return None
        latest = await self.patience.ask(partial(self._find, self.wanted.attempt, self._place))
        if not latest.is_over and await self._is_stuck():
            latest = replace(latest, is_over=True)
        known = self._place
        if latest.attempt_id == known.attempt_id:
            self._place = latest
        elif not latest.attempt:
            self._place = replace(known, is_over=latest.is_over)  # it waits to run again
        else:
            if known.attempt and known.ended is None:
                self._place = await self.patience.ask(partial(self._find, known.attempt, known))
            return latest
        return None

    async def _find(self, attempt: int | None, known: LogPlace | None) -> LogPlace:
        options = CallOptions(
            timeout=self.time_remaining(),
            max_age=None if known is None else self._period,
            priority=self._priority if known is not None else Priority.INTERACTIVE,
            requester=self.requester,
        )
        return await self.finder.find(self.params, attempt, options, known)

    async def _is_stuck(self) -> bool:
        """Return whether the task can never settle, since its job or run has ended for good."""
        options = CallOptions(
            timeout=self.time_remaining(),
            max_age=PARENT_MAX_AGE_SECONDS,
            priority=self._priority,
            requester=self.requester,
        )
        try:
            return await self.finder.has_ended_root(self.params, options)
        except TaskgateError:
            return False  # the log goes on, and the next look is soon

    def _take(self, lines: list[Line]) -> list[Line]:
        """Those of the lines that are the task's, and no more than may be told."""
        end = self._place.section_end
        if end is not None:
            lines = [line for line in lines if line.time < end]
        if self._left is not None:
            lines = lines[: self._left]
            self._left -= len(lines)
        if lines:
            self._had_lines, self._last_line_at = True, self.patience.clock()
        return lines

    def _is_drained(self) -> bool:
        """Whether nothing more is to come."""
        place, now = self._place, self.patience.clock()
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
        await self.patience.sleep(self._period)

    def _reading(self) -> LogReader:
        options = CallOptions(
            timeout=self.time_remaining(),
            max_age=0.0,
            priority=self._priority,
            requester=self.requester,
        )
        return LogReader(gateway=self.gateway, options=options)

    @property
    def _priority(self) -> Priority:
        return Priority.POLLER if self.wanted.follow else Priority.INTERACTIVE


def _source(place: LogPlace) -> task_log_pb2.StreamTaskLogsResponse:
    return task_log_pb2.StreamTaskLogsResponse(source=place.to_source())
