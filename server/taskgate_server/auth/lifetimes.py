"""Ends long calls when their caller's token expires or the policy no longer allows them.

Other calls are too short for that. A watch, a wait, a followed log or an upload may last for days.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Final, TypeAlias

from taskgate_server import errors

Authorize: TypeAlias = Callable[[], errors.TaskgateError | None]
"""Authorizes a call again; returns the error for a call that is not allowed."""

CALLS_AT_ONCE: Final = 50
"""Calls that are authorized again, some 0.25 ms each, before the event loop runs other tasks."""


class Lifetime:
    """How long a call may last; a context manager in which the call is served.

    Args:
        authorize: authorizes the call again.
        seconds: until the caller's credential expires; None if it does not.
    """

    def __init__(self, authorize: Authorize, seconds: float | None) -> None:
        self.authorize = authorize
        self._seconds = seconds
        self._error: errors.TaskgateError | None = None
        self._scope: asyncio.Timeout | None = None

    async def __aenter__(self) -> None:
        self._scope = asyncio.timeout(self._seconds)
        await self._scope.__aenter__()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Leave the context.

        Raises:
            errors.TaskgateError: UNAVAILABLE after the credential has expired; PERMISSION_DENIED
                after the policy has changed.
        """
        if self._scope is None:
            return
        try:
            await self._scope.__aexit__(kind, error, trace)
        except TimeoutError:
            raise self._error or errors.credential_expired() from None

    def end(self, error: errors.TaskgateError) -> None:
        """End the call soon with an error."""
        if self._scope is not None and not self._scope.expired():
            self._error = error
            self._scope.reschedule(asyncio.get_running_loop().time())


class Lifetimes:
    """The lifetimes of the long calls in flight.

    Args:
        grace_seconds: how long a call may continue after its caller's credential has expired.
        clock: seconds since 1970.
        yield_turn: lets other tasks run.
    """

    def __init__(
        self,
        grace_seconds: float,
        clock: Callable[[], float] = time.time,
        yield_turn: Callable[[], Awaitable[None]] = lambda: asyncio.sleep(0),
    ) -> None:
        self._grace_seconds = grace_seconds
        self._clock = clock
        self._yield_turn = yield_turn
        self._open: set[Lifetime] = set()
        self._changed = asyncio.Event()

    def begin(self, authorize: Authorize, expires_at: float | None) -> Lifetime:
        """Return the lifetime of a call that begins now.

        Args:
            authorize: authorizes the call again.
            expires_at: when the caller's credential expires, in seconds since 1970.
        """
        seconds = None
        if expires_at is not None:
            seconds = max(expires_at + self._grace_seconds - self._clock(), 0.0)
        lifetime = Lifetime(authorize, seconds)
        self._open.add(lifetime)
        return lifetime

    def finish(self, lifetime: Lifetime) -> None:
        """Remove the lifetime of a call that has ended."""
        self._open.discard(lifetime)

    def authorize_soon(self) -> None:
        """Make `run` authorize all calls again, after a change of the policy."""
        self._changed.set()

    async def run(self) -> None:
        """Authorize all calls again after each change of the policy, until cancelled."""
        while True:
            await self._changed.wait()
            self._changed.clear()
            await self.authorize_again()

    async def authorize_again(self) -> None:
        """Authorize all calls again, and end those that are no longer allowed."""
        for number, lifetime in enumerate(list(self._open), 1):
            refused = lifetime.authorize()
            if refused is not None:
                lifetime.end(refused)
            if number % CALLS_AT_ONCE == 0:
                await self._yield_turn()
