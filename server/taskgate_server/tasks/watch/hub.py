"""All pollers of a server, and the way to each: by what is watched, and by what has changed."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextvars import Context
from dataclasses import dataclass
from functools import partial
from random import Random
from typing import Final, TypeVar

from taskgate_server.background_tasks import BackgroundTask, Supervision
from taskgate_server.tasks.backend import Backends, TaskBackend
from taskgate_server.tasks.names import Parent
from taskgate_server.tasks.watch.change_log import ChangeLog, Sequence
from taskgate_server.tasks.watch.named_poller import NamedPoller
from taskgate_server.tasks.watch.parent_end import Parents
from taskgate_server.tasks.watch.poll_interval import Budget
from taskgate_server.tasks.watch.poller import Means, Poller, Timing
from taskgate_server.tasks.watch.resume import BOOT_BYTES
from taskgate_server.tasks.watch.sources import Watching, load_watching
from taskgate_server.tasks.watch.whole_poller import WholePoller

BURST_CALLS: Final = 3
"""What the pollers of an AWS service may call at once after a pause."""


P = TypeVar("P", bound=Poller)


@dataclass(frozen=True, slots=True)
class Key:
    """What a poller is for."""

    name: str
    """A parent's name, or that of a group of named tasks."""
    full_view: bool


class Hub:
    """The pollers of all AWS services: one for each parent that is watched.

    Args:
        backends: of the AWS services.
        calls_per_second: the rate of all pollers of a service together, by its name.
        clock: monotonic seconds.
        random: for jitter.
        timing: what is chosen for pollers.
        supervision: restarts pollers that fail.
    """

    def __init__(
        self,
        backends: Backends,
        calls_per_second: Mapping[str, float],
        *,
        clock: Callable[[], float] = time.monotonic,
        random: Random | None = None,
        timing: Timing | None = None,
        supervision: Supervision | None = None,
    ) -> None:
        self.backends = backends
        self.clock = clock
        self.sequence = Sequence()
        self.boot = secrets.token_bytes(BOOT_BYTES)
        """Which server process this is, for resume tokens."""
        self.stopping = False
        self._watching: dict[str, Watching] = {
            name: load_watching(backend, clock) for name, backend in backends.by_service.items()
        }
        self._means = {
            name: Means(
                budget=Budget(calls_per_second[name], BURST_CALLS, clock=clock),
                clock=clock,
                random=random or Random(),  # noqa: S311  # jitter is no secret
                timing=timing or Timing(),
            )
            for name in backends.by_service
        }
        self._whole: dict[Key, WholePoller] = {}
        self._named: dict[Key, NamedPoller] = {}
        self._supervision = supervision or Supervision()
        self._loops: set[asyncio.Task[None]] = set()
        self._at_stop: set[Callable[[], None]] = set()

    # --- For those who watch -------------------------------------------------------------------

    def watching(self, backend: TaskBackend) -> Watching:
        """What is particular to the backend's service."""
        return self._watching[backend.gateway.spec.name]

    def whole(self, backend: TaskBackend, parent: Parent, *, full_view: bool) -> WholePoller:
        """The poller of a parent; there is one from now on, while it is watched."""
        service = self.watching(backend)
        key = Key(parent.name, full_view and service.has_views())
        poller = self._whole.get(key)
        if poller is None or poller.gone or poller.ended:
            source = service.whole(parent, full_view=key.full_view)
            change_log = ChangeLog(backend.task, self.sequence)
            read_parent = partial(Parents(backend).read, parent.name)
            means = self._means[backend.gateway.spec.name]
            poller = WholePoller(source, change_log, means, read_parent)
            self._start(self._whole, key, poller)
        return poller

    def named(self, backend: TaskBackend, name: str, *, full_view: bool) -> NamedPoller:
        """The poller of a task by its name."""
        service = self.watching(backend)
        key = Key(service.group(name), full_view and service.has_views())
        poller = self._named.get(key)
        if poller is None or poller.ended:
            source = service.named(key.name, full_view=key.full_view)
            change_log = ChangeLog(backend.task, self.sequence, tells_absent=True)
            means = self._means[backend.gateway.spec.name]
            poller = NamedPoller(source, change_log, means, Parents(backend))
            self._start(self._named, key, poller)
        return poller

    def at_stop(self, tell: Callable[[], None]) -> None:
        """Has somebody told when the server stops, until `forget_stop`."""
        self._at_stop.add(tell)

    def forget_stop(self, tell: Callable[[], None]) -> None:
        """It need not be told any more."""
        self._at_stop.discard(tell)

    # --- For those who know that something has changed -----------------------------------------

    def touched(self, name: str) -> None:
        """A task has been written to: whoever watches it is to see that at once.

        Call it when AWS has answered the write.
        """
        for poller in self._concerned(name):
            poller.touch([name])

    def hint(self, name: str) -> None:
        """Something has changed, says an event that may be late or lost.

        Args:
            name: of a task, or of a parent of tasks.
        """
        if "/tasks/" in name:
            self.touched(name)
            return
        for poller in self._whole_pollers(_above(name)):
            poller.poke()

    # --- The end -------------------------------------------------------------------------------

    def stop(self) -> None:
        """Ends all watches, with a word to each. Call it when the server begins to stop."""
        self.stopping = True
        for tell in list(self._at_stop):
            tell()

    async def close(self) -> None:
        """Ends all pollers. Call it when nobody watches any more."""
        self.stopping = True
        loops = list(self._loops)
        for loop in loops:
            loop.cancel()
        await asyncio.gather(*loops, return_exceptions=True)

    def __len__(self) -> int:
        """How many pollers there are."""
        return len(self._loops)

    @property
    def watchers(self) -> int:
        """How many watches and waits there are."""
        return len(self._at_stop)

    def _concerned(self, name: str) -> Iterator[Poller]:
        """The pollers that tell somebody of a task."""
        yield from self._whole_pollers(_above(name.rpartition("/tasks/")[0]))
        backend = self.backends.by_service.get(name.partition("/")[0])
        if backend is not None:
            group = self.watching(backend).group(name)
            for full_view in (False, True):
                poller = self._named.get(Key(group, full_view))
                if poller is not None and poller.watches(name):
                    yield poller

    def _whole_pollers(self, names: Collection[str]) -> Iterator[Poller]:
        for name in names:
            for full_view in (False, True):
                poller = self._whole.get(Key(name, full_view))
                if poller is not None and poller.is_watched:
                    yield poller

    def _start(self, pollers: dict[Key, P], key: Key, poller: P) -> None:
        pollers[key] = poller

        def ended(loop: asyncio.Task[None]) -> None:
            self._loops.discard(loop)
            if pollers.get(key) is poller:
                del pollers[key]

        # In no context: what it asks is not the doing of the RPC that happens to be the first.
        running = self._supervision.keep_running(BackgroundTask("poller", poller.run))
        loop = asyncio.get_running_loop().create_task(running, context=Context())
        loop.add_done_callback(ended)
        self._loops.add(loop)


def _above(name: str) -> list[str]:
    """The name and those of what holds it."""
    segments = name.split("/")
    return ["/".join(segments[:end]) for end in range(len(segments), 0, -2)]
