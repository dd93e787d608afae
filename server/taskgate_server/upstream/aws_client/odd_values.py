"""Log lines about values that do not fit AWS's model: one for each operation and member."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from taskgate_server.telemetry import LOG

MAX_LINES: Final = 1000
"""The paths come from AWS's model, but a bound costs nothing."""


class OddValueLog:
    """Knows which members it has logged already."""

    def __init__(self) -> None:
        self._logged: set[tuple[str, str]] = set()

    def note(self, operation: str, members: Iterable[str]) -> None:
        """Log the members that are new; no value is in the line."""
        for member in members:
            known = (operation, member)
            if known not in self._logged and len(self._logged) < MAX_LINES:
                self._logged.add(known)
                fields = {"operation": operation, "member": member}
                LOG.warning("odd value in an AWS response", extra=fields)
