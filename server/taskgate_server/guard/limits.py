"""How much one caller may have going on, so that a flood of one leaves the others alone."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass

from taskgate_server import errors

KNOWN_CALLERS = 10_000
"""Callers remembered who have nothing going on."""

BUSY_RETRY_SECONDS = 0.5
"""When to ask again who has too much going on; when something of it ends nobody knows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """For each caller."""

    calls_per_second: float
    concurrent_calls: int
    streams: int


REFUSALS_AT_ONCE = 100
"""In a second, of one caller."""

HELD_SECONDS = 0.05


@dataclass(slots=True)
class _Visitor:
    """What one caller has going on."""

    tokens: float
    """Calls that it may make at once."""
    filled: float
    """When it had so many."""
    calls: int = 0
    streams: int = 0
    refusals: float = 0.0
    """Lately: it forgets `REFUSALS_AT_ONCE` of them in a second."""


class Visit(AbstractContextManager[None]):
    """A call of a caller, which counts from now on until the context is left."""

    __slots__ = ("_is_stream", "_visitor")

    def __init__(self, visitor: _Visitor, *, stream: bool) -> None:
        self._visitor = visitor
        self._is_stream = stream
        self._count(1)

    def __exit__(self, *_: object) -> None:
        self._count(-1)

    def _count(self, change: int) -> None:
        if self._is_stream:
            self._visitor.streams += change
        else:
            self._visitor.calls += change


class Fairness:
    """Counts what each caller does. Who is refused is told so at once.

    Each refusal costs the server some time, and a caller that heeds none could take all of it. Its
    further refusals come a moment later, so that it has fewer of them.

    Args:
        limits: for each caller.
        clock: seconds that only grow.
    """

    def __init__(self, limits: Limits, clock: Callable[[], float] = time.monotonic) -> None:
        self._limits = limits
        self._clock = clock
        self.refused = 0
        """Calls so far, for metrics."""
        self._visitors: OrderedDict[str, _Visitor] = OrderedDict()

    def held_back(self, caller: str) -> float:
        """How many seconds later a refusal is told to a caller that has just got one."""
        return HELD_SECONDS if self._visitor(caller).refusals > REFUSALS_AT_ONCE else 0.0

    def visit(self, caller: str, *, stream: bool) -> Visit:
        """Lets a call in; what it gives is left when the call ends.

        Args:
            caller: who is told apart by it.
            stream: whether the server streams, and so counts as a stream, not as a call.

        Raises:
            errors.TaskgateError: RESOURCE_EXHAUSTED with RetryInfo.
        """
        visitor = self._visitor(caller)
        try:
            self._take(visitor)
            self._demand_room(visitor, stream=stream)
        except errors.TaskgateError:
            self.refused += 1
            visitor.refusals += 1
            raise
        return Visit(visitor, stream=stream)

    def _take(self, visitor: _Visitor) -> None:
        """Takes a call out of the caller's bucket, which holds those of one second."""
        rate, now = self._limits.calls_per_second, self._clock()
        full = max(rate, 1.0)
        elapsed = now - visitor.filled
        visitor.tokens = min(full, visitor.tokens + elapsed * rate)
        visitor.refusals = max(0.0, visitor.refusals - elapsed * REFUSALS_AT_ONCE)
        visitor.filled = now
        if visitor.tokens < 1:
            wait = (1 - visitor.tokens) / rate
            raise errors.caller_limit("calls_per_second", rate, wait)
        visitor.tokens -= 1

    def _demand_room(self, visitor: _Visitor, *, stream: bool) -> None:
        limits = self._limits
        if stream and visitor.streams >= limits.streams:
            raise errors.caller_limit("streams", limits.streams, BUSY_RETRY_SECONDS)
        if not stream and visitor.calls >= limits.concurrent_calls:
            raise errors.caller_limit(
                "concurrent_calls", limits.concurrent_calls, BUSY_RETRY_SECONDS
            )

    def _visitor(self, caller: str) -> _Visitor:
        visitor = self._visitors.get(caller)
        if visitor is None:
            visitor = _Visitor(max(self._limits.calls_per_second, 1.0), self._clock())
            self._visitors[caller] = visitor
            self._forget()
        self._visitors.move_to_end(caller)
        return visitor

    def _forget(self) -> None:
        """Forgets who has not called for longest; not those with something going on."""
        for _ in range(min(len(self._visitors) - KNOWN_CALLERS, 2)):
            caller, oldest = next(iter(self._visitors.items()))
            if oldest.calls or oldest.streams:
                self._visitors.move_to_end(caller)
            else:
                del self._visitors[caller]
