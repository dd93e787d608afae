"""The circuit breaker of one AWS service in one region: no calls into an outage.

CLOSED      calls go; when too many fail it opens
OPEN        calls are refused at once, for a while
HALF_OPEN   a few go, as probes: a success closes, a failure opens for longer
"""

from __future__ import annotations

import asyncio
import enum
import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from random import Random
from typing import Final

from google.rpc import error_details_pb2

from taskgate_server import errors
from taskgate_server.aws.services import ServiceSpec

FIRST_OUTAGE_STATUS: Final = 500


class State(enum.Enum):
    """What becomes of calls."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half-open"


@dataclass(frozen=True, slots=True, kw_only=True)
class Trip:
    """When the breaker opens, and for how long."""

    consecutive: int = 10
    """It opens after so many failures with no answer between them ..."""
    share: float = 0.5
    """... or when so large a part of the calls fails ..."""
    least_failures: float = 10.0
    """... and so many of them did ..."""
    window_seconds: float = 10.0
    """... within about this time."""
    first_open_seconds: float = 0.2
    longest_open_seconds: float = 1.0
    """It doubles up to this. A probe a second is nothing to AWS, and callers are served again
    within a second of the outage's end; what the breaker saves are this server's threads."""
    probes: int = 1
    """How many probes may be under way."""


def is_outage(error: errors.TaskgateError) -> bool:
    """Whether the error says that AWS cannot be reached or cannot work, whoever asks for whatever.

    Throttles, refused credentials and all that is the caller's fault are answers: AWS is there.
    """
    if error.domain == errors.TASKGATE_DOMAIN:
        return error.reason == "UPSTREAM_UNREACHABLE"
    if error.retry is errors.Retry.THROTTLE:  # some services throttle with 503
        return False
    status = error.metadata.get("http_status", "")
    return status.isdecimal() and int(status) >= FIRST_OUTAGE_STATUS


def _is_from_aws(error: errors.TaskgateError) -> bool:
    return error.domain != errors.TASKGATE_DOMAIN or is_outage(error)


class Breaker:
    """Lets calls to one AWS service pass, or refuses them; for one event loop.

    Args:
        spec: the service.
        trip: when it opens.
        clock: monotonic seconds.
        random: for jitter.
    """

    def __init__(
        self,
        spec: ServiceSpec,
        trip: Trip | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
        random: Random | None = None,
    ) -> None:
        self.refused = 0
        """Calls refused so far, for metrics."""
        self._spec = spec
        self._trip = trip or Trip()
        self._clock = clock
        self._random = random or Random()  # noqa: S311  # jitter is no secret
        self._state = State.CLOSED
        self._changes = 0
        self._changed = asyncio.Event()
        self._tally = _Tally(self._trip.window_seconds)
        self._opened = 0  # times in a row, without having been closed
        self._open_until = -math.inf
        self._probing = 0

    @property
    def state(self) -> State:
        """What becomes of calls; half-open from the first probe on."""
        return self._state

    async def changed(self, seen: int) -> int:
        """Waits until the state has changed more than `seen` times; returns how many."""
        while self._changes <= seen:
            await self._changed.wait()
        return self._changes

    def refuses_for(self) -> float:
        """Seconds for which all calls are refused from now on; 0 when one may come, as a probe."""
        left = self._open_until - self._clock()
        return max(left, 0.0) if self._state is State.OPEN else 0.0

    def check(self, operation: str) -> None:
        """Refuses like `passing`, and lets nothing in: for before a call waits for its turn.

        Raises:
            errors.TaskgateError: UNAVAILABLE, reason UPSTREAM_CIRCUIT_OPEN.
        """
        is_due = self._clock() >= self._open_until and self._probing < self._trip.probes
        if self._state is not State.CLOSED and not is_due:
            self.refused += 1
            raise self._refusal(operation)

    @contextmanager
    def passing(self, operation: str) -> Iterator[None]:
        """Around one call to AWS; learns from how it ends.

        A call that is cancelled, or that Taskgate itself refuses, teaches nothing.

        Raises:
            errors.TaskgateError: UNAVAILABLE, reason UPSTREAM_CIRCUIT_OPEN; nothing is to be sent.
        """
        probe = self._enter(operation)
        era = self._changes
        try:
            yield
        except errors.TaskgateError as error:
            # Calls from before a change say how AWS was then, and do not count.
            if era == self._changes and _is_from_aws(error):
                self._learn(failed=is_outage(error))
            raise
        else:
            if era == self._changes:
                self._learn(failed=False)
        finally:
            if probe and era == self._changes:
                self._probing -= 1

    def _enter(self, operation: str) -> bool:
        """Lets a call in; whether it is a probe."""
        if self._state is State.OPEN and self._clock() >= self._open_until:
            self._become(State.HALF_OPEN)
        if self._state is State.CLOSED:
            return False
        if self._state is State.OPEN or self._probing >= self._trip.probes:
            self.refused += 1
            raise self._refusal(operation)
        self._probing += 1
        return True

    def _learn(self, *, failed: bool) -> None:
        if self._state is State.HALF_OPEN:
            if failed:
                self._open()
            else:
                self._close()
        elif self._state is State.CLOSED:
            self._tally.count(self._clock(), failed=failed)
            if failed and self._is_too_much():
                self._open()

    def _is_too_much(self) -> bool:
        trip, tally = self._trip, self._tally
        many = tally.failed >= trip.least_failures
        return tally.in_a_row >= trip.consecutive or (many and tally.share >= trip.share)

    def _open(self) -> None:
        trip = self._trip
        longer = 2.0 ** min(self._opened, 30)  # an outage of days must not overflow a float
        seconds = min(trip.first_open_seconds * longer, trip.longest_open_seconds)
        # Jitter makes it shorter only, so that the longest is the longest; replicas probe apart.
        self._open_until = self._clock() + seconds * self._random.uniform(0.8, 1)
        self._opened += 1
        self._become(State.OPEN)

    def _close(self) -> None:
        self._opened = 0
        self._tally = _Tally(self._trip.window_seconds)
        self._become(State.CLOSED)

    def _become(self, state: State) -> None:
        self._state = state
        self._probing = 0
        self._changes += 1
        self._changed.set()
        self._changed = asyncio.Event()

    def _refusal(self, operation: str) -> errors.TaskgateError:
        spec = self._spec
        origin = errors.Origin(
            service=spec.name, title=spec.title, domain=spec.error_domain, operation=operation
        )
        # While a probe is under way nobody knows: its answer takes about as long as a first wait.
        left = self._open_until - self._clock()
        seconds = left if left > 0 else self._trip.first_open_seconds
        return errors.unavailable(
            origin,
            "UPSTREAM_CIRCUIT_OPEN",
            f"{spec.title} has failed too often just now, so it was not asked: ask again in"
            f" {seconds:.1f} s; if it stays, see AWS's health dashboard and this server's network",
            details=[error_details_pb2.RetryInfo(retry_delay=errors.to_duration(seconds))],
        )


class _Tally:
    """Counts of the last calls, that decay with time."""

    def __init__(self, window_seconds: float) -> None:
        self.in_a_row = 0
        self.failed = 0.0
        self._calls = 0.0
        self._window = window_seconds
        self._at = -math.inf

    @property
    def share(self) -> float:
        """The part of the calls that failed."""
        return self.failed / self._calls if self._calls else 0.0

    def count(self, now: float, *, failed: bool) -> None:
        """Counts a call."""
        keep = math.exp((self._at - now) / self._window)
        self._at = now
        self._calls = self._calls * keep + 1
        self.failed = self.failed * keep + failed
        self.in_a_row = self.in_a_row + 1 if failed else 0
