"""Rate limits: how many calls and streams a caller, or an address without identity, may have."""

from __future__ import annotations

from taskgate_server.auth.limits import CallerLimits, address_of
from taskgate_server.calls import CallContext


class LimitCallers:
    """Admits each call against the limits of its requester.

    Args:
        limits: counts the calls of each requester.
    """

    def __init__(self, limits: CallerLimits) -> None:
        self._limits = limits

    async def enter(self, call: CallContext) -> CallContext:
        """See `Stage.enter`."""
        finish = self._limits.admit(call.requester, stream=call.rpc.is_stream)
        call.record.ends.append(lambda _: finish())
        return call


class IdentifyAddress:
    """Makes the address of a call its requester, for RPCs that need no authentication."""

    async def enter(self, call: CallContext) -> CallContext:
        """See `Stage.enter`."""
        return call._replace(requester=address_of(call.wire.peer()))
