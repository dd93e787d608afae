"""Subscriptions to pollers: they wait until what is watched is fresh, and for changes."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from typing import Final

from grpc import StatusCode

from taskgate_server import errors
from taskgate_server.tasks.watch.hub import Hub
from taskgate_server.tasks.watch.poller import NEVER
from taskgate_server.tasks.watch.views import View

MAX_AGE_SECONDS: Final = 1.0
"""How old what a watch begins with may be when it comes."""

PATIENCE_SECONDS: Final = 2.0
"""How long a watch waits for that where something is known: a sweep of a large job takes longer."""

MAY_PASS: Final = frozenset(
    {
        StatusCode.ABORTED,
        StatusCode.DEADLINE_EXCEEDED,
        StatusCode.INTERNAL,
        StatusCode.RESOURCE_EXHAUSTED,
        StatusCode.UNAVAILABLE,
        StatusCode.UNKNOWN,
    }
)
"""Failures after which it is worth asking again."""


class Subscription:
    """A subscription to one or more views: is woken for changes, and when the server stops.

    Args:
        hub: of the pollers.
        views: what is watched.
        wants_settled: whether pollers find out when nothing changes until a caller acts.
    """

    def __init__(self, hub: Hub, views: Sequence[View], *, wants_settled: bool = False) -> None:
        self.hub = hub
        self.views = views
        self.wants_settled = wants_settled
        self._woken = asyncio.Event()
        self.wake = self._woken.set

    @contextmanager
    def active(self) -> Iterator[None]:
        """Subscribe from the beginning of the block to its end."""
        with ExitStack() as stack:
            for view in self.views:
                view.attach(self)
                stack.callback(view.detach, self)
            self.hub.at_stop(self.wake)
            stack.callback(self.hub.forget_stop, self.wake)
            yield

    async def fresh(self, *, patient: bool = False) -> None:
        """Wait until all that is in view is as of now; see `freshening`."""
        async for _ in self.freshening(patient=patient):
            pass

    async def freshening(
        self, *, patient: bool = False, pause: float | None = None
    ) -> AsyncGenerator[float, None]:
        """Wait until all that is in view is as of now; what is known already may be older.

        Args:
            patient: whether to wait as long as it takes: for what is known already, too, and when
                a call to AWS failed, if that may pass.
            pause: the longest time in seconds between two yields; None for any.

        Yields:
            Whenever something may have arrived: the time, by the clock, from which on AWS's answers
            are as of now.

        Raises:
            errors.TaskgateError: a call to AWS failed, and nothing is cached.
        """
        now = self.hub.clock()
        since, old_will_do_at = now - MAX_AGE_SECONDS, now + PATIENCE_SECONDS
        with ExitStack() as stack:
            for view in self.views:
                if not view.is_fresh(since):
                    stack.enter_context(view.poller.awaited())
                    view.want(since)
            for view in self.views:
                while left := self._wait_seconds(view, since, old_will_do_at, patient=patient):
                    await self.woken(min(left, math.inf if pause is None else pause))
                    yield since

    def _wait_seconds(
        self, view: View, since: float, old_will_do_at: float, *, patient: bool
    ) -> float:
        """Return how long to wait for a view to be fresh; 0 if it will do as it is."""
        if view.is_fresh(since):
            return 0.0
        if self.hub.stopping:
            raise errors.ServerStoppingError()
        is_known, fault = view.checked_at() > NEVER, view.fault(since)
        if is_known and fault is not None:
            return 0.0  # the cached state is sent, and heartbeats report its age
        if fault is not None and not (patient and fault.code in MAY_PASS):
            raise fault
        can_wait = patient or self.wants_settled or not is_known
        return math.inf if can_wait else max(old_will_do_at - self.hub.clock(), 0.0)

    async def woken(self, seconds: float = math.inf) -> bool:
        """Waits to be woken; False if that does not happen in time."""
        with suppress(TimeoutError):
            async with asyncio.timeout(None if seconds == math.inf else seconds):
                await self._woken.wait()
        was_woken = self._woken.is_set()
        self._woken.clear()
        return was_woken
