"""The pipeline of one AWS service: retries, circuit breaker, rate limiter, sender.

The gateway and its batches send every call with `UpstreamPipeline.send`. Each attempt takes a token
and a slot of its own.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any, Final

from taskgate_server import errors
from taskgate_server.upstream.aws_client.sender import AwsResponse, Sender
from taskgate_server.upstream.circuit_breaker import CircuitBreaker
from taskgate_server.upstream.in_flight import AbandonedError, Requesters
from taskgate_server.upstream.rate_limit.limiter import RateLimiter
from taskgate_server.upstream.rate_limit.token_bucket import STUCK_SECONDS, Permit
from taskgate_server.upstream.retries import Retries, is_throttle

UNCERTAIN_SECONDS: Final = 5.0
"""AWS may still execute a call for about this time after its connection was closed."""


@dataclass(frozen=True, slots=True)
class UpstreamPipeline:
    """Sends calls to one AWS service within its quotas."""

    sender: Sender
    limiter: RateLimiter
    breaker: CircuitBreaker
    retries: Retries

    async def send(  # noqa: PLR0913  # what a call consists of
        self,
        operation: str,
        params: Mapping[str, Any],
        requesters: Requesters,
        *,
        repeatable: bool,
        may_retry: bool = True,
        on_ended: Callable[[float], None] = lambda _: None,
        permit: Permit | None = None,
    ) -> AwsResponse:
        """Call an operation, with retries.

        Args:
            operation: AWS name.
            params: as boto3 takes them.
            requesters: who waits for the call; they may change until it ends.
            repeatable: whether AWS may execute the call twice: a read, or a write with a token.
            may_retry: whether it may be sent twice at all; a payload that is passed on may not.
            on_ended: called when an attempt has ended, with the seconds for which AWS may still
                execute it.
            permit: of the first attempt, if the call has been admitted already.

        Raises:
            errors.TaskgateError: of the last attempt.
            in_flight.AbandonedError: no requester is left, and the call was not sent.
        """
        permits = [permit] if permit is not None else []

        async def attempt(_: int) -> AwsResponse:
            while True:
                admitted = (
                    permits.pop() if permits else await self.admit(operation, requesters, params)
                )
                changes = requesters.changes
                tracking = self.breaker.track(operation, params, is_read=repeatable)
                try:
                    with self._tracking(admitted, requesters, tracking, on_ended) as sent:
                        return await self.sender.send(operation, params, requesters, on_sent=sent)
                except errors.TimeLimitError:
                    if not repeatable or requesters.changes == changes:
                        raise
                    # Otherwise a requester with a later deadline has joined.

        return await self.retries.run(
            attempt,
            repeatable=repeatable,
            give_up_at=lambda: requesters.give_up_at if may_retry else -math.inf,
        )

    async def admit(
        self, operation: str, requesters: Requesters, params: Mapping[str, Any] | None = None
    ) -> Permit:
        """Wait until a call may be sent; see `send`. Parameters are passed if known already.

        Raises:
            errors.TaskgateError: it cannot be sent in time, or the circuit breaker is open.
            in_flight.AbandonedError: no requester is left.
        """
        while True:
            self.breaker.check(operation, params)  # before queueing for a call that is refused
            changes = requesters.changes
            try:
                return await self.limiter.admit(operation, requesters)
            except (errors.TaskgateError, AbandonedError):
                if requesters.changes == changes:
                    raise
                # Otherwise a requester has joined that may be admitted.

    @contextmanager
    def _tracking(
        self,
        permit: Permit,
        requesters: Requesters,
        tracking: AbstractContextManager[Callable[[], None]],
        on_ended: Callable[[float], None],
    ) -> Iterator[Callable[[], None]]:
        """Enclose an attempt; yields what to call when it is sent."""
        limiter = self.limiter
        timer: asyncio.TimerHandle | None = None
        responded = False

        try:
            with tracking as mark_sent:

                def sent() -> None:
                    nonlocal timer
                    mark_sent()
                    requesters.on_sent()
                    timer = limiter.call_later(STUCK_SECONDS, permit.release_slot)

                yield sent
            responded = True
        except errors.TaskgateError as error:
            responded = error.domain != errors.TASKGATE_DOMAIN
            self._record_error(error, permit)
            raise
        finally:
            if timer is not None:
                timer.cancel()
            permit.release_slot()
            on_ended(0.0 if responded else UNCERTAIN_SECONDS)
        limiter.record_response(permit)

    def _record_error(self, error: errors.TaskgateError, permit: Permit) -> None:
        if is_throttle(error):
            self.limiter.record_throttle(permit, error.retry_after)
        elif isinstance(error, errors.CircuitOpenError):
            permit.return_unused()
        elif error.domain != errors.TASKGATE_DOMAIN:
            self.limiter.record_response(permit)
