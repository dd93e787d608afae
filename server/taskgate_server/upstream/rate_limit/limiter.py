"""The pace of calls to one AWS service: a token bucket for each operation, fair between replicas.

    Limits        what is chosen
    RateLimiter   admits calls by operation, and is told how they went

Counterpart: `pace` has the law by which a rate falls and rises.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from random import Random
from typing import TypeAlias

from taskgate_server.services.spec import ServiceSpec
from taskgate_server.upstream.rate_limit.call_slots import CallSlots
from taskgate_server.upstream.rate_limit.throttling import Throttling
from taskgate_server.upstream.rate_limit.token_bucket import Bucket, Permit
from taskgate_server.upstream.requesters import Requesters

CallLater: TypeAlias = Callable[[float, Callable[[], None]], asyncio.TimerHandle]
"""The event loop's `call_later`: seconds, and what to call then."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What is chosen, for all operations of a service.

    AWS publishes no burst size, so none is counted on: while `slack_seconds` is no more than
    `margin` seconds, no second sees more calls than the published rate, wherever it begins.
    """

    margin: float = 0.04
    """The part of a published rate that is left unused."""
    slack_seconds: float = 0.04
    """What a call that leaves late makes up for. The burst is 1 + rate x slack calls."""
    max_waiting: int = 2000
    """How many calls may wait for one operation. Each requester may have as many waiting as there
    are places left: half of them if it is alone. So a newcomer finds a place (dynamic thresholds,
    Choudhury and Hahne, 1998)."""
    forget_seconds: float = 600.0
    """After so long without a throttle, what throttles have taught is forgotten."""


class RateLimiter:
    """Admits calls to one AWS service in one account and region; for one event loop.

    Args:
        spec: the service, with the rates that AWS publishes.
        limits: what is chosen.
        clock: monotonic seconds.
        call_later: the running loop's if None.
        random: for jitter.
        max_in_flight: calls that may be in flight at a time, of all operations.
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
        self.spec = spec
        self.limits = limits or Limits()
        self.clock = clock
        self.slots = CallSlots(max_in_flight)
        self.random = random or Random()  # noqa: S311  # jitter is no secret
        self._call_later = call_later
        self._buckets: dict[str, Bucket] = {}
        self.throttling = Throttling(clock)

    async def admit(self, operation: str, requesters: Requesters) -> Permit:
        """Wait until a call may be sent: by priority, then round robin over requesters.

        Args:
            operation: its AWS name.
            requesters: for whom; they may change meanwhile. The call is admitted only if there is
                time left for the response until the last of them gives up.

        Returns:
            A permit. Report the outcome once, to `answered` or `throttled`, unless there was none,
            and that the call has ended to `ended`; or that it was not sent to `unused`.

        Raises:
            errors.TaskgateError: RESOURCE_EXHAUSTED, reason UPSTREAM_QUOTA, as soon as it is known
                that the turn comes too late; or when too many calls of these requesters wait.
            requesters.AbandonedError: no requester is left.
        """
        return await self.bucket(operation).admit(requesters)

    def answered(self, permit: Permit) -> None:
        """AWS answered the call: with success, or an error that is no throttle."""
        self.throttling.answered()
        self.bucket(permit.operation).answered(permit)

    def throttled(self, permit: Permit, retry_after: float | None) -> None:
        """AWS throttled the call, and wants none of its operation for `retry_after` seconds."""
        self.throttling.throttled()
        self.bucket(permit.operation).throttled(permit, retry_after)

    def unused(self, permit: Permit) -> None:
        """The call was not sent: the next may leave in its place."""
        self.bucket(permit.operation).unused(permit)
        self.ended(permit)

    def ended(self, permit: Permit) -> None:
        """Give the call's slot back, if that has not been done: it is no longer in flight."""
        if not permit.has_ended:
            permit.has_ended = True
            self.slots.release()

    @property
    def operations(self) -> list[str]:
        """Those asked about so far."""
        return list(self._buckets)

    def rate(self, operation: str) -> float:
        """Calls per second that may leave; inf while nothing limits the operation."""
        return self.bucket(operation).rate

    def tokens_left(self, operation: str) -> float:
        """Calls that may leave at once; less than 1 while they have to wait, inf without limit."""
        return self.bucket(operation).tokens

    def can_send(self, operation: str) -> bool:
        """Return whether a call would leave at once."""
        bucket = self.bucket(operation)
        return not len(bucket) and bucket.tokens >= 1 and self.slots.has_free

    def waiting(self, operation: str) -> int:
        """How many wait."""
        return len(self.bucket(operation))

    def bucket(self, operation: str) -> Bucket:
        """The operation's bucket."""
        bucket = self._buckets.get(operation)
        if bucket is None:
            bucket = self._buckets[operation] = Bucket(operation, self)
        return bucket

    def call_later(self, seconds: float, then: Callable[[], None]) -> asyncio.TimerHandle:
        """Calls back."""
        return (self._call_later or asyncio.get_running_loop().call_later)(seconds, then)


class Unlimited(RateLimiter):
    """Admits every call at once, and learns nothing: where somebody else keeps the pace."""

    def __init__(self, spec: ServiceSpec, *, max_in_flight: float = math.inf) -> None:
        super().__init__(replace(spec, request_rates={}), max_in_flight=max_in_flight)

    def throttled(
        self,
        permit: Permit,  # noqa: ARG002  # it has taught nothing either
        retry_after: float | None,  # noqa: ARG002  # the caller's to heed
    ) -> None:
        """A throttle is the caller's to see, and changes no pace."""
        self.throttling.throttled()
