"""Hints: what replicas request from the one that polls a parent."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Collection
from contextlib import suppress
from typing import Final

from taskgate_server.tasks.watch.shared_parents import SharedParents, SharedStateUnavailableError

SWEEP: Final = b"sweep"
FULL_SWEEP: Final = b"full"
READ: Final = b"read"
"""Followed by names, each on a line."""

GATHER_SECONDS: Final = 0.02
"""How long a hint waits for others of the same parent, to be sent together."""


def read_hint(names: Collection[str]) -> bytes:
    """Return the hint to read tasks by name."""
    return b"\n".join([READ, *(name.encode() for name in names)])


class RemoteHints:
    """Hints for parents that have watchers only on other replicas.

    Without the store they are lost: a replica that polls alone finds the changes itself.
    """

    def __init__(self, shared: SharedParents) -> None:
        self._shared = shared
        self._waiting: defaultdict[tuple[str, bool], set[str]] = defaultdict(set)
        self._has_hints = asyncio.Event()

    def add(self, parent: str, name: str | None, *, full_view: bool) -> None:
        """Send a hint soon.

        Args:
            parent: the name of the parent.
            name: of the task to read; None to sweep the parent.
            full_view: of the poller.
        """
        self._waiting[parent, full_view].add(name or "")
        self._has_hints.set()

    async def run(self) -> None:
        """Send hints until cancelled."""
        while True:
            await self._has_hints.wait()
            await asyncio.sleep(GATHER_SECONDS)
            self._has_hints.clear()
            waiting = dict(self._waiting)
            self._waiting.clear()
            for (parent, full_view), names in waiting.items():
                hint = SWEEP if "" in names else read_hint(names)
                with suppress(SharedStateUnavailableError):
                    await self._shared.parent(parent, full_view=full_view).request(hint)
