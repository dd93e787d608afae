"""A stage of the pipeline: what happens to a call before its behaviour serves it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Protocol, TypeAlias

from taskgate_server.calls import Call, Rpc

Enter: TypeAlias = Callable[[Call], Awaitable[None]]
"""Let a call pass, or refuse it by raising errors.TaskgateError. What has to happen when the call
ends is added to `Call.ends`."""


class Stage(Protocol):
    """One of the stages that `pipeline` lists."""

    def of(self, rpc: Rpc) -> Enter | None:
        """Return the stage for the calls of an RPC; None if it has nothing to do for them.

        Called once for each RPC, so that nothing is looked up again at each call.
        """
