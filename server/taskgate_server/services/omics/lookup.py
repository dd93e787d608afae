"""Reads tasks from the lists of their runs, where that takes fewer calls than to read each task.

HealthOmics has no operation that reads several tasks by name, but its quota allows as many calls of
`ListRunTasks`, which returns 100 tasks, as of `GetRunTask`. Whether a list is cheaper depends on
its length, which is unknown until it has been read to its end.
"""

from __future__ import annotations

import asyncio
import math
from collections import Counter, OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Final, TypeAlias

from grpc import StatusCode

from taskgate.v1 import task_pb2
from taskgate_server import errors
from taskgate_server.aws.paging import PagedOperation
from taskgate_server.tasks.backend import TaskBackend
from taskgate_server.upstream.options import CallOptions

Found: TypeAlias = Mapping[str, task_pb2.Task | errors.TaskgateError]

MIN_TASKS: Final = 2
"""A page with this many of the requested tasks saves a call."""
TASKS_PER_USELESS_PAGE: Final = 4
"""For this many requested tasks, one page without any of them is read: at most 25 % more calls."""
MAX_PAGE_COUNTS: Final = 1000
"""Runs whose number of pages is stored."""

REFUSALS: Final = frozenset(
    {StatusCode.UNIMPLEMENTED, StatusCode.PERMISSION_DENIED, StatusCode.UNKNOWN}
)
"""Errors of a list after which the task itself is read: a policy may allow only that."""


class ListLookup:
    """Finds tasks in the lists of their runs.

    Pages are ordinary reads of the gateway: callers who request tasks of the same run share them.
    """

    def __init__(self, backend: TaskBackend, paged: PagedOperation) -> None:
        self._backend = backend
        self._paged = paged
        self._page_counts: OrderedDict[str, int] = OrderedDict()
        """The known number of pages of each list, by run. A list that was never read counts as
        one page."""
        self._single_reads: Counter[str] = Counter()
        """In-flight reads of one task each, by run."""

    async def find(self, names: Sequence[str], options: CallOptions) -> Found:
        """Return the tasks that were found, and an error for those whose list failed.

        The caller reads all other tasks one by one.
        """
        by_run: dict[str, set[str]] = {}
        for name in names:
            by_run.setdefault(self._run_of(name), set()).add(name)
        parts = await asyncio.gather(
            *(
                self._find_in_list(run, tasks, options)
                for run, tasks in by_run.items()
                if len(tasks) >= MIN_TASKS or self._pays_for_one(run)
            )
        )
        return {name: outcome for part in parts for name, outcome in part.items()}

    @contextmanager
    def reading_singly(self, name: str) -> Iterator[None]:
        """Count a read of one task while it is in flight.

        The more there are, the longer is a list that costs no more calls.
        """
        run = self._run_of(name)
        self._single_reads[run] += 1
        try:
            yield
        finally:
            self._single_reads[run] -= 1
            if not self._single_reads[run]:
                del self._single_reads[run]

    def _run_of(self, name: str) -> str:
        return self._backend.names.parents_of(name)[self._backend.root_kind]

    def _pays_for_one(self, run: str) -> bool:
        return self._single_reads[run] + 1 >= self._page_counts.get(run, 1)

    async def _find_in_list(self, run: str, names: set[str], options: CallOptions) -> Found:
        params = self._backend.names.parse_parent(run, "name").params
        found: dict[str, task_pb2.Task | errors.TaskgateError] = {}
        missing, pages = set(names), 0
        is_one = len(names) < MIN_TASKS
        useless_pages = math.inf if is_one else max(1, len(names) // TASKS_PER_USELESS_PAGE)
        try:
            async for page, observe_time in self._backend.pages(self._paged, params, options):
                rows = {f"{run}/tasks/{row.get('taskId')}": row for row in page.rows}
                tasks = {
                    name: self._backend.row_task(params, rows[name], observe_time)
                    for name in missing & rows.keys()
                }
                found |= tasks
                missing -= tasks.keys()
                useless_pages -= len(tasks) < MIN_TASKS
                pages += 1
                self._store_page_count(run, pages, is_last=not page.next_token)
                if len(missing) < (1 if is_one else MIN_TASKS) or useless_pages <= 0:
                    break
        except errors.TaskgateError as error:
            if error.code not in REFUSALS:
                found.update(dict.fromkeys(missing, error))
        return found

    def _store_page_count(self, run: str, pages: int, *, is_last: bool) -> None:
        known = self._page_counts.get(run, 1)
        self._page_counts[run] = pages if is_last else max(known, pages + 1)
        if len(self._page_counts) > MAX_PAGE_COUNTS:
            self._page_counts.popitem(last=False)
