"""Pollers call AWS for all who watch the same: one loop for a parent, however many watch it.

`Poller` decides when to call AWS, and handles failures. `WholePoller` reads all tasks of a parent,
`NamedPoller` reads tasks by name.

A poller does not end when AWS cannot be called: it keeps the tasks that it has read, reports their
age, and tries again. Without watchers it pauses, and ends after a while.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Coroutine, Iterator, Sized
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from random import Random
from typing import Any, Final, Protocol

from taskgate_server import errors
from taskgate_server.errors import TaskgateError
from taskgate_server.tasks.backend import TaskBackend
from taskgate_server.tasks.watch.change_log import ChangeLog, Revisions
from taskgate_server.tasks.watch.poll_interval import (
    ALLOWANCE_SECONDS,
    BURST_CALLS,
    Budget,
    Pace,
    PollInterval,
)
from taskgate_server.tasks.watch.sources import Poll, Source, WatchSources
from taskgate_server.telemetry.logs import log_bug

NEVER: Final = float("-inf")

FULL_AFTER_NEWS_SECONDS: Final = 120.0
"""The interval between full sweeps if something has changed since the latest one."""
FULL_SECONDS: Final = 600.0
"""The same if nothing has changed."""
SWEEP_SECONDS: Final = 0.2
"""The shortest interval between two sweeps that watchers request."""
GATHER_SECONDS: Final = 0.02
"""How long an urgent read waits for others, to be combined with them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PollerContext:
    """What all pollers of an AWS service share."""

    backend: TaskBackend
    sources: WatchSources
    revisions: Revisions
    """Of all change logs of the server."""
    budget: Budget
    """Of calls."""
    clock: Callable[[], float]
    """Monotonic seconds."""
    random: Random
    """For jitter."""
    linger: float
    """How long in seconds a poller without watchers is kept, so that they can resume."""


class Subscriber(Protocol):
    """A subscription, as pollers use it."""

    wants_settled: bool
    """Whether the poller has to find out when nothing changes until a caller acts."""

    def wake(self) -> None:
        """Report that there may be changes."""


class Poller:
    """The common part of both kinds of pollers, which store their subscribers differently.

    Args:
        source: reads the tasks.
        context: shared with the other pollers of the AWS service.
        reports_missing: see `ChangeLog`.
    """

    _subscribers: Sized

    def __init__(
        self, source: Source, context: PollerContext, *, reports_missing: bool = False
    ) -> None:
        self.change_log = ChangeLog(
            context.backend.task, context.revisions, reports_missing=reports_missing
        )
        self.gone = False
        """Whether AWS no longer has the parent."""
        self.ended = False
        """Whether it has stopped for good."""
        self.error: TaskgateError | None = None
        """Why the latest attempt failed; None if it did not."""
        self.failed_at = NEVER
        """When the latest failed attempt began."""
        self.swept_at = NEVER
        """When the latest successful sweep began."""
        self.began_at = NEVER
        """When the latest sweep began, which may be in progress."""
        self.next_at = NEVER
        """When the next sweep begins."""
        self._origin = self._make_origin(context)
        self._source = source
        self._context = context
        self._clock = context.clock
        budget = context.budget
        self._poll = self._make_poll(Pace(budget, (BURST_CALLS - 1) * budget.spacing))
        self._urgent_poll = self._make_poll(Pace(budget, ALLOWANCE_SECONDS))
        self._interval = PollInterval(context.random)
        self._full_at = NEVER
        self._news_since_full = False
        self._running: asyncio.Task[None] | None = None
        self._waiting = 0
        self._urgent: set[str] = set()
        self._awake = asyncio.Event()
        self._has_urgent = asyncio.Event()

    @property
    def is_watched(self) -> bool:
        """Whether it has subscribers."""
        return bool(self._subscribers)

    @property
    def is_joining(self) -> bool:
        """Whether it may yet get the state of another replica, with which a watch can resume."""
        return False

    @property
    def is_loaded(self) -> bool:
        """Whether it has tasks with which a watch can resume."""
        return self.swept_at > NEVER and not self.gone

    async def run(self) -> None:
        """Poll AWS until there are no watchers, or nothing to watch.

        A failure of either loop ends both. The poller has not ended then: it can be run again.
        """
        self._running = asyncio.current_task()
        self.next_at = NEVER  # also after a sweep that a failure interrupted
        async with asyncio.TaskGroup() as group:
            companions = [group.create_task(loop) for loop in self._companions()]
            while not self.gone and await self._wait_for_watchers():
                await self._wait_until_due()
                if self.is_watched:
                    await self._attempt(self._sweep_once)
            self.ended = True
            for each in companions:
                each.cancel()

    @contextmanager
    def awaited(self) -> Iterator[None]:
        """Wake all watchers after each sweep in the block, even if nothing has changed."""
        self._waiting += 1
        try:
            yield
        finally:
            self._waiting -= 1

    def _end_if_unused(self) -> None:
        """End when the last watcher has left and there is nothing with which one can resume.

        A sweep that waits for its permit is cancelled: otherwise a caller could open watches and
        leave them faster than AWS's quota allows sweeps, and each would keep a poller.
        """
        if self.is_watched or self.is_loaded:
            self._awake.set()
            return
        self.ended = True
        if self._running is not None:
            self._running.cancel()

    def sweep_soon(self) -> None:
        """Sweep soon: something has changed, or a new watcher needs a fresher state."""
        self._interval.reset()
        self.next_at = min(self.next_at, self.began_at + SWEEP_SECONDS)
        self._awake.set()

    def read_now(self, names: Collection[str]) -> None:
        """Read tasks at once: they were changed, or a watcher waits for them."""
        self._interval.reset()
        self._urgent.update(names)
        self._has_urgent.set()

    # --- Implemented by both kinds -------------------------------------------------------------

    async def _sweep(self, *, full: bool) -> None:
        raise NotImplementedError

    async def _read(self, names: Collection[str]) -> None:
        raise NotImplementedError

    def _wake(self, changed: Collection[str], *, everyone: bool) -> None:
        raise NotImplementedError

    async def _find_end(self, swept_at: float) -> None:
        """Find out, for watchers that want to know, what never changes again by itself.

        Args:
            swept_at: when the sweep began that has just succeeded.

        Raises:
            TaskgateError: AWS refused the request or could not be reached.
        """
        raise NotImplementedError

    def _make_origin(self, context: PollerContext) -> ChangeLog:  # noqa: ARG002  # for subclasses
        """Return where sources store what they read."""
        return self.change_log

    def _make_poll(self, pace: Pace) -> Poll:
        return Poll(change_log=self._origin, pace=pace, publish=self._publish)

    def _has_unsettled(self) -> bool:
        return not self.change_log.all_settled

    # --- The loops -----------------------------------------------------------------------------

    def _companions(self) -> list[Coroutine[Any, Any, None]]:
        """Return the loops that run beside the sweeps."""
        return [self._serve_urgent()]

    async def _wait_for_watchers(self) -> bool:
        """Return whether there are watchers; wait for one if there is something to resume."""
        if not self.is_watched and self.is_loaded:
            with suppress(TimeoutError):
                async with asyncio.timeout(self._context.linger):
                    while not self.is_watched:
                        self._awake.clear()
                        await self._awake.wait()
        return self.is_watched

    async def _wait_until_due(self) -> None:
        while self.is_watched:
            self._awake.clear()
            pause = self.next_at - self._clock()
            if pause <= 0:
                return
            with suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._awake.wait()

    async def _attempt(self, work: Callable[[], Awaitable[None]]) -> None:
        """Run a sweep or a read, store its failure, and wake the watchers."""
        began, fault = self._clock(), None
        try:
            await work()
        except TaskgateError as error:
            fault = error.with_traceback(None)
        except Exception as error:  # noqa: BLE001  # a bug must not end the watches
            log_bug(error, poller=type(self).__name__)
            fault = errors.BugError()
        if fault is not None:
            self.error, self.failed_at = fault, began
            self.next_at = self._clock() + self._interval.back_off()
        self._publish(everyone=fault is not None)

    def _publish(self, *, everyone: bool = False) -> None:
        changed = self.change_log.take_changed()
        self._news_since_full |= bool(changed)
        self._wake(changed, everyone=everyone)

    async def _sweep_once(self) -> None:
        """Sweep, and set when the next sweep begins."""
        began = self.began_at = self._clock()
        # Meanwhile, whoever needs a fresher state sets `next_at`.
        self.next_at = float("inf")
        revision = self.change_log.latest_revision
        pause = FULL_AFTER_NEWS_SECONDS if self._news_since_full else FULL_SECONDS
        full = began >= self._full_at + pause
        await self._sweep(full=full)
        if full:
            self._full_at, self._news_since_full = began, False
        self.swept_at, self.error = began, None
        await self._find_end(began)
        changed = self.change_log.latest_revision != revision
        pause = self._interval.next(changed=changed, unsettled=self._has_unsettled())
        self.next_at = min(self.next_at, self._clock() + pause)
        self._publish(everyone=bool(self._waiting))
        fault = self._origin.take_fault()
        if fault is not None:
            raise fault

    def _sweep_again(self, at: float, *, pause: float) -> None:
        """Sweep at a time at the latest, but only after a pause in seconds."""
        self.next_at = min(self.next_at, max(at, self._clock() + pause))

    async def _serve_urgent(self) -> None:
        """Read urgent tasks, also during a long sweep."""
        while True:
            await self._has_urgent.wait()
            await asyncio.sleep(GATHER_SECONDS)
            self._has_urgent.clear()
            names, self._urgent = self._urgent, set()
            await self._attempt(partial(self._read, names))
            # These tasks are likely to change again soon.
            soon = self._clock() + self._interval.next(changed=True, unsettled=True)
            self.next_at = min(self.next_at, soon)
