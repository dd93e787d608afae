"""The token bucket of one AWS operation, the slots for calls in flight, and the calls that wait.

A call waits for a token first and for a slot second, each in a fair queue. While it waits for its
slot, the share whose turn it used gets no other turn in the bucket, so each share holds at most one
token that it cannot use yet.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Final, TypeAlias

from google.rpc import error_details_pb2

from taskgate_server import errors
from taskgate_server.services.spec import ServiceSpec
from taskgate_server.upstream.in_flight import AbandonedError, Requesters
from taskgate_server.upstream.options import Share
from taskgate_server.upstream.rate_limit.fair_queue import FairQueue
from taskgate_server.upstream.rate_limit.policy import (
    LEARNED_POLICY,
    LatencyEstimator,
    published_policy,
)

CallLater: TypeAlias = Callable[[float, Callable[[], None]], asyncio.TimerHandle]
"""The event loop's `call_later`: seconds, and what to call then."""

MAX_HOLD_SECONDS: Final = 900.0
"""A longer Retry-After is reduced to this: one call in 15 minutes does no harm."""

MEASURED_SECONDS: Final = 1.0
"""Period over which the sending rate is measured: AWS's quotas are calls per second."""

MIN_TIMER_SECONDS: Final = 0.001
"""uvloop counts milliseconds and may fire a fraction early; a shorter timer would spin."""

STUCK_SECONDS: Final = 3.0
"""A call without a response for this time gives its slot back, so that calls whose callers wait for
long do not keep others waiting."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Settings for all operations of a service.

    AWS publishes no burst size, so none is assumed: while `slack_seconds` is at most `margin`
    seconds, no period of one second has more calls than the published rate.
    """

    margin: float = 0.04
    """The fraction of a published rate that is left unused."""
    slack_seconds: float = 0.04
    """How much of a delay the next calls may catch up on. The burst is 1 + rate x slack calls."""
    max_waiting: int = 2000
    """How many calls of one operation may wait. A requester may have as many waiting as there is
    room left, which is half of it for the only one, so there is always room for another requester
    (dynamic thresholds, Choudhury and Hahne, 1998)."""
    forget_seconds: float = 600.0
    """After so long without a throttle the rate returns to its ceiling."""


@dataclass(slots=True, eq=False)
class Permit:
    """Permission to send one call; holds a slot. Report the call's outcome to the limiter."""

    bucket: TokenBucket
    decreases: int
    """How often the operation's rate had been decreased."""
    sent_rate: float
    """Calls sent in the last second, this one included."""
    spacing: float
    """Seconds of the bucket that the token took."""
    has_waited: bool
    granted_at: float
    """By the limiter's clock."""
    has_slot: bool = True

    def release_slot(self) -> None:
        """Give the slot back, since the call is no longer in flight. May be repeated."""
        if self.has_slot:
            self.has_slot = False
            self.bucket.slots.release()

    def return_unused(self) -> None:
        """Give token and slot back, since the call was not sent."""
        self.bucket.take_back(self)
        self.release_slot()


class _Waiter:
    """A call that waits for a token, then for a slot; listens to its requesters."""

    __slots__ = ("bucket", "future", "has_waited", "queue", "requesters", "spacing", "used_share")

    def __init__(self, bucket: TokenBucket, requesters: Requesters, *, has_waited: bool) -> None:
        self.bucket = bucket
        self.future: asyncio.Future[Permit] = asyncio.get_running_loop().create_future()
        self.requesters = requesters
        self.queue: FairQueue[_Waiter] = bucket.queue
        """The queue that it is in: the bucket's, or that of the slots."""
        self.has_waited = has_waited
        """Whether there was no token for it at first."""
        self.used_share: Share | None = None
        """The share whose turn it used, while it has a token and waits for a slot."""
        self.spacing = 0.0
        """Seconds of the bucket that its token took."""

    def enter(self, queue: FairQueue[_Waiter], *, first: bool) -> None:
        """Wait in a queue, in the lines of all requesters."""
        self.queue = queue
        for share in self.requesters.shares:
            queue.add(self, share, first=first)

    def add(self, share: Share) -> None:
        """See `in_flight.Listener`."""
        if not self.future.done():
            self.queue.add(self, share)
            self.bucket.serve_if_idle()

    def remove(self, share: Share) -> None:
        """See `in_flight.Listener`."""
        self.queue.remove_from_line(self, share)
        if not self.requesters.shares and not self.future.done():
            self.bucket.withdraw(self)
            self.future.set_exception(AbandonedError())

    def extend(self, give_up_at: float) -> None:
        """See `in_flight.Listener`; the bucket reads `requesters.give_up_at` when it matters."""


class CallSlots:
    """Bounds the calls in flight to an AWS service, fairly across requesters.

    Args:
        count: calls in flight at a time; inf for no limit.
    """

    def __init__(self, count: float) -> None:
        self.count = count
        self.queue: FairQueue[_Waiter] = FairQueue()
        """Calls that have a token and wait for a slot."""
        self._free = count

    @property
    def has_free(self) -> bool:
        """Whether a slot is free, and no call waits for it."""
        return self._free >= 1 and not len(self.queue)

    def take(self) -> bool:
        """Take a slot if one is free and no call waits for it; return whether it was taken."""
        if not self.has_free:
            return False
        self._free -= 1
        return True

    def release(self) -> None:
        """Give a slot back, to the next call that waits."""
        self._free += 1
        while self._free >= 1 and self.queue.has_next:
            waiter, share = self.queue.peek()
            if waiter.bucket.can_use_slot(waiter):
                self.queue.take(waiter, share)
                self._free -= 1
                waiter.bucket.grant_slot(waiter)
            else:
                self.queue.remove(waiter)


@dataclass(frozen=True, slots=True, kw_only=True)
class BucketContext:
    """What all buckets of one AWS service share."""

    spec: ServiceSpec
    limits: Limits
    slots: CallSlots
    clock: Callable[[], float]
    call_later: CallLater
    random: Random


class TokenBucket:
    """The rate of one operation, and the calls that wait for it.

    It stores the time of the next call rather than tokens, which is equivalent and needs no ticks
    (generic cell rate algorithm, ITU-T I.371).
    """

    def __init__(self, operation: str, context: BucketContext) -> None:
        self.queue: FairQueue[_Waiter] = FairQueue()
        """Calls that wait for a token."""
        self._operation = operation
        self._context = context
        self.slots = context.slots
        self._clock = context.clock
        self._slack = context.limits.slack_seconds
        published = context.spec.request_rates.get(operation)
        self._policy = (
            published_policy(published, context.limits.margin) if published else LEARNED_POLICY
        )
        self._decreased_rate = self._policy.ceiling
        self._pressure_seconds = 0.0
        """Time under pressure since the last decrease, measured by calls that had to wait."""
        self._decreases = 0
        self._throttled_at = -math.inf
        self._next_at = -math.inf
        self._hold_until = -math.inf
        self._sent = 0.0
        """Decaying count of calls, as of `_sent_at`."""
        self._sent_at = 0.0
        self._latency = LatencyEstimator()
        self._waiting_for_slot = 0
        self._timer: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        """Return the number of calls that wait."""
        return len(self.queue) + self._waiting_for_slot

    @property
    def rate(self) -> float:
        """Calls per second; inf while nothing limits the operation."""
        if self._clock() - self._throttled_at > self._context.limits.forget_seconds:
            return self._policy.ceiling
        return self._policy.increased(self._decreased_rate, self._pressure_seconds)

    @property
    def sent_rate(self) -> float:
        """Calls per second that are being sent, averaged over about `MEASURED_SECONDS`."""
        elapsed = self._clock() - self._sent_at
        return self._sent * math.exp(-elapsed / MEASURED_SECONDS) / MEASURED_SECONDS

    @property
    def tokens(self) -> float:
        """Calls that can be sent at once, as a fraction; negative for a debt."""
        ahead = self._clock() - self._ready_at
        return self.rate if self.rate == math.inf and ahead >= 0 else 1 + ahead * self.rate

    @property
    def _ready_at(self) -> float:
        return max(self._next_at, self._hold_until, self._clock() - self._slack)

    async def admit(self, requesters: Requesters) -> Permit:
        """See `RateLimiter.admit`."""
        if not requesters.shares:
            raise AbandonedError
        is_ready = not self.queue.has_next and self._ready_at <= self._clock()
        if is_ready and not len(self) and self.slots.take():
            return self._make_permit(self._take_token(), has_waited=False)
        self._refuse_if_hopeless(requesters)
        waiter = _Waiter(self, requesters, has_waited=not is_ready)
        waiter.enter(self.queue, first=False)
        requesters.add_listener(waiter)
        self.serve_if_idle()
        try:
            return await waiter.future
        except asyncio.CancelledError:
            if waiter.future.cancelled():
                self.withdraw(waiter)
            elif waiter.future.exception() is None:  # cancelled after it was admitted
                waiter.future.result().return_unused()
            raise
        finally:
            requesters.remove_listener(waiter)

    def record_response(self, permit: Permit) -> None:
        """See `RateLimiter.record_response`. Only calls that had to wait count as pressure."""
        self._latency.record(self._clock() - permit.granted_at)
        if permit.has_waited and permit.decreases == self._decreases:
            self._pressure_seconds += permit.spacing

    def record_throttle(self, permit: Permit, retry_after: float | None) -> None:
        """See `RateLimiter.record_throttle`.

        Calls sent before the last decrease do not decrease the rate again; their Retry-After
        counts.
        """
        now, rate = self._clock(), self.rate
        if permit.decreases == self._decreases:
            self._decreased_rate = self._policy.decreased(
                min(rate, permit.sent_rate), self._context.random
            )
            self._pressure_seconds = 0.0
            self._decreases += 1
            # AWS's own bucket is empty.
            self._next_at = max(self._next_at, now + 1 / self._decreased_rate)
        else:
            # Otherwise a forgotten rate would return.
            self._decreased_rate, self._pressure_seconds = rate, 0.0
        self._throttled_at = now
        if retry_after is not None and retry_after > 0:
            self._hold_until = max(self._hold_until, now + min(retry_after, MAX_HOLD_SECONDS))
        self._refuse_late_calls()
        self._set_timer()

    def take_back(self, permit: Permit) -> None:
        """Give the token of a call that was not sent to the next call."""
        self._next_at -= permit.spacing
        self._sent = max(self._sent - 1, 0.0)
        self._serve()

    def serve_if_idle(self) -> None:
        """Admit the calls that can be sent now, unless a timer will."""
        if self._timer is None:
            self._serve()

    def withdraw(self, waiter: _Waiter) -> None:
        """Remove a call that will not be sent, and take its token back if it has one."""
        waiter.queue.remove(waiter)
        if waiter.used_share is not None:
            self._next_at -= waiter.spacing
            self._resume_share(waiter)
        elif not self.queue.has_next:
            self._set_timer()

    def can_use_slot(self, waiter: _Waiter) -> bool:
        """Return whether a call with a token can be sent; withdraw or requeue it otherwise."""
        if not self._is_in_time(waiter):
            self.withdraw(waiter)
            return False
        if self._hold_until > self._clock():  # throttled since it got its token
            self._next_at -= waiter.spacing
            waiter.queue.remove(waiter)
            waiter.enter(self.queue, first=True)
            self._resume_share(waiter)
            return False
        return True

    def grant_slot(self, waiter: _Waiter) -> None:
        """Admit a call that has a token and now a slot."""
        self._grant(waiter)
        self._resume_share(waiter)

    def _take_token(self) -> float:
        """Take a token; return its seconds of the bucket."""
        spacing = 1 / self.rate
        self._next_at = max(self._next_at, self._clock() - self._slack) + spacing
        return spacing

    def _make_permit(self, spacing: float, *, has_waited: bool) -> Permit:
        now = self._clock()
        self._sent = 1 + self.sent_rate * MEASURED_SECONDS
        self._sent_at = now
        return Permit(self, self._decreases, self._sent, spacing, has_waited, now)

    def _grant(self, waiter: _Waiter) -> None:
        permit = self._make_permit(waiter.spacing, has_waited=waiter.has_waited)
        waiter.future.set_result(permit)

    def _serve(self) -> None:
        """Give tokens to the calls whose turn it is; set the timer for the others."""
        now = self._clock()
        while self.queue.has_next and self._ready_at <= now:
            waiter, share = self.queue.peek()
            if not self._is_in_time(waiter):
                self.queue.remove(waiter)
                continue
            self.queue.take(waiter, share)
            waiter.spacing = self._take_token()
            if self.slots.take():
                self._grant(waiter)
            else:
                waiter.used_share = share
                self._waiting_for_slot += 1
                self.queue.pause(share)
                waiter.enter(self.slots.queue, first=False)
        self._set_timer()

    def _resume_share(self, waiter: _Waiter) -> None:
        """Give turns again to the share of a call that no longer waits for a slot."""
        share, waiter.used_share = waiter.used_share, None
        if share is not None:
            self._waiting_for_slot -= 1
            self.queue.resume(share)
            self._serve()

    def _is_in_time(self, waiter: _Waiter) -> bool:
        """Return whether a call can still be sent; refuse it if its response would be late."""
        if waiter.future.done():  # cancelled, and its task has not run since
            return False
        if waiter.requesters.give_up_at - self._latency.upper_bound < self._clock():
            waiter.future.set_exception(self._refusal(waiter.requesters))
            return False
        return True

    def _token_at(self, ahead: float) -> float:
        """Return when a call with `ahead` calls before it gets a token."""
        return max(self._ready_at + ahead / self.rate, self._clock())

    def _turns_before(self, requesters: Requesters) -> int:
        """Return how many calls are sent before one that is queued now for these requesters."""
        return min(map(self.queue.turns_before, requesters.shares), default=0)

    def _refuse_if_hopeless(self, requesters: Requesters) -> None:
        """Refuse a call that cannot be served in time, or whose requesters have too many waiting.

        Under overload, calls are admitted just before it is too late. If no time were left for the
        response, every call to AWS would be wasted.

        Raises:
            errors.TaskgateError: RESOURCE_EXHAUSTED, see `RateLimiter.admit`.
        """
        free = self._context.limits.max_waiting - len(self.queue)
        is_full = all(self.queue.length(share) >= free for share in requesters.shares)
        latest = requesters.give_up_at - self._latency.upper_bound
        if is_full or self._token_at(self._turns_before(requesters)) > latest:
            raise self._refusal(requesters)

    def _refuse_late_calls(self) -> None:
        """Refuse, after a throttle, the calls that can no longer be served in time."""
        first, spacing, latency = self._token_at(0), 1 / self.rate, self._latency.upper_bound

        def is_late(waiter: _Waiter, ahead: int) -> bool:
            return first + ahead * spacing > waiter.requesters.give_up_at - latency

        for waiter in self.queue.remove_late(is_late):
            if not waiter.future.done():
                waiter.future.set_exception(self._refusal(waiter.requesters))

    def _set_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self.queue.has_next:
            seconds = max(self._ready_at - self._clock(), MIN_TIMER_SECONDS)
            self._timer = self._context.call_later(seconds, self._serve)

    def _refusal(self, requesters: Requesters) -> errors.TaskgateError:
        spec, rate, ahead = self._context.spec, self.rate, self._turns_before(requesters)
        own = max(map(self.queue.length, requesters.shares), default=0)
        seconds = max(
            self._token_at(ahead) - self._clock(),
            ahead * self._latency.upper_bound / self.slots.count,
        )
        limit = (
            f"{self._operation} is limited to {rate:.3g} calls/s"
            if rate < math.inf
            else f"no connection is free for {self._operation}"
        )
        message = (
            f"{spec.title}: {limit} and {len(self)} calls are waiting, {own} of them from this"
            f" caller; retry in {seconds:.1f} s, use a longer deadline, accept older responses"
            " (max_age) or raise the AWS quota"
        )
        violation = error_details_pb2.QuotaFailure.Violation(
            subject=f"{spec.name}:{self._operation}",  # as in IAM
            description=message,
            api_service=spec.error_domain,
        )
        quota_failure = error_details_pb2.QuotaFailure(violations=[violation])
        return errors.QuotaError(
            errors.origin_of(spec, self._operation),
            message,
            details=[errors.retry_info(seconds), quota_failure],
        )
