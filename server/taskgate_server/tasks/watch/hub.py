"""All pollers of a target: found by what is watched, and by what has changed."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextvars import Context
from random import Random
from typing import TypeAlias, TypeVar

from taskgate_server.background_tasks import BackgroundTask, Supervision
from taskgate_server.tasks.backend import Backends, TaskBackend
from taskgate_server.tasks.names import Parent
from taskgate_server.tasks.watch.change_log import Revisions
from taskgate_server.tasks.watch.hints import RemoteHints
from taskgate_server.tasks.watch.named_poller import NamedPoller, NamedTasks
from taskgate_server.tasks.watch.poll_interval import Budget
from taskgate_server.tasks.watch.poller import Poller, PollerContext
from taskgate_server.tasks.watch.resume import EPOCH_BYTES
from taskgate_server.tasks.watch.shared_parents import SharedParents
from taskgate_server.tasks.watch.shared_poller import SharedPoller
from taskgate_server.tasks.watch.sources import Reader
from taskgate_server.tasks.watch.whole_poller import WholePoller

P = TypeVar("P", bound=Poller)

Key: TypeAlias = tuple[str, bool]
"""The name of a parent or of a group of named tasks, and whether all fields are read."""

View: TypeAlias = WholePoller | NamedTasks
"""A part of the tasks of a poller, which a subscription watches."""


class Hub:
    """The pollers of all AWS services: one for each parent that is watched.

    Args:
        backends: of the AWS services.
        calls_per_second: of all pollers of a service together, by its name.
        clock: monotonic seconds.
        random: for jitter.
        linger: seconds for which a poller without watchers is kept, so that they can resume.
        supervision: restarts pollers that fail.
        shared: the parents that this server shares with other replicas; None if none.
    """

    def __init__(  # noqa: PLR0913  # what is shared by all pollers is an argument
        self,
        backends: Backends,
        calls_per_second: Mapping[str, float],
        *,
        clock: Callable[[], float] = time.monotonic,
        random: Random | None = None,
        linger: float = 60.0,
        supervision: Supervision | None = None,
        shared: SharedParents | None = None,
    ) -> None:
        self.backends = backends
        self.clock = clock
        self.revisions = Revisions(secrets.token_bytes(EPOCH_BYTES))
        self.stopping = False
        self.stop_callbacks: set[Callable[[], None]] = set()
        """Called when the server begins to stop; one for each watch and wait."""
        self._contexts = {
            name: PollerContext(
                backend=backend,
                sources=backend.gateway.spec.load("watch").Sources(Reader(backend, clock)),
                revisions=self.revisions,
                budget=Budget(calls_per_second[name], clock),
                clock=clock,
                random=random or Random(),  # noqa: S311  # jitter is no secret
                linger=linger,
            )
            for name, backend in backends.by_service.items()
        }
        self.parent_kinds = {
            kind for each in self._contexts.values() for kind in each.sources.parent_kinds
        }
        """The kinds of `NameTemplate.parent_kinds` that can be watched."""
        self._shared = shared
        self._hints = RemoteHints(shared) if shared is not None else None
        self._sends_hints = False
        self._whole: dict[Key, WholePoller] = {}
        self._named: dict[Key, NamedPoller] = {}
        self._supervision = supervision or Supervision()
        self._loops: set[asyncio.Task[None]] = set()

    # --- Watches -------------------------------------------------------------------------------

    def poll_parent(self, backend: TaskBackend, parent: Parent, *, full_view: bool) -> WholePoller:
        """Return the poller of a parent; start it if there is none."""
        context = self._contexts[backend.gateway.spec.name]
        key = parent.name, full_view and context.sources.has_views
        poller = self._whole.get(key)
        if poller is None or poller.gone or poller.ended:
            source = context.sources.of_parent(parent, full_view=key[1])
            if self._shared is None:
                poller = WholePoller(source, context, parent)
            else:
                shared = self._shared.parent(parent.name, full_view=key[1])
                poller = SharedPoller(source, context, parent, shared)
            self._start(self._whole, key, poller)
        return poller

    def poll_task(self, backend: TaskBackend, name: str, *, full_view: bool) -> NamedPoller:
        """Return the poller that reads a task by name; start it if there is none."""
        context = self._contexts[backend.gateway.spec.name]
        key = context.sources.group_of(name), full_view and context.sources.has_views
        poller = self._named.get(key)
        if poller is None or poller.ended:
            source = context.sources.of_group(key[0], full_view=key[1])
            poller = NamedPoller(source, context)
            self._start(self._named, key, poller)
        return poller

    # --- Reasons to read -----------------------------------------------------------------------

    def refresh(self, name: str) -> None:
        """Read a task at once for its watchers, after AWS has responded to a write of it."""
        for poller in self._pollers_of_task(name):
            poller.read_now([name])
        self._hint_elsewhere(name, name)

    def hint(self, name: str) -> None:
        """Read soon a task or the tasks of a parent; an event may be late or incomplete."""
        backend = self.backends.by_service.get(name.partition("/")[0])
        if backend is None:
            return
        if backend.names.is_task(name):
            self.refresh(name)
        else:
            for poller in self._whole_pollers(backend.names.parents_of(name).values()):
                poller.sweep_soon()
            self._hint_elsewhere(name, None)

    # --- Shutdown ------------------------------------------------------------------------------

    def stop(self) -> None:
        """End all watches with a last message. Call it when the server begins to stop."""
        self.stopping = True
        for callback in list(self.stop_callbacks):
            callback()

    async def close(self) -> None:
        """End all pollers. Call it when there are no watches any more."""
        self.stopping = True
        loops = list(self._loops)
        for loop in loops:
            loop.cancel()
        await asyncio.gather(*loops, return_exceptions=True)

    def __len__(self) -> int:
        """Return the number of pollers, and of the loop that sends hints if there is one."""
        return len(self._loops)

    @property
    def watchers(self) -> int:
        """The number of watches and waits."""
        return len(self.stop_callbacks)

    def _pollers_of_task(self, name: str) -> Iterator[Poller]:
        """Yield the pollers with watchers of a task."""
        context = self._contexts[name.partition("/")[0]]
        yield from self._whole_pollers(context.backend.names.parents_of(name).values())
        group = context.sources.group_of(name)
        for full_view in (False, True):
            poller = self._named.get((group, full_view))
            if poller is not None and poller.watches(name):
                yield poller

    def _whole_pollers(self, names: Iterable[str]) -> Iterator[Poller]:
        for name in names:
            for full_view in (False, True):
                poller = self._whole.get((name, full_view))
                if poller is not None and poller.is_watched:
                    yield poller

    def _hint_elsewhere(self, name: str, task: str | None) -> None:
        """Send a hint to the replicas that poll the parents of a name, if no poller here does."""
        if self._hints is None:
            return
        context = self._contexts[name.partition("/")[0]]
        kinds = context.sources.parent_kinds
        for kind, parent in context.backend.names.parents_of(name).items():
            for full_view in {False, context.sources.has_views} if kind in kinds else ():
                poller = self._whole.get((parent, full_view))
                if poller is None or not poller.is_watched:
                    self._hints.add(parent, task, full_view=full_view)
        if not self._sends_hints:
            self._sends_hints = True
            self._run(BackgroundTask("hints", self._hints.run))

    def _start(self, pollers: dict[Key, P], key: Key, poller: P) -> None:
        pollers[key] = poller

        def ended(_: asyncio.Task[None]) -> None:
            if pollers.get(key) is poller:
                del pollers[key]

        self._run(BackgroundTask("poller", poller.run)).add_done_callback(ended)

    def _run(self, task: BackgroundTask) -> asyncio.Task[None]:
        # In an empty context: its calls are not part of the RPC that happens to start it.
        running = self._supervision.keep_running(task)
        loop = asyncio.get_running_loop().create_task(running, context=Context())
        loop.add_done_callback(self._loops.discard)
        self._loops.add(loop)
        return loop
