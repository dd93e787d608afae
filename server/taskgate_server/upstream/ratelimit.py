"""The pace of calls to one AWS service: a token bucket for each operation, fair between replicas.

    Limits        what is chosen
    RateLimiter   admits calls by operation, and is told how they went

Counterpart: `pace` has the law by which a rate falls and rises.
"""

from __future__ import annotations

import asyncio
import enum
import math
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, replace
from random import Random
from typing import Final, TypeAlias

import grpc
from google.rpc import error_details_pb2

from taskgate_server import errors
from taskgate_server.aws.services import ServiceSpec
from taskgate_server.upstream.duration import Duration
from taskgate_server.upstream.pace import LEARNED_LAW, published_law
from taskgate_server.upstream.throttling import Throttling

CallLater: TypeAlias = Callable[[float, Callable[[], None]], asyncio.TimerHandle]
"""The event loop's `call_later`: seconds, and what to call then."""

LONGEST_HOLD_SECONDS: Final = 900.0
"""A longer Retry-After is cut to this: one call in a quarter of an hour harms nobody."""

MEASURED_SECONDS: Final = 1.0
"""Over how long the rate of sending is measured: AWS counts its quotas in calls per second."""

SHORTEST_TIMER_SECONDS: Final = 0.001
"""uvloop counts in milliseconds and may call early by a part of one; less than that would spin."""


class Priority(enum.IntEnum):
    """Who goes first."""

    INTERACTIVE = 0
    POLLER = 1


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
    max_waiting: int = 1000
    """How many wait for one operation; the next one is refused."""
    forget_seconds: float = 600.0
    """After so long without a throttle, what throttles have taught is forgotten."""


@dataclass(frozen=True, slots=True)
class Permit:
    """A call that may leave now. It goes back to the limiter, with what became of the call."""

    operation: str
    cuts: int
    """How often the operation's rate had been cut."""
    sent_rate: float
    """Calls in the last second, with this one."""
    spacing: float
    """Seconds of the bucket that it took."""
    waited: bool
    left_at: float
    """When it was given, by the clock."""


@dataclass(slots=True, eq=False)
class _Waiter:
    future: asyncio.Future[Permit]
    give_up_at: float


class RateLimiter:
    """Admits calls to one AWS service in one account and region; for one event loop.

    Args:
        spec: the service, with the rates that AWS publishes.
        limits: what is chosen.
        clock: monotonic seconds.
        call_later: the running loop's if None.
        random: for jitter.
    """

    def __init__(
        self,
        spec: ServiceSpec,
        limits: Limits | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
        call_later: CallLater | None = None,
        random: Random | None = None,
    ) -> None:
        self.spec = spec
        self.limits = limits or Limits()
        self.clock = clock
        self.random = random or Random()  # noqa: S311  # jitter is no secret
        self._call_later = call_later
        self._buckets: dict[str, Bucket] = {}
        self.throttling = Throttling(clock)

    async def admit(self, operation: str, *, priority: Priority, give_up_at: float) -> Permit:
        """Waits for the operation's turn: first come, first served, within a priority.

        Args:
            operation: AWS's name of it.
            priority: who goes first.
            give_up_at: when the answer must have come, by the clock; inf for no such moment. A call
                that has to wait for its turn is admitted only if there is time left for AWS.

        Returns:
            A permit to be given back once, to `answered`, `throttled` or `unused`. To lose one does
            no harm: a call that got no answer teaches nothing.

        Raises:
            errors.TaskgateError: RESOURCE_EXHAUSTED, reason UPSTREAM_QUOTA, as soon as it is known
                that the turn comes too late; or when too many wait.
        """
        return await self.bucket(operation).admit(priority, give_up_at)

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

    def __init__(self, spec: ServiceSpec) -> None:
        super().__init__(replace(spec, request_rates={}))

    def throttled(
        self,
        permit: Permit,  # noqa: ARG002  # it has taught nothing either
        retry_after: float | None,  # noqa: ARG002  # the caller's to heed
    ) -> None:
        """A throttle is the caller's to see, and changes no pace."""
        self.throttling.throttled()


class Bucket:
    """One operation: its rate, the next moment to send, and who waits for it.

    Instead of tokens it keeps when the next call may leave, which is the same and needs no ticks
    (the generic cell rate algorithm, ITU-T I.371).
    """

    def __init__(self, operation: str, limiter: RateLimiter) -> None:
        self._operation = operation
        self._limiter = limiter
        self._clock = limiter.clock
        self._slack = limiter.limits.slack_seconds
        published = limiter.spec.request_rates.get(operation)
        self._law = published_law(published, limiter.limits.margin) if published else LEARNED_LAW
        self._low = self._law.ceiling  # the rate after the last cut
        self._climbed = 0.0  # seconds under pressure since then, told by calls that had to wait
        self._cuts = 0
        self._throttled_at = -math.inf
        self._next_at = -math.inf
        self._hold_until = -math.inf
        self._sent = 0.0  # the decaying count of calls, and when it was
        self._sent_at = 0.0
        self._duration = Duration()
        self._queues = {priority: OrderedDict[_Waiter, None]() for priority in Priority}
        self._timer: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        return sum(map(len, self._queues.values()))

    @property
    def rate(self) -> float:
        """Calls per second."""
        if self._clock() - self._throttled_at > self._limiter.limits.forget_seconds:
            return self._law.ceiling
        return self._law.climbed(self._low, self._climbed)

    @property
    def tokens(self) -> float:
        """Calls that may leave at once; parts of a call too, and debts."""
        ahead = self._clock() - self._ready_at
        return self.rate if self.rate == math.inf and ahead >= 0 else 1 + ahead * self.rate

    @property
    def _ready_at(self) -> float:
        return max(self._next_at, self._hold_until, self._clock() - self._slack)

    async def admit(self, priority: Priority, give_up_at: float) -> Permit:
        """See `RateLimiter.admit`."""
        if not len(self) and self._ready_at <= self._clock():
            return self._take(waited=False)
        ahead = sum(len(queue) for rank, queue in self._queues.items() if rank <= priority)
        turn = self._turn(ahead)
        # Where more is asked than there is room for, all are admitted in the last moment: without
        # time for the answer AWS would be asked for nobody, call after call.
        give_up_at -= self._duration.most
        if turn > give_up_at or len(self) >= self._limiter.limits.max_waiting:
            raise self._refusal(turn)
        waiter = _Waiter(asyncio.get_running_loop().create_future(), give_up_at)
        self._queues[priority][waiter] = None
        if self._timer is None:
            self._set_timer()
        try:
            return await waiter.future
        except asyncio.CancelledError:
            self._leave(waiter, self._queues[priority])
            raise

    def answered(self, permit: Permit) -> None:
        """A call that had to wait is pressure; others are no reason for a higher rate."""
        self._duration.note(self._clock() - permit.left_at)
        if permit.waited and permit.cuts == self._cuts:
            self._climbed += permit.spacing

    def throttled(self, permit: Permit, retry_after: float | None) -> None:
        """Calls that had left before the last cut tell nothing new; their Retry-After does."""
        now, rate = self._clock(), self.rate
        if permit.cuts == self._cuts:
            self._low = self._law.cut(min(rate, permit.sent_rate), self._limiter.random)
            self._climbed = 0.0
            self._cuts += 1
            self._next_at = max(self._next_at, now + 1 / self._low)  # AWS's bucket is empty
        else:
            self._low, self._climbed = rate, 0.0  # or a forgotten rate would come back
        self._throttled_at = now
        if retry_after is not None and retry_after > 0:
            self._hold_until = max(self._hold_until, now + min(retry_after, LONGEST_HOLD_SECONDS))
        self._refuse_the_late()
        self._set_timer()

    def unused(self, permit: Permit) -> None:
        """See `RateLimiter.unused`."""
        self._next_at -= permit.spacing
        self._sent = max(self._sent - 1, 0.0)
        self._serve()

    def _take(self, *, waited: bool) -> Permit:
        now, rate = self._clock(), self.rate
        spacing = 1 / rate
        self._next_at = max(self._next_at, now - self._slack) + spacing
        self._sent = 1 + self._sent * math.exp((self._sent_at - now) / MEASURED_SECONDS)
        self._sent_at = now
        return Permit(self._operation, self._cuts, self._sent, spacing, waited, now)

    def _turn(self, ahead: int) -> float:
        """When the next may leave who has `ahead` before it."""
        return max(self._ready_at + ahead / self.rate, self._clock())

    def _serve(self) -> None:
        """Lets go who may; the others wait for the timer."""
        now = self._clock()
        for queue in self._queues.values():
            while queue and self._ready_at <= now:
                waiter, _ = queue.popitem(last=False)
                if waiter.give_up_at < now and not waiter.future.done():
                    waiter.future.set_exception(self._refusal(self._turn(len(self))))
                elif not waiter.future.done():  # else cancelled, and not yet gone
                    waiter.future.set_result(self._take(waited=True))
        self._set_timer()

    def _leave(self, waiter: _Waiter, queue: OrderedDict[_Waiter, None]) -> None:
        """The waiter was cancelled, maybe after it was let go."""
        queue.pop(waiter, None)
        future = waiter.future
        if future.done() and not future.cancelled() and future.exception() is None:
            self.unused(future.result())
        if not len(self):
            self._set_timer()

    def _refuse_the_late(self) -> None:
        """After a throttle, whoever would die waiting is told so now."""
        turn, spacing = self._turn(0), 1 / self.rate
        for queue in self._queues.values():
            for waiter in list(queue):
                if turn <= waiter.give_up_at:
                    turn += spacing
                    continue
                del queue[waiter]
                if not waiter.future.done():
                    waiter.future.set_exception(self._refusal(turn))

    def _set_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if len(self):
            seconds = max(self._ready_at - self._clock(), SHORTEST_TIMER_SECONDS)
            self._timer = self._limiter.call_later(seconds, self._serve)

    def _refusal(self, turn: float) -> errors.TaskgateError:
        spec, rate, seconds = self._limiter.spec, self.rate, max(turn - self._clock(), 0.0)
        name = f"{spec.name}:{self._operation}"  # as in IAM
        pace = "without a known limit" if rate == math.inf else f"at {rate:.3g} calls/s"
        told = (
            f"{spec.title} takes {self._operation} {pace}, and {len(self)} calls wait:"
            f" ask again in {seconds:.1f} s, give it more time, accept older answers (max_age),"
            " or have AWS raise the quota"
        )
        violation = error_details_pb2.QuotaFailure.Violation(
            subject=name, description=told, api_service=spec.error_domain
        )
        return errors.TaskgateError(
            code=grpc.StatusCode.RESOURCE_EXHAUSTED,
            message=told,
            reason="UPSTREAM_QUOTA",
            metadata={"operation": self._operation, "service": spec.name},
            details=[
                error_details_pb2.RetryInfo(retry_delay=errors.to_duration(seconds)),
                error_details_pb2.QuotaFailure(violations=[violation]),
            ],
        )
