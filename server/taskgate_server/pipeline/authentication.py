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
from taskgate_server.auth.limits import TokenBuckets, address_of
from taskgate_server.calls import Call, Rpc, Wire, wire_of
from taskgate_server.pipeline.stage import Enter

FAILURES_PER_SECOND: Final = 50.0
"""Credentials of one address that may fail verification in a second: each costs about 0.2 ms, and
callers behind one proxy share an address."""


class Authentication:
    """Finds out the caller of each call.

    Args:
        callers: verifies credentials.
        failures: what each address may fail.
    """

    def __init__(self, callers: Callers, failures: TokenBuckets | None = None) -> None:
        self._callers = callers
        self._failures = failures or TokenBuckets(FAILURES_PER_SECOND)

    def of(self, rpc: Rpc) -> Enter | None:
        """See `Stage.of`."""
        return self._identify_address if rpc.is_public else self._authenticate

    async def _identify_address(self, call: Call) -> None:
        call.requester = address_of(wire_of(call).peer())

    async def _authenticate(self, call: Call) -> None:
        wire = wire_of(call)
        caller = self._callers.find_verified(wire)
        if caller is None:
            caller = await self._verify(call, wire)
        call.principal = caller
        call.caller = str(caller)
        call.expires_at = caller.expires_at
        call.requester = call.caller if caller != ANONYMOUS else address_of(wire.peer())

    async def _verify(self, call: Call, wire: Wire) -> Caller:
        call.requester = address = address_of(wire.peer())
        # What costs little does not count, so that it does not delay others at the address.
        self._callers.check_form(wire)
        wait = self._failures.seconds_until_token(address)
        if wait and not self._callers.was_verified(wire):
            raise errors.caller_limit(
                "failed_authentications_per_second", FAILURES_PER_SECOND, wait
            )
        try:
            return await self._callers.verify(wire)
        except errors.TaskgateError as error:
            if error.code is StatusCode.UNAUTHENTICATED:
                self._failures.take(address)
            raise
