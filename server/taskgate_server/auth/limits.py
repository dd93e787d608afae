"""Limits of one caller, or of one address without identity: a flood of one leaves others alone."""

from __future__ import annotations

import math
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Final

from taskgate_server import errors

KNOWN_CALLERS: Final = 10_000
"""Callers without calls in flight whose rate is remembered."""

BUSY_RETRY_SECONDS: Final = 0.5
"""RetryInfo for a caller with too many calls in flight: when one of them ends is not known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """For each caller."""

    calls_per_second: float
    concurrent_calls: int
    streams: int
    request_bytes_per_second: float


REFUSALS_AT_ONCE: Final = 100
"""Refusals per second of one caller that are sent at once."""

HOLD_SECONDS: Final = ((10 * REFUSALS_AT_ONCE, 0.5), (REFUSALS_AT_ONCE, 0.05))
"""How long further refusals are held back, by how many there were in the last second."""


@dataclass(slots=True)
class _Usage:
    """The calls of one caller."""

    tokens: float
    """Calls that it may begin at once."""
    at: float
    """When it had so many."""
    request_bytes: float
    """Bytes of requests that it may send at once; less than 0 after a request that was larger."""
    calls: int = 0
    """Calls in flight, without streams."""
    streams: int = 0
    """Streams in flight."""
    refusals: float = 0.0
    """Refusals of about the last second, decaying exponentially, at `refused_at`."""
    refused_at: float = 0.0


class CallerLimits:
    """Counts the calls of each caller, and refuses those over a limit.

    A refusal costs the server some time, and a caller that ignores them could take all of it.
    `hold_seconds` says how long to hold back a refusal, so that such a caller has fewer of them.

    Args:
        limits: of each caller.
        clock: monotonic seconds.
    """

    def __init__(self, limits: Limits, clock: Callable[[], float] = time.monotonic) -> None:
        self._limits = limits
        self._clock = clock
        self.refused = 0
        """Calls refused so far, for metrics."""
        self._usages: OrderedDict[str, _Usage] = OrderedDict()

    def admit(self, caller: str, *, stream: bool) -> Callable[[], None]:
        """Count a call of a caller.

        Args:
            caller: the caller, or the address of one without identity.
            stream: whether the call counts as a stream, not as a call.

        Returns:
            A function to be called once, when the call has ended.

        Raises:
            errors.TaskgateError: RESOURCE_EXHAUSTED with RetryInfo.
        """
        usage = self._usage(caller)
        seconds = self._take(usage)
        if seconds:
            raise self.refusal(caller, "calls_per_second", self._limits.calls_per_second, seconds)
        if usage.request_bytes < 0:
            rate = self._limits.request_bytes_per_second
            seconds = -usage.request_bytes / rate
            raise self.refusal(caller, "request_bytes_per_second", rate, seconds)
        if not stream:
            if usage.calls >= self._limits.concurrent_calls:
                raise self._busy(caller, "concurrent_calls", self._limits.concurrent_calls)
            usage.calls += 1
            return partial(_count_call, usage)
        if usage.streams >= self._limits.streams:
            raise self._busy(caller, "streams", self._limits.streams)
        usage.streams += 1
        return partial(_count_stream, usage)

    def admit_message(self, caller: str) -> float:
        """Count a further message of a stream as a call.

        Returns:
            Seconds until it may be served; 0 if it was counted and may be served now.
        """
        return self._take(self._usage(caller))

    def count_bytes(self, caller: str, size: int) -> None:
        """Count the bytes of a request that has arrived: only now is its size known.

        It is served. If it was more than the caller has left, the next calls are refused.
        """
        self._usage(caller).request_bytes -= size

    def refusal(
        self, caller: str, limit: str, allowed: float, seconds: float
    ) -> errors.TaskgateError:
        """Count a refusal and return its error.

        Args:
            caller: the caller, or the address of one without identity.
            limit: the setting, without its prefix.
            allowed: its value.
            seconds: when to retry.
        """
        self.refused += 1
        self.count_refusal(caller)
        return errors.CallerLimitError(limit, allowed, seconds)

    def count_refusal(self, caller: str) -> None:
        """Count a call that was refused for another reason, such as an invalid token."""
        usage, now = self._usage(caller), self._clock()
        usage.refusals = 1 + usage.refusals * math.exp(usage.refused_at - now)
        usage.refused_at = now

    def hold_seconds(self, caller: str) -> float:
        """Return how many seconds to hold back a refusal of the caller, just counted."""
        refusals = self._usage(caller).refusals
        return next((held for count, held in HOLD_SECONDS if refusals > count), 0.0)

    def _busy(self, caller: str, limit: str, allowed: int) -> errors.TaskgateError:
        return self.refusal(caller, limit, allowed, BUSY_RETRY_SECONDS)

    def _take(self, usage: _Usage) -> float:
        """Take a token of the caller's bucket, which holds those of one second.

        Returns:
            Seconds until there is one; 0 if it was taken.
        """
        rate, now = self._limits.calls_per_second, self._clock()
        elapsed = now - usage.at
        usage.tokens = min(max(rate, 1.0), usage.tokens + elapsed * rate)
        usage.at = now
        bytes_rate = self._limits.request_bytes_per_second
        usage.request_bytes = min(bytes_rate, usage.request_bytes + elapsed * bytes_rate)
        if usage.tokens < 1:
            return (1 - usage.tokens) / rate
        usage.tokens -= 1
        return 0.0

    def _usage(self, caller: str) -> _Usage:
        usage = self._usages.get(caller)
        if usage is None:
            usage = _Usage(
                tokens=max(self._limits.calls_per_second, 1.0),
                at=self._clock(),
                request_bytes=self._limits.request_bytes_per_second,
            )
            self._usages[caller] = usage
            self._evict()
        self._usages.move_to_end(caller)
        return usage

    def _evict(self) -> None:
        """Drop the usage of the caller that called least recently, unless it has calls in flight.

        A caller in flight moves to the end instead; two are looked at, so that the number stays
        bounded while the work for one call is constant.
        """
        for _ in range(min(len(self._usages) - KNOWN_CALLERS, 2)):
            caller, oldest = next(iter(self._usages.items()))
            if oldest.calls or oldest.streams:
                self._usages.move_to_end(caller)
            else:
                del self._usages[caller]


def _count_call(usage: _Usage) -> None:
    usage.calls -= 1


def _count_stream(usage: _Usage) -> None:
    usage.streams -= 1
