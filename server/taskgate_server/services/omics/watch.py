"""How to see what has changed in HealthOmics: a run's tasks are listed, 100 in a call.

A list lacks what `GetRunTask` tells of one task, so for TASK_VIEW_FULL those whose row is another
one are asked for by themselves.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, Final

from taskgate_server.aws import model
from taskgate_server.tasks.names import Parent
from taskgate_server.tasks.watch.change_log import ChangeLog
from taskgate_server.tasks.watch.poll_interval import Pace
from taskgate_server.tasks.watch.sources import Faults, Reader, Source, raise_first, row_id

LIST: Final = "ListRunTasks"
PAGE: Final = {"maxResults": 100}

FEW: Final = 2
"""So many tasks are asked for by themselves rather than through the list of the run."""


class Watching:
    """See `sources.Watching`."""

    parent_kinds = ("runs",)

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    def whole(self, parent: Parent, *, full_view: bool) -> Source:
        """All tasks of a run."""
        return Run(self._reader, parent.name, full_view=full_view)

    def named(self, group: str, *, full_view: bool) -> Source:
        """Tasks of one run."""
        return Run(self._reader, group, full_view=full_view)

    def group(self, name: str) -> str:
        """The task's run."""
        return name.rpartition("/tasks/")[0]

    def has_views(self) -> bool:
        """A list leaves members out."""
        return True


class Run:
    """The tasks of a run.

    Args:
        reader: asks AWS.
        name: the run's, as in tasks' names.
        full_view: whether all is to be known that AWS tells of a task.
    """

    def __init__(self, reader: Reader, name: str, *, full_view: bool) -> None:
        self._reader = reader
        self._name = name
        self._params = {"id": name.rpartition("/")[2]}
        self._full_view = full_view
        self._members = None if full_view else _row_members()
        self._rows: dict[str, Mapping[str, Any]] = {}
        """The rows of which all is known; TASK_VIEW_FULL only."""

    async def sweep(self, change_log: ChangeLog, pace: Pace, *, full: bool) -> None:
        """See `Source`. A list is always read whole; what it lacks may change without it."""
        if full:
            self._rows = {
                name: row for name, row in self._rows.items() if _is_settled(change_log, name)
            }
        began = self._reader.clock()
        seen = await self._list(change_log, pace, wanted=None)
        # Pages may have shifted while they were read: what none had is asked for by name.
        missing = [
            entry.name
            for entry in change_log.entries()
            if entry.name not in seen and entry.sent_at < began
        ]
        raise_first(await self._get_each(change_log, missing, pace))

    async def read(self, change_log: ChangeLog, names: Collection[str], pace: Pace) -> Faults:
        """See `Source`: by name, or through the list where that takes fewer calls."""
        missing = set(names)
        if len(missing) > FEW and not self._full_view:
            missing -= await self._list(change_log, pace, wanted=missing)
        return await self._get_each(change_log, missing, pace)

    async def _list(
        self, change_log: ChangeLog, pace: Pace, wanted: Collection[str] | None
    ) -> set[str]:
        """Reads the list, up to where it has told all that is wanted; returns what it told."""
        seen: set[str] = set()
        changed: dict[str, Mapping[str, Any]] = {}
        params = self._params | PAGE
        async for said in self._reader.pages(LIST, params, "startingToken", pace):
            rows = {
                f"{self._name}/tasks/{row_id(row, 'taskId', LIST)}": row
                for row in said.value.get("items", ())
            }
            seen.update(rows)
            for name, row in rows.items():
                if self._full_view:
                    if self._rows.get(name) != row:
                        changed[name] = row
                elif wanted is None or name in wanted:
                    change_log.see(name, row, said.sent_at, said.observe_time)
            change_log.tell()
            if wanted is not None and seen.issuperset(wanted):
                break
        faults = await self._get_each(change_log, changed, pace)
        self._note_rows(change_log, changed, faults)
        raise_first(faults)
        return seen

    def _note_rows(
        self, change_log: ChangeLog, rows: Mapping[str, Mapping[str, Any]], faults: Faults
    ) -> None:
        """Remember the rows of which all is known, once their tasks have been read.

        A task may have changed between the list and its own read. Its row is then an old one, and
        must not keep the task from being read again should it change back.
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

    async def _get_each(self, change_log: ChangeLog, names: Collection[str], pace: Pace) -> Faults:
        return await self._reader.get_each(change_log, names, pace, self._members)


def _is_settled(change_log: ChangeLog, name: str) -> bool:
    entry = change_log.get(name)
    return entry is not None and entry.settled


def _row_members() -> frozenset[str]:
    """What AWS's list tells of each task."""
    shape = model.load_service("omics").operation_model("ListRunTasks").output_shape
    items: Any = shape.members["items"] if shape else None
    return frozenset(items.member.members)
