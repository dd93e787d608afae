"""What pollers need of an AWS service: `Source`, which one module here has for each.

How to see cheaply what has changed is particular to each service; when to look is not.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Final, Protocol, TypeAlias

from grpc import StatusCode

from taskgate_server import errors
from taskgate_server.errors import TaskgateError
from taskgate_server.tasks.backend import TaskBackend
from taskgate_server.tasks.names import Parent
from taskgate_server.tasks.watch.change_log import ChangeLog
from taskgate_server.tasks.watch.poll_interval import Pace
from taskgate_server.upstream.options import POLLERS, CallOptions, Priority
from taskgate_server.upstream.request import plan_operation

TIME_LIMIT_SECONDS: Final = 30.0
"""For one call of a poller."""

OPTIONS: Final = CallOptions(
    timeout=TIME_LIMIT_SECONDS, max_age=0, priority=Priority.POLLER, requester=POLLERS
)
"""Of the calls of all pollers."""

Faults: TypeAlias = dict[str, TaskgateError]
"""Why tasks could not be read, by name."""


class Source(Protocol):
    """Reads the tasks of one parent, or any of a service, into a ledger."""

    async def sweep(self, change_log: ChangeLog, pace: Pace, *, full: bool) -> None:
        """Brings the ledger up to date with AWS.

        Args:
            change_log: what is known so far.
            pace: asked before each call.
            full: whether all is to be read, also what seems not to have changed.

        Raises:
            TaskgateError: AWS could not be asked; NOT_FOUND if it has no such parent.
        """

    async def read(self, change_log: ChangeLog, names: Collection[str], pace: Pace) -> Faults:
        """Brings some tasks up to date; what could not be read is in what it returns."""


class Watching(Protocol):
    """Makes the sources of one AWS service; the class `Watching` of the module named after it."""

    parent_kinds: Collection[str]
    """What can be watched as a whole, of `NameTemplate.parent_kinds`."""

    def __init__(self, reader: Reader) -> None: ...

    def whole(self, parent: Parent, *, full_view: bool) -> Source:
        """All tasks of a parent."""

    def named(self, group: str, *, full_view: bool) -> Source:
        """Tasks by name; only `read` of it is called."""

    def group(self, name: str) -> str:
        """A name for all tasks that one source reads with the fewest calls."""

    def has_views(self) -> bool:
        """Whether TASK_VIEW_FULL tells more than BASIC."""


def load_watching(backend: TaskBackend, clock: Callable[[], float]) -> Watching:
    """The `Watching` of a backend's service."""
    module = import_module(f"taskgate_server.services.{backend.gateway.spec.name}.watch")
    watching: Watching = module.Watching(Reader(backend, clock))
    return watching


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """An answer of AWS's."""

    value: Mapping[str, Any]
    sent_at: float
    """When AWS was asked, by the clock: what it says may be as old as that."""
    observe_time: float
    """When the answer came, in seconds since 1970."""


@dataclass(frozen=True, slots=True)
class Reader:
    """Asks AWS for a poller: after everybody else, and never for an answer that is kept."""

    backend: TaskBackend
    clock: Callable[[], float]

    async def ask(self, operation: str, params: Mapping[str, Any]) -> Said:
        """An answer to a question sent from now on.

        Raises:
            TaskgateError: as AWS answers.
        """
        sent_at = self.clock()
        response = await self.backend.gateway.call(operation, params, OPTIONS)
        return Said(value=response.value, sent_at=sent_at, observe_time=response.observe_time)

    async def pages(
        self, operation: str, params: Mapping[str, Any], token: str, pace: Pace
    ) -> AsyncIterator[Said]:
        """A list, page by page.

        Args:
            operation: that lists; its answers say in `nextToken` where they go on.
            params: all but the token.
            token: the parameter that takes `nextToken`.
            pace: asked before each page.
        """
        more: str | None = None
        while True:
            await pace.take()
            said = await self.ask(operation, {**params, **({token: more} if more else {})})
            yield said
            more = said.value.get("nextToken")
            if not more:
                return

    async def get_each(
        self,
        change_log: ChangeLog,
        names: Collection[str],
        pace: Pace,
        members: Collection[str] | None = None,
    ) -> Faults:
        """Reads tasks by name, as many in one call as the service allows.

        Args:
            change_log: told what AWS says.
            names: the tasks'.
            pace: asked before each call.
            members: those of AWS's answer that count; all if None.
        """
        operation = self.backend.names.operation
        batch = plan_operation(self.backend.gateway.spec, operation).batch
        size = batch.max_items if batch else 1
        faults: Faults = {}

        async def one(name: str) -> None:
            sent_at = self.clock()
            try:
                said = await self.ask(operation, self.backend.names.parse(name, "name"))
            except TaskgateError as error:
                if error.code is StatusCode.NOT_FOUND:
                    change_log.lose(name, sent_at)
                else:
                    faults[name] = error
                return
            response = {
                member: value
                for member, value in said.value.items()
                if members is None or member in members
            }
            change_log.see(name, response, said.sent_at, said.observe_time)

        for some in batched(list(names), size):
            await pace.take()
            # Together: the gateway makes one call of them.
            await asyncio.gather(*(one(name) for name in some))
            change_log.tell()
        return faults


def row_id(row: Mapping[str, Any], member: str, operation: str) -> str:
    """Return the id of a list's row.

    Raises:
        TaskgateError: UNKNOWN, it has none. A watch must not leave the row out silently.
    """
    found = row.get(member)
    if not found:
        raise errors.UnreadableResponseError(operation)
    return str(found)


def batched(items: Sequence[str], size: int) -> Iterator[Sequence[str]]:
    """The items in their order, `size` at a time."""
    for start in range(0, len(items), size):
        yield items[start : start + size]


def raise_first(faults: Faults) -> None:
    """Raises one of the faults, if there are any."""
    for error in faults.values():
        raise error
