"""Asks AWS for all who watch the same: one loop for a parent, however many watch it.

`Poller` knows when to ask, and what became of it. `whole_poller` has all tasks of a parent,
`named_poller` tasks by name, those alone that somebody watches.

A poller does not end because AWS cannot be asked. It keeps what it knows, says how old that is, and
asks again later. Without watchers it asks nothing, and waits a while for one to come back.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from random import Random
from typing import Protocol

from taskgate_server import errors
from taskgate_server.errors import TaskgateError
from taskgate_server.tasks.watch.change_log import ChangeLog
from taskgate_server.tasks.watch.poll_interval import Budget, PollInterval
from taskgate_server.tasks.watch.sources import Source
from taskgate_server.telemetry import log_bug

NEVER = float("-inf")


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """What is chosen, in seconds."""

    linger: float = 60.0
    """How long a poller is kept that nobody watches, so that watchers can come back."""
    full_after_news: float = 120.0
    """After how long all is read again, when something has changed since the last time."""
    full: float = 600.0
    """The same when nothing has changed."""
    settled_by_name: float = 30.0
    """After how long a named task that has settled is read again."""
    between_calls: float = 0.2
    """The least pause between two sweeps that somebody asked for."""
    gather: float = 0.02
    """How long a read of tasks waits for others to go with it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Means:
    """What all pollers of an AWS service share."""

    budget: Budget
    """Of calls."""
    clock: Callable[[], float]
    """Monotonic seconds."""
    random: Random
    """For jitter."""
    timing: Timing


class Wakes(Protocol):
    """A watcher, as a poller knows it."""

    wants_settled: bool
    """Whether to find out when nothing changes until a caller acts."""

    def wake(self) -> None:
        """Something is there to be told."""


class Poller:
    """What both kinds of poller do.

    Args:
        source: reads the tasks.
        change_log: has what was read.
        means: that it shares with others.
    """

    def __init__(self, source: Source, change_log: ChangeLog, means: Means) -> None:
        self.change_log = change_log
        self.gone = False
        """AWS has the parent no longer."""
        self.ended = False
        """It asks nothing any more."""
        self.error: TaskgateError | None = None
        """Why AWS could not be asked lately."""
        self.failed_at = NEVER
        """When the latest attempt began that failed."""
        self.swept_at = NEVER
        """When the latest sweep began that did not."""
        self.began_at = NEVER
        """When the latest sweep began, which may be going on."""
        self.next_at = NEVER
        """When AWS is to be asked again."""
        self._source = source
        change_log.tell = self._publish
        self._budget = means.budget
        self._clock = means.clock
        self._timing = means.timing
        self._rhythm = PollInterval(means.random)
        self._full_at = NEVER
        self._news_since_full = False
        self._running: asyncio.Task[None] | None = None
        self._waiting = 0
        self._urgent: set[str] = set()
        self._awake = asyncio.Event()
        self._urgently = asyncio.Event()

    @property
    def is_watched(self) -> bool:
        """Whether anybody is to be told."""
        raise NotImplementedError

    @property
    def is_loaded(self) -> bool:
        """Whether anything is known that a watcher may come back to."""
        return self.swept_at > NEVER and not self.gone

    async def run(self) -> None:
        """Poll AWS until there are no watchers, or nothing to watch.

        A failure of either loop ends both. The poller has not ended then: it can be run again.
        """
        self._running = asyncio.current_task()
        self.next_at = NEVER  # also after a sweep that a failure interrupted
        async with asyncio.TaskGroup() as group:
            urgent = group.create_task(self._serve_urgent())
            while not self.gone and await self._has_watchers():
                await self._until_due()
                if self.is_watched:
                    await self._attempt(self._round)
            self.ended = True
            urgent.cancel()

    @contextmanager
    def awaited(self) -> Iterator[None]:
        """Around waiting for a sweep: its end is then told even if nothing has changed."""
        self._waiting += 1
        try:
            yield
        finally:
            self._waiting -= 1

    def _end_if_unused(self) -> None:
        """End when the last watcher has left and nothing is known that one may come back to.

        A sweep that waits for its permit is cancelled: otherwise a caller could open watches and
        leave them faster than AWS's quota allows sweeps, and each would keep a poller.
        """
        if self.is_watched or self.is_loaded:
            self._awake.set()
            return
        self.ended = True
        if self._running is not None:
            self._running.cancel()

    def poke(self) -> None:
        """Asks AWS soon: something has changed, or somebody came who must not get what is old."""
        self._rhythm.quicken()
        self.next_at = min(self.next_at, self.began_at + self._timing.between_calls)
        self._awake.set()

    def touch(self, names: Collection[str]) -> None:
        """Reads these tasks at once: they have been changed, or somebody waits for them."""
        self._rhythm.quicken()
        self._urgent.update(names)
        self._urgently.set()

    # --- What the two kinds do differently -----------------------------------------------------

    async def _sweep(self, *, full: bool) -> None:
        raise NotImplementedError

    async def _read(self, names: Collection[str]) -> None:
        raise NotImplementedError

    def _wake_for(self, changed: Collection[str], *, all_of_them: bool) -> None:
        raise NotImplementedError

    async def _find_end(self, swept_at: float) -> bool:
        """Find out, for watchers that want to know, what never changes again by itself.

        Args:
            swept_at: when the sweep began that has just succeeded.

        Returns:
            Whether there is more of it than before.

        Raises:
            TaskgateError: AWS refused the request or could not be reached.
        """
        raise NotImplementedError

    def _moving(self) -> bool:
        return not self.change_log.all_settled

    # --- The loops -----------------------------------------------------------------------------

    async def _has_watchers(self) -> bool:
        """Waits for one, if there is none, as long as it is worth it."""
        if not self.is_watched and self.is_loaded:
            with suppress(TimeoutError):
                async with asyncio.timeout(self._timing.linger):
                    while not self.is_watched:
                        self._awake.clear()
                        await self._awake.wait()
        return self.is_watched

    async def _until_due(self) -> None:
        while self.is_watched:
            self._awake.clear()
            pause = self.next_at - self._clock()
            if pause <= 0:
                return
            with suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._awake.wait()

    async def _attempt(self, work: Callable[[], Awaitable[None]]) -> None:
        """Does it, and tells the watchers what became of it."""
        began = self._clock()
        failed = True
        try:
            await work()
            failed = False
        except TaskgateError as error:
            self._failed(error, began)
        except Exception as error:  # noqa: BLE001  # a bug must not end the watches
            log_bug(error, poller=type(self).__name__)
            self._failed(errors.BugError(), began)
        self._publish(all_of_them=failed)

    def _failed(self, error: TaskgateError, began: float) -> None:
        self.error, self.failed_at = error.with_traceback(None), began
        self.next_at = self._clock() + self._rhythm.after_failure()

    def _publish(self, *, all_of_them: bool = False) -> None:
        changed = self.change_log.take_changed()
        self._news_since_full |= bool(changed)
        self._wake_for(changed, all_of_them=all_of_them)

    async def _round(self) -> None:
        """One sweep, and when the next one is due."""
        began = self.began_at = self._clock()
        # While it lasts, whoever wants a fresher one sets `next_at` anew.
        self.next_at = float("inf")
        number = self.change_log.latest
        pause = self._timing.full_after_news if self._news_since_full else self._timing.full
        full = began >= self._full_at + pause
        await self._sweep(full=full)
        if full:
            self._full_at, self._news_since_full = began, False
        self.swept_at, self.error = began, None
        has_ended = await self._find_end(began)
        news = self.change_log.latest != number
        pause = self._rhythm.after(news=news, moving=self._moving())
        self.next_at = min(self.next_at, self._clock() + pause)
        self._publish(all_of_them=has_ended or bool(self._waiting))
        if self.change_log.fault is not None:
            fault, self.change_log.fault = self.change_log.fault, None
            raise fault

    def _sweep_again(self, at: float, *, pause: float) -> None:
        """Sweep at a time, if not before, but only after a pause in seconds."""
        self.next_at = min(self.next_at, max(at, self._clock() + pause))

    async def _serve_urgent(self) -> None:
        """Reads what cannot wait, also while a long sweep goes on."""
        while True:
            await self._urgently.wait()
            await asyncio.sleep(self._timing.gather)
            self._urgently.clear()
            names, self._urgent = self._urgent, set()
            await self._attempt(partial(self._read, names))
            # What was worth reading at once moves, most likely.
            soon = self._clock() + self._rhythm.after(news=True, moving=True)
            self.next_at = min(self.next_at, soon)
