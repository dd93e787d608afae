"""Rate limits: how many calls and streams a caller, or an address without identity, may have."""

from __future__ import annotations

from taskgate_server.auth.limits import CallerLimits
from taskgate_server.calls import Call, Rpc
from taskgate_server.pipeline.stage import Enter


class LimitCallers:
    """Admits each call against the limits of its requester.

    Args:
        limits: counts the calls of each requester.
    """

    def __init__(self, limits: CallerLimits) -> None:
        self._limits = limits

    def of(self, rpc: Rpc) -> Enter | None:
        """See `Stage.of`."""
        is_stream = rpc.client_streams or rpc.server_streams
        admit = self._limits.admit

        async def enter(call: Call) -> None:
            call.ends.append(admit(call.requester, stream=is_stream))

        return enter
