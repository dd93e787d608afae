"""The rate limiter of one AWS service: a token bucket for each operation, fair between replicas.

`policy` decides how a rate decreases and increases.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable, Coroutine
from dataclasses import replace
from random import Random
from typing import Any, Final

from taskgate_server.services.spec import ServiceSpec
from taskgate_server.upstream.in_flight import Requesters
from taskgate_server.upstream.rate_limit.token_bucket import (
    BucketContext,
    CallLater,
    CallSlots,
    Limits,
    Permit,
    TokenBucket,
)

MIN_THROTTLES: Final = 10
MIN_THROTTLED_SECONDS: Final = 5.0
"""AWS throttles everything if so many calls in a row were throttled over at least this time."""
FORGET_SECONDS: Final = 30.0
"""A service counts as throttled for this time after the last throttle; then it is tried again."""


class ThrottleStreak:
    """Throttles of one AWS service in a row, of whatever operation.

    Args:
        clock: monotonic seconds.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._count = 0
        self._first_at = self._last_at = -math.inf

    def record_response(self) -> None:
        """Record a response that is not a throttle."""
        self._count = 0

    def record_throttle(self) -> None:
        """Record a throttle."""
        self._last_at = self._clock()
        if not self._count:
            self._first_at = self._last_at
        self._count += 1

    @property
    def is_total(self) -> bool:
        """Whether AWS has throttled all calls for a while."""
        return (
            self._count >= MIN_THROTTLES
            and self._last_at - self._first_at >= MIN_THROTTLED_SECONDS
            and self._clock() - self._last_at < FORGET_SECONDS
        )


class RateLimiter:
    """Admits calls to one AWS service in one account and region; for one event loop.

    Args:
        spec: the service, with the rates that AWS publishes.
        limits: settings for all operations.
        clock: monotonic seconds.
        call_later: the running loop's if None.
        random: for jitter.
        max_in_flight: calls of all operations that may be in flight at a time.
    """

    def __init__(
        self,
        spec: ServiceSpec,
        limits: Limits | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
        call_later: CallLater | None = None,
        random: Random | None = None,
        max_in_flight: float = math.inf,
    ) -> None:
        self.clock = clock
        self.slots = CallSlots(max_in_flight)
        self.throttles = ThrottleStreak(clock)
        self._call_later = call_later
        self._context = BucketContext(
            spec=spec,
            limits=limits or Limits(),
            slots=self.slots,
            clock=clock,
            call_later=self.call_later,
            random=random or Random(),  # noqa: S311  # jitter is no secret
        )
        self.buckets: dict[str, TokenBucket] = {}
        """The operations used so far."""

    def admit(self, operation: str, requesters: Requesters) -> Coroutine[Any, Any, Permit]:
        """Wait until a call may be sent: by priority, then round robin over requesters.

        Args:
            operation: AWS name.
            requesters: who waits for the call; they may change meanwhile. The call is admitted only
                if its response can arrive before the last of them gives up.

        Returns:
            A permit. Report the response with `record_response` or `record_throttle`, if there is
            one, and then `Permit.release_slot`; or `Permit.return_unused` if it was not sent.

        Raises:
            errors.TaskgateError: RESOURCE_EXHAUSTED, reason UPSTREAM_QUOTA, as soon as it is known
                that the call cannot be sent in time, or if too many calls of these requesters wait.
            in_flight.AbandonedError: no requester is left.
        """
        return self.bucket(operation).admit(requesters)

    def record_response(self, permit: Permit) -> None:
        """Record a success, or an error that is not a throttle."""
        self.throttles.record_response()
        permit.bucket.record_response(permit)

    def record_throttle(self, permit: Permit, retry_after: float | None) -> None:
        """Record a throttle.

        Args:
            permit: of the call.
            retry_after: seconds for which no call of the operation is sent.
        """
        self.throttles.record_throttle()
        permit.bucket.record_throttle(permit, retry_after)

    def can_send(self, operation: str) -> bool:
        """Return whether a call would be sent at once."""
        bucket = self.bucket(operation)
        return not len(bucket) and bucket.tokens >= 1 and self.slots.has_free

    def bucket(self, operation: str) -> TokenBucket:
        """Return the bucket of an operation."""
        bucket = self.buckets.get(operation)
        if bucket is None:
            bucket = self.buckets[operation] = TokenBucket(operation, self._context)
        return bucket

    def call_later(self, seconds: float, callback: Callable[[], None]) -> asyncio.TimerHandle:
        """Call a function after some seconds."""
        return (self._call_later or asyncio.get_running_loop().call_later)(seconds, callback)


class UnlimitedRate(RateLimiter):
    """Admits every call at once and learns nothing, for when something else limits the rate."""

    def __init__(self, spec: ServiceSpec, *, max_in_flight: float = math.inf) -> None:
        super().__init__(replace(spec, request_rates={}), max_in_flight=max_in_flight)

    def record_throttle(self, permit: Permit, retry_after: float | None) -> None:  # noqa: ARG002  # callers handle it
        """Record a throttle without changing the rate."""
        self.throttles.record_throttle()
