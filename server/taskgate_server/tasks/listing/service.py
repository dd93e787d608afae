"""TaskService.ListTasks: pages of AWS's, filtered and completed, until a page of ours is full.

A page of ours may end within one of AWS's: the page token then has AWS's token of that page and how
many of its rows have been told. AWS is asked again for the whole page, and the first rows skipped.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Container, Sequence
from dataclasses import dataclass, field, replace

from grpc import StatusCode

from taskgate.v1 import task_pb2, task_service_pb2
from taskgate_server import errors
from taskgate_server.calls import CallContext
from taskgate_server.tasks.backend import TaskBackend
from taskgate_server.tasks.listing import page_tokens
from taskgate_server.tasks.listing.page import Page
from taskgate_server.tasks.listing.page_tokens import Cursor
from taskgate_server.tasks.listing.request import MAX_IN_PAGE, Wanted
from taskgate_server.tasks.response_size import count_fitting
from taskgate_server.upstream.options import CallOptions

MAX_CALLS = 20
"""Calls for AWS's lists in one request: a page of few matches ends short then."""

MAX_COMPLETED_SINGLY = 100
"""Tasks in a page where each takes a call of its own to be complete."""

ENOUGH_SHARE = 0.5
"""No further page is read from AWS once a response has this share of its largest size: most of the
page's rows would have no room."""


@dataclass(slots=True)
class _Collected:
    """What has been found for one page of ours."""

    room: int
    """How many tasks still have room."""
    max_bytes: int
    """Of the tasks together."""
    tasks: list[task_pb2.Task] = field(default_factory=list)
    calls: int = 0
    bytes: int = 0
    total_size: int | None = None
    incomplete_reason: str | None = None

    def add(self, page: Page, tasks: Sequence[task_pb2.Task]) -> None:
        self.tasks += tasks
        self.room -= len(tasks)
        self.calls += page.calls
        self.bytes += sum(task.ByteSize() for task in tasks)
        self.incomplete_reason = self.incomplete_reason or page.incomplete_reason
        if self.total_size is None:
            self.total_size = page.total_size

    def count_fitting(self, tasks: Sequence[task_pb2.Task]) -> int:
        """Return how many of the next tasks have room; one if there is none yet."""
        count = count_fitting(tasks, self.max_bytes - self.bytes)
        return max(count, 1) if tasks and not self.tasks else count

    @property
    def is_enough(self) -> bool:
        return (
            self.room <= 0 or self.calls >= MAX_CALLS or self.bytes >= self.max_bytes * ENOUGH_SHARE
        )


async def list_tasks(
    wanted: Wanted, call: CallContext, max_bytes: int, clock: Callable[[], float] = time.monotonic
) -> task_service_pb2.ListTasksResponse:
    """Return the requested page.

    Args:
        wanted: the request.
        call: the call.
        max_bytes: of the response's tasks together. A page has one task at least.
        clock: monotonic seconds.

    Raises:
        errors.TaskgateError: as AWS answers.
    """
    backend, arrived = wanted.backend, clock()
    word = wanted.filter.only_word(backend.states)
    found = _Collected(_room(wanted), max_bytes)
    cursor: Cursor | None = wanted.cursor
    while cursor is not None and not found.is_enough:
        options = _options(wanted, call, clock() - arrived)
        size = found.room + cursor.skip if wanted.filter.expression is None else MAX_IN_PAGE
        page = await backend.list_page(wanted.parent, cursor, size, options, word=word)
        rows, told = await _select(wanted, page, cursor.skip, found.room, options)
        count = found.count_fitting([task for _, task in rows])
        if count < len(rows):
            told = rows[count][0]
        found.add(page, [task for _, task in rows[:count]])
        is_cut = told < len(page.tasks)
        cursor = replace(cursor, skip=told) if is_cut else page.next
        if count < len(rows):
            break
    return task_service_pb2.ListTasksResponse(
        tasks=found.tasks,
        next_page_token=page_tokens.encode(cursor, wanted.identity) if cursor else "",
        total_size=found.total_size,
        incomplete_reason=found.incomplete_reason,
    )


def _room(wanted: Wanted) -> int:
    completed_singly = wanted.view == task_pb2.TASK_VIEW_FULL and not wanted.backend.gets_in_batches
    return min(wanted.page_size, MAX_COMPLETED_SINGLY) if completed_singly else wanted.page_size


def _options(wanted: Wanted, call: CallContext, elapsed: float) -> CallOptions:
    # What was asked of AWS after the request arrived is fresh enough for the rest of it.
    max_age = call.max_age if wanted.max_age is None else wanted.max_age
    return CallOptions.of(call, max_age=None if max_age is None else max_age + elapsed)


async def _select(
    wanted: Wanted, page: Page, skip: int, room: int, options: CallOptions
) -> tuple[list[tuple[int, task_pb2.Task]], int]:
    """Return the requested tasks of a page of AWS's, and how many of its rows are done with.

    Each task is returned with its row's position in the page.
    """
    backend, matches = wanted.backend, wanted.filter.matches
    rows: list[tuple[int, task_pb2.Task]] = list(enumerate(page.tasks))[skip:]
    is_complete = not page.lacks
    if not is_complete and _needs(wanted, page.lacks):
        rows, is_complete = await _completed(backend, rows, options), True
    chosen = [(position, task) for position, task in rows if matches(task)]
    told = len(page.tasks)
    if len(chosen) > room:
        told = chosen[room - 1][0] + 1
        del chosen[room:]
    if wanted.view == task_pb2.TASK_VIEW_FULL and not is_complete:
        chosen = await _completed(backend, chosen, options)
    return chosen, told


def _needs(wanted: Wanted, lacks: Container[str]) -> bool:
    """Whether the filter looks at what the rows of AWS's list lack."""
    same = wanted.backend.same
    return any(each in same and same[each] in lacks for each in wanted.filter.fields)


async def _completed(
    backend: TaskBackend, rows: Sequence[tuple[int, task_pb2.Task]], options: CallOptions
) -> list[tuple[int, task_pb2.Task]]:
    """The rows' tasks with all that AWS tells of them, but for those that are gone meanwhile.

    Raises:
        errors.TaskgateError: any other error of one of them.
    """
    names = [task.name for _, task in rows]
    tasks = await backend.get_many(names, task_pb2.TASK_VIEW_FULL, options)
    completed = []
    for (position, _), task in zip(rows, tasks, strict=True):
        if isinstance(task, errors.TaskgateError):
            if task.code is not StatusCode.NOT_FOUND:
                raise task
        else:
            completed.append((position, task))
    return completed
