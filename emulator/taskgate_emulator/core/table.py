"""The rows of one kind, in the order of their creation.

Each row has an increasing number, which page tokens contain: a row that is deleted, created or
changed while a client pages is neither returned twice nor causes another to be skipped.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from taskgate_emulator.core.timeline import Timeline

__all__ = ["Key", "Record", "Row", "Table"]

_COPIED = 256

Key = tuple[str, ...]
"""The ids that name a row, outermost first. All but the last are its scope."""

Record = Mapping[str, Any]
"""Members in botocore's output form."""


@dataclass(slots=True)
class Row:
    """A row of a table."""

    number: int
    timeline: Timeline


class _Scope:
    """The rows of one parent."""

    __slots__ = ("ids", "numbers", "rows")

    def __init__(self) -> None:
        self.rows: dict[str, Row] = {}
        self.numbers: list[int] = []
        self.ids: list[str] = []


class Table:
    """All rows of a kind."""

    def __init__(self) -> None:
        self._scopes: dict[Key, _Scope] = {}

    def record(self, key: Key) -> Record | None:
        """Return the current record of a row."""
        row = self.row(key)
        return None if row is None else row.timeline.record

    def timeline(self, key: Key) -> Timeline | None:
        """Return the record of a row and its scheduled changes."""
        row = self.row(key)
        return None if row is None else row.timeline

    def row(self, key: Key) -> Row | None:
        """Return a row; only the account may write it."""
        scope = self._scopes.get(key[:-1])
        return None if scope is None else scope.rows.get(key[-1])

    def ids(self, *scope: str) -> list[str]:
        """Return the last ids of the rows of a scope, in order."""
        found = self._scopes.get(scope)
        return [] if found is None else list(found.ids)

    def first(self, *scope: str) -> str | None:
        """Return the last id of the oldest row of a scope."""
        found = self._scopes.get(scope)
        return found.ids[0] if found is not None else None

    def records(self, *scope: str) -> Iterator[tuple[str, Record]]:
        """Yield the last ids and the records of a scope, in order."""
        for name, row in self.after(0, *scope):
            yield name, row.timeline.record

    def size(self, *scope: str) -> int:
        """Return the number of rows of a scope."""
        found = self._scopes.get(scope)
        return 0 if found is None else len(found.ids)

    def after(self, number: int, *scope: str) -> Iterator[tuple[str, Row]]:
        """Yield the rows of a scope with greater numbers, in order."""
        found = self._scopes.get(scope)
        # A copy of a few ids at a time: a page needs few of many, and rows may change meanwhile.
        while found is not None:
            start = bisect_right(found.numbers, number)
            ids = found.ids[start : start + _COPIED]
            if not ids:
                return
            number = found.numbers[start + len(ids) - 1]
            for name in ids:
                row = found.rows.get(name)
                if row is not None:
                    yield name, row

    def __iter__(self) -> Iterator[Key]:
        for scope, found in list(self._scopes.items()):
            for name in list(found.ids):
                yield (*scope, name)

    def add(self, key: Key, number: int, timeline: Timeline) -> None:
        """Add a row; numbers must increase."""
        scope = self._scopes.setdefault(key[:-1], _Scope())
        scope.rows[key[-1]] = Row(number, timeline)
        scope.numbers.append(number)
        scope.ids.append(key[-1])

    def remove(self, key: Key) -> Row | None:
        """Remove a row, if it exists."""
        scope = self._scopes.get(key[:-1])
        row = None if scope is None else scope.rows.pop(key[-1], None)
        if scope is not None and row is not None:
            position = bisect_right(scope.numbers, row.number) - 1
            del scope.numbers[position], scope.ids[position]
            if not scope.ids:
                del self._scopes[key[:-1]]
        return row
