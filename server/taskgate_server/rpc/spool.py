"""The spool: bytes of uploads that wait to be sent to AWS, in memory and in temporary files.

All uploads of a server share its disk, so that their sum has a bound, and one caller gets at most
half of it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final

from taskgate_server import errors

MAX_MEMORY_BYTES: Final = 32 * 1024 * 1024
"""Of uploads in memory; those beyond it are in files from the beginning."""


@dataclass(slots=True)
class Spool:
    """Counts the bytes of all uploads.

    Args:
        max_bytes: of all uploads together.
    """

    max_bytes: int
    size: int = 0
    """Bytes at present."""
    uploads: int = 0
    _by_requester: Counter[str] = field(default_factory=Counter)

    @contextmanager
    def upload(self, requester: str) -> Iterator[Reservation]:
        """Return the reservation of one upload; its bytes are free again after the block."""
        reservation = Reservation(self, requester)
        self.uploads += 1
        try:
            yield reservation
        finally:
            self.uploads -= 1
            self._add(requester, -reservation.size)

    def memory_bytes(self, wanted: int) -> int:
        """Return how much of an upload may be in memory before it goes to a file.

        Args:
            wanted: bytes.

        Returns:
            1 where there is no room: 0 means all of it to `SpooledTemporaryFile`.
        """
        has_room = self.uploads * wanted <= MAX_MEMORY_BYTES
        return max(wanted, 1) if has_room else 1

    def take(self, requester: str, size: int) -> None:
        """Count bytes of a requester.

        Raises:
            errors.TaskgateError: RESOURCE_EXHAUSTED, there is no room for them.
        """
        share = self.max_bytes // 2
        if self._by_requester[requester] + size > share:
            raise errors.spool_full(f"{share} bytes for one caller, half of spool_max_bytes")
        if self.size + size > self.max_bytes:
            raise errors.spool_full(f"{self.max_bytes} bytes for all callers, spool_max_bytes")
        self._add(requester, size)

    def _add(self, requester: str, size: int) -> None:
        self.size += size
        self._by_requester[requester] += size
        if not self._by_requester[requester]:
            del self._by_requester[requester]


@dataclass(slots=True)
class Reservation:
    """The bytes of one upload."""

    spool: Spool
    requester: str
    size: int = 0

    def add(self, size: int) -> None:
        """Count more bytes.

        Raises:
            errors.TaskgateError: RESOURCE_EXHAUSTED, there is no room for them.
        """
        self.spool.take(self.requester, size)
        self.size += size
