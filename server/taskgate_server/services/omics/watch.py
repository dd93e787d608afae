"""Reads changes from HealthOmics: a run's tasks are listed, 100 in a call.

A list lacks fields of `GetRunTask`. For TASK_VIEW_FULL, each task whose row has changed is also
read by itself.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, Final

from taskgate_server.services.omics.tasks import LIST_TASKS
from taskgate_server.tasks.names import Parent, container_of
from taskgate_server.tasks.watch.change_log import ChangeLog
from taskgate_server.tasks.watch.sources import (
    Faults,
    Poll,
    Reader,
    Source,
    raise_first,
    row_id,
)

MAX_SINGLY: Final = 2
"""Up to this number, named tasks are read one by one rather than from the run's list."""


class Sources:
    """See `sources.WatchSources`."""

    parent_kinds = ("runs",)
    has_views = True

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    def of_parent(self, parent: Parent, *, full_view: bool) -> Source:
        """Return the source of all tasks of a run."""
        return Run(self._reader, parent.name, full_view=full_view)

    def of_group(self, group: str, *, full_view: bool) -> Source:
        """Return the source of tasks of one run."""
        return Run(self._reader, group, full_view=full_view)

    def group_of(self, name: str) -> str:
        """Return the name of the task's run."""
        return container_of(name)


class Run:
    """Reads the tasks of a run, with all fields or with those of the list."""

    def __init__(self, reader: Reader, name: str, *, full_view: bool) -> None:
        self._reader = reader
        self._name = name
        self._params = {"id": name.rpartition("/")[2]}
        self._full_view = full_view
        self._members = None if full_view else LIST_TASKS.row_keys
        self._rows: dict[str, Mapping[str, Any]] = {}
        """The rows of tasks that were also read by themselves; TASK_VIEW_FULL only."""

    async def sweep(self, poll: Poll, *, full: bool) -> None:
        """See `Source`. A list is always read whole; fields that it lacks may change without it."""
        change_log = poll.change_log
        if full:
            self._rows = {
                name: row for name, row in self._rows.items() if _is_settled(change_log, name)
            }
        began = self._reader.clock()
        listed = await self._list(poll, until=None)
        # Rows may have moved between pages: tasks that were on no page are read by name.
        missing = [
            entry.name
            for entry in change_log.entries()
            if entry.name not in listed and entry.sent_at < began
        ]
        raise_first(await self._reader.read_each(poll, missing, self._members))

    async def read(self, poll: Poll, names: Collection[str]) -> Faults:
        """See `Source`: by name, or from the list where that takes fewer calls."""
        missing = set(names)
        if len(missing) > MAX_SINGLY and not self._full_view:
            missing -= await self._list(poll, until=missing)
        return await self._reader.read_each(poll, missing, self._members)

    async def _list(self, poll: Poll, until: Collection[str] | None) -> set[str]:
        """Read the list until it has returned certain tasks, or to its end.

        Args:
            poll: where the tasks are stored.
            until: names of the only tasks to store; None for all tasks.

        Returns:
            The names of the tasks that were listed.
        """
        change_log = poll.change_log
        listed: set[str] = set()
        changed: dict[str, Mapping[str, Any]] = {}
        async for page in self._reader.pages(LIST_TASKS, self._params, poll.pace):
            rows = {
                f"{self._name}/tasks/{row_id(row, 'taskId', LIST_TASKS.operation)}": row
                for row in page.rows
            }
            listed.update(rows)
            for name, row in rows.items():
                if self._full_view:
                    if self._rows.get(name) != row:
                        changed[name] = row
                elif until is None or name in until:
                    change_log.upsert(name, row, page.sent_at, page.observe_time)
            poll.publish()
            if until is not None and listed.issuperset(until):
                break
        faults = await self._reader.read_each(poll, changed, self._members)
        self._store_rows(change_log, changed, faults)
        raise_first(faults)
        return listed

    def _store_rows(
        self, change_log: ChangeLog, rows: Mapping[str, Mapping[str, Any]], faults: Faults
    ) -> None:
        """Store the rows whose tasks have been read by themselves.

        A task may have changed between the list and its own read. Its row is then outdated, and
        must not prevent another read if the task changes back.
        """
        for name, row in rows.items():
            entry = change_log.get(name)
            if (
                entry is not None
                and not entry.removed
                and entry.native_state == row.get("status", "")
                and name not in faults
            ):
                self._rows[name] = row
            else:
                self._rows.pop(name, None)


def _is_settled(change_log: ChangeLog, name: str) -> bool:
    entry = change_log.get(name)
    return entry is not None and entry.settled
