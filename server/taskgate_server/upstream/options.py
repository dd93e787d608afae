"""Options of a call to AWS that its caller decides."""

from __future__ import annotations

import enum
import math
from dataclasses import dataclass
from typing import Final, NamedTuple

from taskgate_server.calls import CallContext

POLLERS: Final = "pollers"
"""The requester of all background pollers. Names of authenticated callers begin with their kind,
such as `User`, so no caller has this one."""


class Priority(enum.IntEnum):
    """The order in which calls use a quota; the lowest value goes first."""

    INTERACTIVE = 0
    POLLER = 1

    __hash__ = int.__hash__  # the enum's own is Python code, and shares are hashed for each call


class Share(NamedTuple):
    """The share of a quota that a call may use, and at which priority."""

    priority: Priority
    requester: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CallOptions:
    """How long a call may take, how old its response may be, and its use of the quota."""

    timeout: float | None = None
    """Seconds until the caller stops waiting; None for the server's default, inf for no limit."""
    max_age: float | None = None
    """Maximum age of the response in seconds; None for the server's default. Writes are always
    sent."""
    since_write: float = math.inf
    """The response is not older than these seconds either, see `CallContext.since_write`."""
    priority: Priority = Priority.INTERACTIVE
    may_retry: bool = True
    """Whether a failed call may be sent again."""
    requester: str = ""
    """Whose share of the quota the call uses: `CallContext.requester`, or `POLLERS`."""

    @classmethod
    def of(cls, call: CallContext, *, max_age: float | None = None) -> CallOptions:
        """Return the options of the AWS calls that serve an RPC, whose own `max_age` is default."""
        return cls(
            timeout=call.time_remaining(),
            max_age=call.max_age if max_age is None else max_age,
            since_write=call.since_write,
            requester=call.requester,
        )
