"""A call with all that stands between it and AWS: retries, circuit breaker, quota, a thread.

Each attempt takes its own place in the quota. `PacedSender.send` is what the gateway and its
batches call; `Asker` is who they call for.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from taskgate_server import errors
from taskgate_server.telemetry import spans
from taskgate_server.upstream.breaker import Breaker
from taskgate_server.upstream.ratelimit import Permit, Priority, RateLimiter
from taskgate_server.upstream.retries import Retries, is_throttle
from taskgate_server.upstream.sender import Answer, Sender

if TYPE_CHECKING:
    from opentelemetry.trace import Span

CIRCUIT_OPEN = "UPSTREAM_CIRCUIT_OPEN"
QUOTA = "UPSTREAM_QUOTA"


def _nothing() -> None:
    pass


class Asker(Protocol):
    """Whom a call is for, who may be many."""

    @property
    def give_up_at(self) -> float:
        """When the last of them gives up, in the gateway's clock; it may grow as others join."""

    @property
    def priority(self) -> Priority:
        """Of the most urgent of them."""

    @property
    def causes(self) -> Sequence[Span]:
        """The spans of the RPCs that they serve, where those are traced."""

    def leaving(self) -> None:
        """Told each time that the call goes to a thread."""


@dataclass(frozen=True, slots=True)
class SoleAsker:
    """Somebody whose call is nobody else's."""

    give_up_at: float = math.inf
    priority: Priority = Priority.INTERACTIVE
    causes: Sequence[Span] = field(default_factory=spans.current)

    def leaving(self) -> None:
        """It makes no difference to them."""


@dataclass(frozen=True, slots=True)
class PacedSender:
    """Sends calls to one AWS service at the pace that it allows."""

    sender: Sender
    limiter: RateLimiter
    breaker: Breaker
    retries: Retries

    async def send(
        self,
        operation: str,
        params: Mapping[str, Any],
        asker: Asker,
        *,
        repeatable: bool,
        ended: Callable[[], None] = _nothing,
        permit: Permit | None = None,
    ) -> Answer:
        """Calls an operation, again where that is of use.

        Args:
            operation: by its AWS name.
            params: as boto3 takes them.
            asker: whom the call is for.
            repeatable: whether AWS may be asked twice: a read, or a write with a token.
            ended: told when AWS has been heard, at each attempt.
            permit: to send the first attempt, if there is one already.

        Raises:
            errors.TaskgateError: whatever went wrong last.
        """
        permits = [permit] if permit is not None else []

        async def attempt(_: int) -> Answer:
            while True:
                permit = permits.pop() if permits else await self.admit(operation, asker, params)
                give_up_at = asker.give_up_at
                try:
                    return await self._send_once(
                        operation, params, asker, permit, ended=ended, is_read=repeatable
                    )
                except errors.TaskgateError as error:
                    is_over = asker.give_up_at <= give_up_at
                    if error.reason != errors.TIME_LIMIT or not repeatable or is_over:
                        raise  # else somebody with more time has joined

        return await self.retries.run(attempt, repeatable=repeatable, give_up_at=asker.give_up_at)

    async def admit(
        self, operation: str, asker: Asker, params: Mapping[str, Any] | None = None
    ) -> Permit:
        """Wait for a place in the quota.

        Args:
            operation: by its AWS name.
            asker: whom the call is for.
            params: those of the call, as far as they are known already.

        Raises:
            errors.TaskgateError: there is none in time, or the service is not asked at present.
        """
        while True:
            self.breaker.check(operation, params)  # before queueing: nobody waits for a refusal
            give_up_at = asker.give_up_at
            try:
                return await self.limiter.admit(
                    operation, priority=asker.priority, give_up_at=give_up_at
                )
            except errors.TaskgateError:
                if asker.give_up_at <= give_up_at:
                    raise  # else somebody with more time has joined

    async def _send_once(
        self,
        operation: str,
        params: Mapping[str, Any],
        asker: Asker,
        permit: Permit,
        *,
        ended: Callable[[], None],
        is_read: bool,
    ) -> Answer:
        try:
            with self.breaker.passing(operation, params, is_read=is_read) as sent:

                def leaving() -> None:
                    sent()
                    asker.leaving()

                answer = await self.sender.send(
                    operation,
                    params,
                    time_limit=asker.give_up_at - self.limiter.clock(),
                    leaving=leaving,
                    ended=ended,
                    causes=asker.causes,
                )
        except errors.TaskgateError as error:
            self._learn(error, permit)
            raise
        self.limiter.answered(permit)
        return answer

    def _learn(self, error: errors.TaskgateError, permit: Permit) -> None:
        if is_throttle(error):
            self.limiter.throttled(permit, error.retry_after)
        elif error.reason == CIRCUIT_OPEN:
            self.limiter.unused(permit)
        elif error.domain != errors.TASKGATE_DOMAIN:
            self.limiter.answered(permit)
