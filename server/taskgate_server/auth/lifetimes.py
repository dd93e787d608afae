"""Ends long calls when their caller's token expires or the policy no longer allows them.

Other calls are too short for that. A watch, a wait, a followed log or an upload may last for days.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final, TypeAlias

from taskgate_server import errors

Authorize: TypeAlias = Callable[[], errors.TaskgateError | None]
"""Authorizes a call again; returns the error for a call that is not allowed."""

CALLS_AT_ONCE: Final = 50
"""Calls that are authorized again, some 0.25 ms each, before the event loop runs other tasks."""


@dataclass(slots=True, eq=False)
class _Lifetime:
    """How long a call in flight may last."""

    authorize: Authorize
    scope: asyncio.Timeout
    error: errors.TaskgateError | None = None
    """The error that the call ends with if the policy no longer allows it."""


class Lifetimes:
    """The lifetimes of the long calls in flight.

    Args:
        grace_seconds: how long a call may continue after its caller's credential has expired.
        clock: seconds since 1970.
    """

    def __init__(self, grace_seconds: float, clock: Callable[[], float] = time.time) -> None:
        self._grace_seconds = grace_seconds
        self._clock = clock
        self._open: set[_Lifetime] = set()
        self._changed = asyncio.Event()

    @asynccontextmanager
    async def limit(self, authorize: Authorize, expires_at: float | None) -> AsyncIterator[None]:
        """Return a context in which a call is served, and which ends it.

        Args:
            authorize: authorizes the call again.
            expires_at: when the caller's credential expires, in seconds since 1970.

        Raises:
            errors.TaskgateError: UNAVAILABLE after the credential has expired; PERMISSION_DENIED
                after the policy has changed.
        """
        seconds = None
        if expires_at is not None:
            seconds = max(expires_at + self._grace_seconds - self._clock(), 0.0)
        lifetime = _Lifetime(authorize, asyncio.timeout(seconds))
        self._open.add(lifetime)
        try:
            async with lifetime.scope:
                yield
        except TimeoutError:
            if not lifetime.scope.expired():
                raise  # it is the behaviour's own
            # UNAVAILABLE makes clients reconnect; they send a new token then.
            raise lifetime.error or errors.OwnError(
                errors.Reason.STREAM_TOKEN_EXPIRED,
                "the token of this stream has expired: reconnect with a new one",
            ) from None
        finally:
            self._open.discard(lifetime)

    def authorize_soon(self) -> None:
        """Make `run` authorize all calls again, after a change of the policy."""
        self._changed.set()

    async def run(self) -> None:
        """Authorize all calls again after each change of the policy, until cancelled."""
        while True:
            await self._changed.wait()
            self._changed.clear()
            for number, lifetime in enumerate(list(self._open), 1):
                if lifetime in self._open and not lifetime.scope.expired():
                    refused = lifetime.authorize()
                    if refused is not None:
                        lifetime.error = refused
                        lifetime.scope.reschedule(asyncio.get_running_loop().time())
                if number % CALLS_AT_ONCE == 0:
                    await asyncio.sleep(0)  # other tasks run
