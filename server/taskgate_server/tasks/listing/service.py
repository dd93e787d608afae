"""ListTasks: reads pages from AWS, filters and completes their tasks, and fills the response.

A response may end in the middle of an AWS page. Its page token then contains AWS's token of that
page and the number of rows that were returned. The next request reads the page again and skips
these rows.
"""

from __future__ import annotations

import time
from bisect import bisect_right
from collections.abc import Callable
from dataclasses import replace
from itertools import accumulate
from typing import Final, TypeAlias

from grpc import StatusCode

from taskgate.v1 import task_pb2, task_service_pb2
from taskgate_server import errors
from taskgate_server.calls import CallContext
from taskgate_server.tasks.backend import TaskBackend
from taskgate_server.tasks.listing import pages
from taskgate_server.tasks.listing.pages import Cursor, Page
from taskgate_server.tasks.listing.request import MAX_PAGE_SIZE, ListRequest
from taskgate_server.tasks.response_size import FIELD_BYTES
from taskgate_server.upstream.options import CallOptions

MAX_CALLS: Final = 20
"""AWS list calls for one response. If few tasks match the filter, the page is short."""

MAX_COMPLETED_SINGLY: Final = 100
"""Tasks in a response if AWS needs a call for each of them."""

FULL_SHARE: Final = 0.5
"""The share of the maximum response size after which no further AWS page is read: most of its rows
would not fit."""

Rows: TypeAlias = list[tuple[int, task_pb2.Task]]
"""Tasks with their positions in a page of AWS."""


async def list_tasks(
    request: ListRequest,
    call: CallContext,
    max_bytes: int,
    clock: Callable[[], float] = time.monotonic,
) -> task_service_pb2.ListTasksResponse:
    """Return the requested page.

    Args:
        request: what to list.
        call: the RPC.
        max_bytes: of the response's tasks together. A page has at least one task.
        clock: monotonic seconds.

    Raises:
        errors.TaskgateError: AWS refused a request or could not be reached.
    """
    backend, start_time = request.backend, clock()
    native_state = request.filter.only_native_state(backend.states)
    response = task_service_pb2.ListTasksResponse()
    room, calls, used_bytes = _max_tasks(request), 0, 0
    cursor: Cursor | None = request.cursor
    while cursor and room > 0 and calls < MAX_CALLS and used_bytes < max_bytes * FULL_SHARE:
        options = _options(request, call, clock() - start_time)
        size = room + cursor.skip if request.filter.expression is None else MAX_PAGE_SIZE
        page = await backend.list_page(
            request.parent, cursor, size, options, native_state=native_state
        )
        rows, done = await _select(request, page, cursor.skip, room, options)
        sizes = (task.ByteSize() + FIELD_BYTES for _, task in rows)
        totals = list(accumulate(sizes, initial=used_bytes))
        count = bisect_right(totals, max_bytes) - 1
        if rows and not response.tasks:
            count = max(count, 1)
        response.tasks.extend(task for _, task in rows[:count])
        room, calls, used_bytes = room - count, calls + page.calls, totals[count]
        if page.total_size is not None and not response.HasField("total_size"):
            response.total_size = page.total_size
        if page.incomplete_reason and not response.incomplete_reason:
            response.incomplete_reason = page.incomplete_reason
        if count < len(rows):
            cursor = replace(cursor, skip=rows[count][0])
            break
        cursor = replace(cursor, skip=done) if done < len(page.tasks) else page.next
    if cursor:
        response.next_page_token = pages.encode(cursor, request.identity)
    return response


def _max_tasks(request: ListRequest) -> int:
    is_full_view = request.view == task_pb2.TASK_VIEW_FULL
    if is_full_view and not request.backend.gets_in_batches:
        return min(request.page_size, MAX_COMPLETED_SINGLY)
    return request.page_size


def _options(request: ListRequest, call: CallContext, elapsed: float) -> CallOptions:
    # A response of AWS that was requested after the RPC arrived is fresh enough for all of it.
    max_age = call.max_age if request.max_age is None else request.max_age
    options = CallOptions.of(call, max_age=None if max_age is None else max_age + elapsed)
    return replace(options, since_write=call.since_write + elapsed)


async def _select(
    request: ListRequest, page: Page, skip: int, room: int, options: CallOptions
) -> tuple[Rows, int]:
    """Return the requested tasks of an AWS page, and how many of its rows are done."""
    backend, matches = request.backend, request.filter.matches
    rows: Rows = list(enumerate(page.tasks))[skip:]
    is_complete = not page.missing_fields
    if page.missing_fields & {backend.native_fields.get(each) for each in request.filter.fields}:
        rows, is_complete = await _complete(backend, rows, options), True
    chosen = [(position, task) for position, task in rows if matches(task)]
    done = len(page.tasks)
    if len(chosen) > room:
        done = chosen[room - 1][0] + 1
        del chosen[room:]
    if request.view == task_pb2.TASK_VIEW_FULL and not is_complete:
        chosen = await _complete(backend, chosen, options)
    return chosen, done


async def _complete(backend: TaskBackend, rows: Rows, options: CallOptions) -> Rows:
    """Read the tasks one by one, and return those that still exist.

    Raises:
        errors.TaskgateError: the first error that is not NOT_FOUND.
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
