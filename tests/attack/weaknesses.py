"""Functions that each turn off one defence, by replacing its implementation."""

from __future__ import annotations

from collections import Counter
from contextlib import nullcontext
from typing import Any

from taskgate_server import connection_limits, large_requests, wire_records
from taskgate_server.auth import decisions, lifetimes, limits, scopes
from taskgate_server.calls import CallContext
from taskgate_server.pipeline import (
    authentication,
    caller_limits,
    metadata,
    reception,
    refusals,
)

UNLIMITED = 10**12


def replace(owner: Any, name: str, value: Any) -> None:
    """Replace the implementation of a defence, which must exist for the control to be valid."""
    getattr(owner, name)
    setattr(owner, name, value)


def none() -> None:
    """Leave all defences on."""


def work_before_permission() -> None:
    """Read and parse requests of callers that no policy permits anything."""
    replace(decisions.Decisions, "may_permit", lambda *_: True)
    replace(scopes, "MAX_RESOURCES", UNLIMITED)
    replace(wire_records, "exceeds", lambda *_: False)
    replace(large_requests.LargeRequests, "of", lambda *_: None)


def work_before_limits() -> None:
    """Accept any target name, and process calls before the rate limits."""
    replace(metadata, "_target", lambda name: name)

    async def enter(_: object, call: CallContext) -> CallContext:
        return call

    replace(caller_limits.LimitCallers, "enter", enter)
    unsampled_refusals()


def unsampled_refusals() -> None:
    """Give each refused call a line of its own in the log."""

    async def hold(*_: object) -> None:
        """Send all refusals at once."""

    replace(refusals.Refusals, "hold", hold)


def unlimited_failures() -> None:
    """Verify as many credentials of one address as it sends."""
    replace(authentication, "FAILURES_PER_SECOND", UNLIMITED)


def unlimited_streams() -> None:
    """Let each caller have any number of streams, with any number of messages."""

    def admit(*_: object, **__: object) -> Any:
        return lambda: None

    replace(limits.CallerLimits, "admit", admit)
    replace(limits.CallerLimits, "admit_message", lambda *_: 0.0)


def unlimited_connections() -> None:
    """Let each address have any number of connections."""

    replace(connection_limits.ConnectionLimits, "check", lambda *_: Counter())


def endless_patience() -> None:
    """Wait for the next message of a request without a limit."""

    async def receive(call: CallContext, _: object) -> Any:
        return await call.wire.read()

    replace(reception, "_next", receive)


def endless_authority() -> None:
    """Authorize long calls only at their start."""
    replace(lifetimes.Lifetimes, "limit", lambda *_: nullcontext())
