"""Files that are read again when they change: certificates, keys, policies.

They are looked at once a second rather than by inotify, which sees nothing of the way Kubernetes
changes a mounted Secret (a symbolic link of the folder above) on every file system.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Generic, TypeVar

from taskgate_server.telemetry import LOG

LOOK_SECONDS = 1.0

T = TypeVar("T")


class FileFaultError(Exception):
    """Files cannot be used, as a line for the person who set them."""


class Followed(Generic[T]):
    """What some files say, and what they last said that can be used.

    Args:
        paths: the files, read together.
        make: makes the value of their contents, in order. Raises ValueError for what cannot be
            used, such as a key that does not belong to its certificate.

    Raises:
        FileFaultError: they cannot be used now, at the start.
    """

    def __init__(self, paths: Sequence[Path], make: Callable[[list[bytes]], T]) -> None:
        self._paths = paths
        self._make = make
        self._seen: list[bytes] | str = []
        self.changes = 0
        """How often the value has changed."""
        self.on_change: list[Callable[[], None]] = []
        """Called after the value has changed."""
        try:
            self._seen = self._read()
            self.value: T = make(self._seen)
        except (OSError, ValueError) as error:
            raise FileFaultError(self._told(error)) from None

    def look(self) -> None:
        """Reads the files again. A version that cannot be used changes nothing, and is logged."""
        try:
            contents = self._read()
            if contents == self._seen:
                return
            self._seen = contents
            self.value = self._make(contents)
        except (OSError, ValueError) as error:
            self._warn(error)
            return
        self.changes += 1
        for notify in self.on_change:
            notify()
        LOG.info("files read again", extra={"files": [str(path) for path in self._paths]})

    async def run(self, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep) -> None:
        """Looks again and again."""
        while True:
            await sleep(LOOK_SECONDS)
            self.look()

    def _read(self) -> list[bytes]:
        return [path.read_bytes() for path in self._paths]

    def _warn(self, error: Exception) -> None:
        told = self._told(error)
        if isinstance(error, OSError):
            if self._seen == told:
                return  # said already, and still so
            self._seen = told
        LOG.warning("files cannot be used, the last good ones stay", extra={"fault": told})

    def _told(self, error: Exception) -> str:
        if isinstance(error, OSError):
            return f"{error.filename}: {error.strerror}"
        return f"{', '.join(str(path) for path in self._paths)}: {error}"
