"""Subscriptions to views: they wait until the tasks are fresh, and then for changes."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from typing import Final

from grpc import StatusCode

from taskgate_server import errors
from taskgate_server.tasks.watch.hub import Hub, View
from taskgate_server.tasks.watch.poller import NEVER

MAX_AGE_SECONDS: Final = 1.0
"""The maximum age of the tasks with which a watch begins, when the request arrives."""

PATIENCE_SECONDS: Final = 2.0
"""How long a watch waits for fresh tasks if it has older ones. A large job takes longer."""

TRANSIENT_CODES: Final = frozenset(
    {
        StatusCode.ABORTED,
        StatusCode.DEADLINE_EXCEEDED,
        StatusCode.INTERNAL,
        StatusCode.RESOURCE_EXHAUSTED,
        StatusCode.UNAVAILABLE,
        StatusCode.UNKNOWN,
    }
)
"""Failures after which a retry may succeed."""


class Subscription:
    """A subscription to one or more views. It is woken for changes, and when the server stops.

    Args:
        hub: has the pollers.
        views: of the watched tasks.
        wants_settled: whether pollers find out when nothing changes until a caller acts.
        written_at: by the hub's clock, when the latest write ended that the tasks must show. The
            caller may have made it through another replica.
    """

    def __init__(
        self,
        hub: Hub,
        views: Sequence[View],
        *,
        wants_settled: bool = False,
        written_at: float = NEVER,
    ) -> None:
        self.hub = hub
        self.views = views
        self.wants_settled = wants_settled
        self.written_at = written_at
        self._woken = asyncio.Event()
        self.wake = self._woken.set

    @contextmanager
    def active(self) -> Iterator[None]:
        """Subscribe from the beginning of the block to its end."""
        with ExitStack() as stack:
            for view in self.views:
                view.attach(self)
                stack.callback(view.detach, self)
            self.hub.stop_callbacks.add(self.wake)
            stack.callback(self.hub.stop_callbacks.discard, self.wake)
            yield

    async def freshening(
        self, *, patient: bool = False, pause: float = math.inf
    ) -> AsyncGenerator[float, None]:
        """Wait until all tasks in view are fresh, or known and not to be had fresher soon.

        Tasks that were requested before `written_at` do not count as known.

        Args:
            patient: whether to wait without a limit: also if older tasks are known, and if a call
                to AWS failed in a way that may be transient.
            pause: the maximum time in seconds between two yields.

        Yields:
            Whenever tasks may have arrived: the time, by the clock, at or after which a request to
            AWS must have been sent for its response to be fresh.

        Raises:
            errors.TaskgateError: a call to AWS failed, and nothing is known.
        """
        now = self.hub.clock()
        since, patient_until = max(now - MAX_AGE_SECONDS, self.written_at), now + PATIENCE_SECONDS
        with ExitStack() as stack:
            for view in self.views:
                if view.checked_at() < since:
                    stack.enter_context(view.poller.awaited())
                    view.refresh(since)
            for view in self.views:
                while left := self._wait_seconds(view, since, patient_until, patient=patient):
                    await self.woken(min(left, pause))
                    yield since

    def _wait_seconds(
        self, view: View, since: float, patient_until: float, *, patient: bool
    ) -> float:
        """Return how many seconds to wait for a view to be fresh; 0 to use it as it is."""
        if view.checked_at() >= since:
            return 0.0
        if self.hub.stopping:
            raise errors.ServerStoppingError()
        is_known = view.checked_at() > NEVER and view.checked_at() >= self.written_at
        fault = view.fault(since)
        if is_known and fault is not None:
            return 0.0  # the cached state is sent, and heartbeats report its age
        if fault is not None and not (patient and fault.code in TRANSIENT_CODES):
            raise fault
        can_wait = patient or self.wants_settled or not is_known
        return math.inf if can_wait else max(patient_until - self.hub.clock(), 0.0)

    async def woken(self, seconds: float = math.inf) -> bool:
        """Wait to be woken, and return whether that happened in time."""
        with suppress(TimeoutError):
            async with asyncio.timeout(None if seconds == math.inf else seconds):
                await self._woken.wait()
        was_woken = self._woken.is_set()
        self._woken.clear()
        return was_woken
