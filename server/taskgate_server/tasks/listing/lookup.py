"""Many tasks out of the lists that have them, where AWS has no way to ask for many by name.

HealthOmics allows as many calls for a list of 100 tasks as for one task. Whether a list is cheaper
depends on how long it is, which nobody knows before it ends. So a list is read on as long as its
pages pay for themselves, and a little longer; what it has not told by then is asked for singly.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import TypeAlias

from grpc import StatusCode

from taskgate.v1 import task_pb2
from taskgate_server import errors
from taskgate_server.aws.paging import PagedOperation
from taskgate_server.tasks.backend import TaskBackend
from taskgate_server.tasks.names import Parent
from taskgate_server.upstream.options import CallOptions

Found: TypeAlias = Mapping[str, task_pb2.Task | errors.TaskgateError]

_WORTH = 2
"""A page with so many of the wanted tasks has saved a call."""
_WASTE = 4
"""One page of no use is allowed for so many wanted tasks: a quarter more calls, at the worst."""


async def look_up(
    backend: TaskBackend,
    paged: PagedOperation,
    kind: str,
    names: Sequence[str],
    options: CallOptions,
) -> Found:
    """What the parents' lists tell of the tasks; those left out are to be asked for singly.

    Args:
        backend: whose tasks they are.
        paged: the operation that lists the tasks of a parent.
        kind: the parent's, in `NameTemplate.parent_kinds`.
        names: of the tasks, well-formed.
        options: of the calls to AWS.
    """
    wanted: dict[str, set[str]] = {}
    for name in names:
        wanted.setdefault(backend.names.parent_of(name, kind), set()).add(name)
    parts = await asyncio.gather(
        *(
            _look_up(
                backend, paged, backend.names.parse_parent(parent, "name", {kind}), some, options
            )
            for parent, some in wanted.items()
            if len(some) >= _WORTH
        )
    )
    return {name: outcome for part in parts for name, outcome in part.items()}


async def _look_up(
    backend: TaskBackend,
    paged: PagedOperation,
    parent: Parent,
    names: set[str],
    options: CallOptions,
) -> Found:
    found: dict[str, task_pb2.Task | errors.TaskgateError] = {}
    left, spare, token = set(names), max(1, len(names) // _WASTE), ""
    while len(left) >= _WORTH and spare > 0:
        try:
            page, observed = await backend.fetch_page(
                paged, parent.params, token, paged.max_size, options
            )
        except errors.TaskgateError as error:
            if error.code is not StatusCode.PERMISSION_DENIED:  # single tasks may be allowed
                found.update(dict.fromkeys(left, error))
            break
        tasks = (backend.row_task(parent.params, row, observed) for row in page.rows)
        told = {task.name: task for task in tasks if task.name in left}
        found |= told
        left -= told.keys()
        spare -= len(told) < _WORTH
        token = page.next_token
        if not token:
            break
    return found
