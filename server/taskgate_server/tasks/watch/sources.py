"""Reading tasks from AWS for pollers: `Source`, of which each AWS service has its own.

How changes are found with few calls differs between the services; when to look does not.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol, TypeAlias

from grpc import StatusCode

from taskgate_server import errors
from taskgate_server.aws.paging import PagedOperation
from taskgate_server.errors import TaskgateError
from taskgate_server.tasks.backend import TaskBackend
from taskgate_server.tasks.names import Parent
from taskgate_server.tasks.watch.change_log import ChangeLog
from taskgate_server.tasks.watch.poll_interval import Pace
from taskgate_server.upstream.options import POLLERS, CallOptions, Priority
from taskgate_server.upstream.request import plan_operation

OPTIONS: Final = CallOptions(timeout=30.0, max_age=0, priority=Priority.POLLER, requester=POLLERS)
"""Of the calls of all pollers."""

Faults: TypeAlias = dict[str, TaskgateError]
"""Why tasks could not be read, by name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Poll:
    """What a source needs to read tasks."""

    change_log: ChangeLog
    """Stores the tasks."""
    pace: Pace
    """Delays the calls."""
    publish: Callable[[], None]
    """Wakes watchers; called after each response, so that they get its changes at once."""


class Source(Protocol):
    """Reads the tasks of one parent, or tasks by name, into a change log."""

    async def sweep(self, poll: Poll, *, full: bool) -> None:
        """Read all changes of a parent's tasks.

        Args:
            poll: where the tasks are stored.
            full: whether to read also tasks that seem unchanged.

        Raises:
            TaskgateError: AWS refused a request or could not be reached; NOT_FOUND if it has no
                such parent.
        """

    async def read(self, poll: Poll, names: Collection[str]) -> Faults:
        """Read tasks by name; return why some could not be read."""


class WatchSources(Protocol):
    """The sources of one AWS service: the class `Sources` in its module `watch`."""

    parent_kinds: Collection[str]
    """The keys of `ServiceSpec.parent_names` that can be watched."""

    has_views: bool
    """Whether TASK_VIEW_FULL has more fields than BASIC."""

    def __init__(self, reader: Reader) -> None: ...

    def of_parent(self, parent: Parent, *, full_view: bool) -> Source:
        """Return the source of all tasks of a parent."""

    def of_group(self, group: str, *, full_view: bool) -> Source:
        """Return the source of tasks by name; only its `read` is called."""

    def group_of(self, name: str) -> str:
        """Return the group of a task; tasks of one group are read together."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TimedResponse:
    """A response of AWS, with the times that determine its age."""

    value: Mapping[str, Any]
    sent_at: float
    """When the request was sent, by the clock."""
    observe_time: float
    """When AWS sent the response, in seconds since 1970."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TimedRows:
    """A page of a list, with the times of `TimedResponse`."""

    rows: Sequence[Mapping[str, Any]]
    sent_at: float
    observe_time: float


@dataclass(frozen=True, slots=True)
class Reader:
    """Calls AWS for pollers: with the lowest priority, and without cached responses."""

    backend: TaskBackend
    clock: Callable[[], float]

    async def call(self, operation: str, params: Mapping[str, Any]) -> TimedResponse:
        """Call an operation.

        Raises:
            TaskgateError: AWS refused the request or could not be reached.
        """
        sent_at = self.clock()
        response = await self.backend.gateway.call(operation, params, OPTIONS)
        return TimedResponse(
            value=response.value, sent_at=sent_at, observe_time=response.observe_time
        )

    async def pages(
        self, paged: PagedOperation, params: Mapping[str, Any], pace: Pace
    ) -> AsyncIterator[TimedRows]:
        """Yield the pages of a list, each as large as AWS allows."""
        token = ""
        while True:
            await pace.take()
            page = {**params, **paged.params(token, paged.max_size)}
            response = await self.call(paged.operation, page)
            found = paged.read(response.value)
            yield TimedRows(
                rows=found.rows, sent_at=response.sent_at, observe_time=response.observe_time
            )
            token = found.next_token
            if not token:
                return

    async def read_each(
        self, poll: Poll, names: Collection[str], members: Collection[str] | None = None
    ) -> Faults:
        """Read tasks by name, as many in one call as AWS allows.

        Args:
            poll: where the tasks are stored.
            names: of the tasks.
            members: the keys of AWS's response to store; all if None.

        Returns:
            Why tasks could not be read.
        """
        operation = self.backend.names.operation
        batch = plan_operation(self.backend.gateway.spec, operation).batch
        size = batch.max_items if batch else 1
        faults: Faults = {}

        async def read(name: str) -> None:
            sent_at = self.clock()
            try:
                ids = self.backend.names.parse(name, "name")
                response = await self.call(operation, self.backend.read_params(ids))
                found = self.backend.read_task(name, response.value)
            except TaskgateError as error:
                if error.code is StatusCode.NOT_FOUND:
                    poll.change_log.remove(name, sent_at)
                else:
                    faults[name] = error
                return
            value = {
                member: value
                for member, value in found.items()
                if members is None or member in members
            }
            poll.change_log.upsert(name, value, response.sent_at, response.observe_time)

        names = list(names)
        for start in range(0, len(names), size):
            await poll.pace.take()
            # Concurrently, so that the gateway combines them into one call.
            await asyncio.gather(*map(read, names[start : start + size]))
            poll.publish()
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


def raise_first(faults: Faults) -> None:
    """Raise one of the faults, if there are any."""
    for error in faults.values():
        raise error
