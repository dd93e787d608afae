"""Authentication: the caller of a call, by token or client certificate.

Nothing before this stage costs more than constant time and memory, and the request message is not
read yet. An address that presents many invalid credentials is refused before they are verified;
callers whose credentials were valid before are not affected.
"""

from __future__ import annotations

from typing import Final

from grpc import StatusCode

from taskgate_server import errors
from taskgate_server.auth.authentication import ANONYMOUS, Caller, Callers
from taskgate_server.auth.limits import address_of, token_buckets
from taskgate_server.calls import CallContext

FAILURES_PER_SECOND: Final = 50.0
"""Credentials of one address that may fail verification in a second: each costs about 0.2 ms, and
callers behind one proxy share an address."""


class Authentication:
    """Identifies the caller of each call.

    Args:
        callers: verifies credentials.
    """

    def __init__(self, callers: Callers) -> None:
        self._callers = callers
        self._failures = token_buckets(FAILURES_PER_SECOND)

    async def enter(self, call: CallContext) -> CallContext:
        """See `Stage.enter`."""
        caller = self._callers.find_verified(call.wire)
        if caller is None:
            caller = await self._verify(call)
        name = str(caller)
        return call._replace(
            principal=caller,
            caller=name,
            requester=name if caller != ANONYMOUS else address_of(call.wire.peer()),
            expires_at=caller.expires_at,
        )

    async def _verify(self, call: CallContext) -> Caller:
        wire = call.wire
        # Its failure is cheap and does not count: it must not delay others at the address.
        was_verified = self._callers.was_verified(wire)
        failures = self._failures(address_of(wire.peer()))
        wait = failures.seconds_until(1.0)
        if wait and not was_verified:
            raise errors.CallerLimitError(
                "failed_authentications_per_second", FAILURES_PER_SECOND, wait
            )
        try:
            return await self._callers.verify(wire)
        except errors.TaskgateError as error:
            if error.code is StatusCode.UNAUTHENTICATED:
                failures.take()
            raise
