"""The rows of one kind of resource, in the order in which they came.

A row has a number that only rises, which is what a page token names: a row that goes, comes back
or moves while somebody pages is neither given twice nor makes another one be left out.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from taskgate_emulator.core.timeline import Timeline

__all__ = ["Key", "Record", "Row", "Table"]

Key = tuple[str, ...]
"""The ids that name a row, the outermost first. All but the last are its scope."""

Record = Mapping[str, Any]
"""Members in botocore's output form."""


@dataclass(slots=True)
class Row:
    """A place in a table."""

    number: int
    timeline: Timeline


class _Scope:
    """The rows below one parent."""

    __slots__ = ("ids", "numbers", "rows")

    def __init__(self) -> None:
        self.rows: dict[str, Row] = {}
        self.numbers: list[int] = []
        self.ids: list[str] = []


class Table:
    """All rows of a kind.

    Args:
        kind: such as `deadline.Task`.
    """

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self._scopes: dict[Key, _Scope] = {}

    def record(self, key: Key) -> Record | None:
        """The record of a row as it is now."""
        row = self.row(key)
        return None if row is None else row.timeline.record

    def timeline(self, key: Key) -> Timeline | None:
        """The record of a row and what will come to it."""
        row = self.row(key)
        return None if row is None else row.timeline

    def row(self, key: Key) -> Row | None:
        """A row itself; only the account writes it."""
        scope = self._scopes.get(key[:-1])
        return None if scope is None else scope.rows.get(key[-1])

    def ids(self, *scope: str) -> list[str]:
        """The last ids of the rows of a scope, in order."""
        found = self._scopes.get(scope)
        return [] if found is None else list(found.ids)

    def first(self, *scope: str) -> str | None:
        """The last id of the oldest row of a scope."""
        found = self._scopes.get(scope)
        return found.ids[0] if found is not None else None

    def records(self, *scope: str) -> Iterator[tuple[str, Record]]:
        """The last ids and the records of a scope, in order."""
        for name, timeline in self.timelines(*scope):
            yield name, timeline.record

    def timelines(self, *scope: str) -> Iterator[tuple[str, Timeline]]:
        """The last ids and the timelines of a scope, in order."""
        found = self._scopes.get(scope)
        if found is not None:
            for name in list(found.ids):
                row = found.rows.get(name)
                if row is not None:
                    yield name, row.timeline

    def size(self, *scope: str) -> int:
        """How many rows a scope has."""
        found = self._scopes.get(scope)
        return 0 if found is None else len(found.ids)

    def after(self, number: int, *scope: str) -> Iterator[tuple[str, Row]]:
        """The rows of a scope whose number is greater, in order."""
        found = self._scopes.get(scope)
        if found is None:
            return
        for name in found.ids[bisect_right(found.numbers, number) :]:
            row = found.rows.get(name)
            if row is not None:
                yield name, row

    def __iter__(self) -> Iterator[Key]:
        # Every key, scope by scope.
        for scope, found in list(self._scopes.items()):
            for name in list(found.ids):
                yield (*scope, name)

    def add(self, key: Key, number: int, timeline: Timeline) -> None:
        """Make a row; numbers rise."""
        scope = self._scopes.setdefault(key[:-1], _Scope())
        scope.rows[key[-1]] = Row(number, timeline)
        scope.numbers.append(number)
        scope.ids.append(key[-1])

    def remove(self, key: Key) -> Row | None:
        """Drop a row, if it is there."""
        scope = self._scopes.get(key[:-1])
        row = None if scope is None else scope.rows.pop(key[-1], None)
        if scope is not None and row is not None:
            position = bisect_right(scope.numbers, row.number) - 1
            del scope.numbers[position], scope.ids[position]
            if not scope.ids:
                del self._scopes[key[:-1]]
        return row
