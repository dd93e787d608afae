"""The number of calls that are being served, by method."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class MethodCalls:
    """The number of calls of one method that are being served."""

    method: str
    count: int = 0


class RpcsInFlight:
    """The calls that are being served. A call changes the counter of its method, and no other."""

    def __init__(self) -> None:
        self._methods: dict[str, MethodCalls] = {}

    def of(self, method: str) -> MethodCalls:
        """Return the counter of a method."""
        return self._methods.setdefault(method, MethodCalls(method))

    @property
    def count(self) -> int:
        """The number of calls of all methods."""
        return sum(each.count for each in self._methods.values())

    def by_method(self) -> dict[str, int]:
        """Return the number of calls of each method that has any."""
        return {name: each.count for name, each in self._methods.items() if each.count}
