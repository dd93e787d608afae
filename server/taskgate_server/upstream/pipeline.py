"""A call with all that stands between it and AWS: retries, circuit breaker, quota, a thread.

Each attempt takes a token of the quota and a slot of its own. The gateway and its batches call
`UpstreamPipeline.send`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from taskgate_server import errors
from taskgate_server.upstream.aws_client.sender import AwsResponse, Sender
from taskgate_server.upstream.aws_client.threads import STUCK_SECONDS
from taskgate_server.upstream.circuit_breaker import CircuitBreaker
from taskgate_server.upstream.rate_limit.limiter import RateLimiter
from taskgate_server.upstream.rate_limit.token_bucket import Permit
from taskgate_server.upstream.requesters import AbandonedError, Requesters
from taskgate_server.upstream.retries import Retries, is_throttle


def _nothing() -> None:
    pass


@dataclass(frozen=True, slots=True)
class UpstreamPipeline:
    """Sends calls to one AWS service at the pace that it allows."""

    sender: Sender
    limiter: RateLimiter
    breaker: CircuitBreaker
    retries: Retries

    async def send(
        self,
        operation: str,
        params: Mapping[str, Any],
        requesters: Requesters,
        *,
        repeatable: bool,
        ended: Callable[[], None] = _nothing,
        permit: Permit | None = None,
    ) -> AwsResponse:
        """Call an operation, again where that is of use.

        Args:
            operation: its AWS name.
            params: as boto3 takes them.
            requesters: for whom; they may change until the call ends.
            repeatable: whether AWS may get the call twice: a read, or a write with a token.
            ended: called at each attempt, when AWS has responded or will not.
            permit: to send the first attempt, if there is one already.

        Raises:
            errors.TaskgateError: the error of the last attempt.
            requesters.AbandonedError: no requester is left, and the call waited to be sent.
        """
        permits = [permit] if permit is not None else []

        async def attempt(_: int) -> AwsResponse:
            while True:
                admitted = (
                    permits.pop() if permits else await self.admit(operation, requesters, params)
                )
                changes = requesters.changes
                try:
                    return await self._send_once(
                        operation, params, requesters, admitted, ended=ended, is_read=repeatable
                    )
                except errors.TimeLimitError:
                    if not repeatable or requesters.changes == changes:
                        raise
                    # Else another requester with more time has joined.

        return await self.retries.run(
            attempt, repeatable=repeatable, give_up_at=lambda: requesters.give_up_at
        )

    async def admit(
        self, operation: str, requesters: Requesters, params: Mapping[str, Any] | None = None
    ) -> Permit:
        """Wait until the call may be sent.

        Args:
            operation: by its AWS name.
            requesters: for whom; they may change meanwhile.
            params: those of the call, as far as they are known already.

        Raises:
            errors.TaskgateError: it cannot be in time, or the circuit breaker is open.
            requesters.AbandonedError: no requester is left.
        """
        while True:
            self.breaker.check(operation, params)  # before queueing for a call that is refused
            changes = requesters.changes
            try:
                return await self.limiter.admit(operation, requesters)
            except (errors.TaskgateError, AbandonedError):
                if requesters.changes == changes:
                    raise
                # Else another requester has joined, for whom it may be different.

    async def _send_once(
        self,
        operation: str,
        params: Mapping[str, Any],
        requesters: Requesters,
        permit: Permit,
        *,
        ended: Callable[[], None],
        is_read: bool,
    ) -> AwsResponse:
        timer: asyncio.TimerHandle | None = None

        def has_ended() -> None:
            self.limiter.ended(permit)
            ended()

        try:
            with self.breaker.passing(operation, params, is_read=is_read) as sent:

                def leaving() -> None:
                    nonlocal timer
                    sent()
                    requesters.sent()
                    # A hanging call gives its slot to others; see `STUCK_SECONDS`.
                    timer = self.limiter.call_later(
                        STUCK_SECONDS, lambda: self.limiter.ended(permit)
                    )

                response = await self.sender.send(
                    operation,
                    params,
                    time_limit=requesters.give_up_at - self.limiter.clock(),
                    leaving=leaving,
                    ended=has_ended,
                    causes=requesters.spans,
                )
        except errors.TaskgateError as error:
            self._learn(error, permit)
            raise
        finally:
            if timer is not None:
                timer.cancel()
            self.limiter.ended(permit)
        self.limiter.answered(permit)
        return response

    def _learn(self, error: errors.TaskgateError, permit: Permit) -> None:
        if is_throttle(error):
            self.limiter.throttled(permit, error.retry_after)
        elif isinstance(error, errors.CircuitOpenError):
            self.limiter.unused(permit)
        elif error.domain != errors.TASKGATE_DOMAIN:
            self.limiter.answered(permit)
