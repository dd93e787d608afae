"""The token bucket of one AWS operation, and the calls that wait for it.

A call waits for a token first and for a slot (`call_slots`) second, in a fair queue each. While it
waits for its slot, the share whose turn it used has no other turn here: so each share has at most
one token that it cannot use yet.
"""

from __future__ import annotations

import asyncio
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from google.rpc import error_details_pb2

from taskgate_server import errors
from taskgate_server.upstream.rate_limit.call_slots import Candidate
from taskgate_server.upstream.rate_limit.fair_queue import FairQueue
from taskgate_server.upstream.rate_limit.latency import Duration
from taskgate_server.upstream.rate_limit.policy import LEARNED_LAW, published_law
from taskgate_server.upstream.requesters import AbandonedError, Requesters, Share

if TYPE_CHECKING:
    from taskgate_server.upstream.rate_limit.limiter import RateLimiter

MAX_HOLD_SECONDS: Final = 900.0
"""A longer Retry-After is reduced to this: one call in 15 minutes does no harm."""

MEASURED_SECONDS: Final = 1.0
"""Over how long the rate of sending is measured: AWS counts its quotas in calls per second."""

MIN_TIMER_SECONDS: Final = 0.001
"""uvloop counts in milliseconds and may call early by a part of one; less than that would spin."""


@dataclass(slots=True, eq=False)
class Permit:
    """A call that may leave now. It goes back to the limiter, with the outcome of the call."""

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
    has_ended: bool = False
    """Whether its slot has been given back."""


class _Waiter:
    """A call that waits for a token, then for a slot. It listens to its requesters."""

    __slots__ = ("_bucket", "future", "queue", "requesters", "spacing", "turn", "waited")

    def __init__(self, bucket: Bucket, requesters: Requesters, *, waited: bool) -> None:
        self.future: asyncio.Future[Permit] = asyncio.get_running_loop().create_future()
        self.requesters = requesters
        self.queue: FairQueue[Candidate] | FairQueue[_Waiter] = bucket.queue
        """Where it waits."""
        self.waited = waited
        """Whether there was no token for it when it came."""
        self.turn: Share | None = None
        """The share whose turn it used, while it has a token and waits for a slot."""
        self.spacing = 0.0
        """Seconds of the bucket that this token took."""
        self._bucket = bucket

    def enter(self, queue: FairQueue[Candidate] | FairQueue[_Waiter], *, first: bool) -> None:
        """Wait there from now on, in the lines of all its requesters."""
        self.queue = queue
        for share in self.requesters.shares:
            queue.add(self, share, first=first)

    def add(self, share: Share) -> None:
        """See `requesters.Listener`."""
        if not self.future.done():
            self.queue.add(self, share)
            self._bucket.serve_if_idle()

    def remove(self, share: Share) -> None:
        """See `requesters.Listener`."""
        self.queue.leave(self, share)
        if not self.requesters.shares and not self.future.done():
            self._bucket.withdraw(self)
            self.future.set_exception(AbandonedError())

    def extend(self, give_up_at: float) -> None:
        """See `requesters.Listener`: it is read where it counts."""

    def may_leave(self) -> bool:
        """See `call_slots.Candidate`."""
        return self._bucket.may_leave(self)

    def leave(self) -> None:
        """See `call_slots.Candidate`."""
        self._bucket.leave(self)


class Bucket:
    """One operation: its rate, the next moment to send, and the calls that wait for it.

    Instead of tokens it keeps when the next call may leave, which is the same and needs no ticks
    (the generic cell rate algorithm, ITU-T I.371).
    """

    def __init__(self, operation: str, limiter: RateLimiter) -> None:
        self.queue: FairQueue[_Waiter] = FairQueue()
        """The calls that wait for a token."""
        self._operation = operation
        self._limiter = limiter
        self._slots = limiter.slots
        self._clock = limiter.clock
        self._slack = limiter.limits.slack_seconds
        published = limiter.spec.request_rates.get(operation)
        self._law = published_law(published, limiter.limits.margin) if published else LEARNED_LAW
        self._low = self._law.ceiling  # the rate after the last cut
        self._climbed = 0.0  # seconds under pressure since then, measured by calls that had to wait
        self._cuts = 0
        self._throttled_at = -math.inf
        self._next_at = -math.inf
        self._hold_until = -math.inf
        self._sent = 0.0  # the decaying count of calls, and when it was
        self._sent_at = 0.0
        self._duration = Duration()
        self._slotless = 0  # calls that have a token and wait for a slot
        self._timer: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        return len(self.queue) + self._slotless

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

    async def admit(self, requesters: Requesters) -> Permit:
        """See `RateLimiter.admit`."""
        if not requesters.shares:
            raise AbandonedError
        is_ready = not self.queue.has_turn and self._ready_at <= self._clock()
        if is_ready and not len(self) and self._slots.take():
            return self._permit(self._take_token(), waited=False)
        self._refuse_if_hopeless(requesters)
        waiter = _Waiter(self, requesters, waited=not is_ready)
        waiter.enter(self.queue, first=False)
        requesters.listen(waiter)
        self.serve_if_idle()
        try:
            return await waiter.future
        except asyncio.CancelledError:
            self._cancelled(waiter)
            raise
        finally:
            requesters.unlisten(waiter)

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
            self._hold_until = max(self._hold_until, now + min(retry_after, MAX_HOLD_SECONDS))
        self._refuse_the_late()
        self._set_timer()

    def unused(self, permit: Permit) -> None:
        """See `RateLimiter.unused`."""
        self._next_at -= permit.spacing
        self._sent = max(self._sent - 1, 0.0)
        self._serve()

    def serve_if_idle(self) -> None:
        """Serve calls that can leave now and are not waited for by the timer."""
        if self._timer is None:
            self._serve()

    def withdraw(self, waiter: _Waiter) -> None:
        """Take a call out that is not to be sent, and its token back if it has one."""
        waiter.queue.remove(waiter)
        if waiter.turn is not None:
            self._next_at -= waiter.spacing
            self._end_turn(waiter)
        elif not self.queue.has_turn:
            self._set_timer()

    def may_leave(self, waiter: _Waiter) -> bool:
        """Return whether a call that has a token can be sent, now that there is a slot."""
        if not self._is_in_time(waiter):
            self.withdraw(waiter)
            return False
        if self._hold_until > self._clock():  # throttled since it got its token
            self._next_at -= waiter.spacing
            waiter.queue.remove(waiter)
            waiter.enter(self.queue, first=True)
            self._end_turn(waiter)
            return False
        return True

    def leave(self, waiter: _Waiter) -> None:
        """Send a call that has a token and now a slot."""
        waiter.future.set_result(self._permit(waiter.spacing, waited=waiter.waited))
        self._end_turn(waiter)

    def _take_token(self) -> float:
        """Take a token; return how many seconds of the bucket that is."""
        spacing = 1 / self.rate
        self._next_at = max(self._next_at, self._clock() - self._slack) + spacing
        return spacing

    def _permit(self, spacing: float, *, waited: bool) -> Permit:
        now = self._clock()
        self._sent = 1 + self._sent * math.exp((self._sent_at - now) / MEASURED_SECONDS)
        self._sent_at = now
        return Permit(self._operation, self._cuts, self._sent, spacing, waited, now)

    def _serve(self) -> None:
        """Give tokens to the calls whose turn it is; the others wait for the timer."""
        now = self._clock()
        while self.queue.has_turn and self._ready_at <= now:
            waiter, share = self.queue.peek()
            if not self._is_in_time(waiter):
                self.queue.remove(waiter)
                continue
            self.queue.take(waiter, share)
            waiter.spacing = self._take_token()
            if self._slots.take():
                waiter.future.set_result(self._permit(waiter.spacing, waited=waiter.waited))
            else:
                waiter.turn = share
                self._slotless += 1
                self.queue.pause(share)
                waiter.enter(self._slots.queue, first=False)
        self._set_timer()

    def _end_turn(self, waiter: _Waiter) -> None:
        """The call no longer waits for a slot: its share has turns here again."""
        turn, waiter.turn = waiter.turn, None
        if turn is not None:
            self._slotless -= 1
            self.queue.resume(turn)
            self._serve()

    def _is_in_time(self, waiter: _Waiter) -> bool:
        """Return whether a call whose turn it is can be sent; refuse it if its time has passed."""
        if waiter.future.done():  # cancelled, and its task has not run since
            return False
        if waiter.requesters.give_up_at - self._duration.most < self._clock():
            waiter.future.set_exception(self._refusal(waiter.requesters))
            return False
        return True

    def _cancelled(self, waiter: _Waiter) -> None:
        """The task that waits was cancelled, perhaps after its call was let go."""
        future = waiter.future
        if future.cancelled():
            self.withdraw(waiter)
        elif future.exception() is None:
            self._limiter.unused(future.result())

    def _turn(self, ahead: float) -> float:
        """Return when a call gets a token that has `ahead` before it."""
        return max(self._ready_at + ahead / self.rate, self._clock())

    def _turns_before(self, requesters: Requesters) -> int:
        """Return how many calls go before one that is queued now for these requesters."""
        return min(map(self.queue.turns_before, requesters.shares), default=0)

    def _refuse_if_hopeless(self, requesters: Requesters) -> None:
        """Refuse a call that cannot be served in time, or whose requesters have too many waiting.

        Where demand exceeds the rate, all calls are admitted in the last moment. Without
        time left for the response, AWS would be called in vain, call after call.

        Raises:
            errors.TaskgateError: RESOURCE_EXHAUSTED, see `RateLimiter.admit`.
        """
        free = self._limiter.limits.max_waiting - len(self.queue)
        is_full = all(self.queue.length(share) >= free for share in requesters.shares)
        give_up_at = requesters.give_up_at - self._duration.most
        if is_full or self._turn(self._turns_before(requesters)) > give_up_at:
            raise self._refusal(requesters)

    def _refuse_the_late(self) -> None:
        """Refuse, after a throttle, the calls that can no longer be served in time."""
        first, spacing, most = self._turn(0), 1 / self.rate, self._duration.most

        def is_late(waiter: _Waiter, ahead: int) -> bool:
            return first + ahead * spacing > waiter.requesters.give_up_at - most

        for waiter in self.queue.remove_late(is_late):
            if not waiter.future.done():
                waiter.future.set_exception(self._refusal(waiter.requesters))

    def _set_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self.queue.has_turn:
            seconds = max(self._ready_at - self._clock(), MIN_TIMER_SECONDS)
            self._timer = self._limiter.call_later(seconds, self._serve)

    def _refusal(self, requesters: Requesters) -> errors.TaskgateError:
        spec, rate, ahead = self._limiter.spec, self.rate, self._turns_before(requesters)
        own = max(map(self.queue.length, requesters.shares), default=0)
        seconds = max(
            self._turn(ahead) - self._clock(), ahead * self._duration.most / self._slots.count
        )
        limit = (
            f"{self._operation} is limited to {rate:.3g} calls/s"
            if rate < math.inf
            else f"no connection is free for {self._operation}"
        )
        message = (
            f"{spec.title}: {limit} and {len(self)} calls wait, {own} of them of this caller:"
            f" retry in {seconds:.1f} s, use a longer deadline, accept older responses (max_age)"
            " or raise the AWS quota"
        )
        violation = error_details_pb2.QuotaFailure.Violation(
            subject=f"{spec.name}:{self._operation}",  # as in IAM
            description=message,
            api_service=spec.error_domain,
        )
        origin = errors.Origin(
            service=spec.name,
            title=spec.title,
            domain=spec.error_domain,
            operation=self._operation,
        )
        return errors.QuotaError(
            origin,
            message,
            details=[
                errors.retry_info(seconds),
                error_details_pb2.QuotaFailure(violations=[violation]),
            ],
        )
