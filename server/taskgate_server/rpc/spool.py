"""The spool: uploads that wait to be sent to AWS, in memory and in temporary files.

All uploads of a server share its disk, so that their sum has a bound, and one caller gets at most
half of it.
"""

from __future__ import annotations

import errno
import os
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from tempfile import SpooledTemporaryFile
from typing import IO, Final, TypeAlias

from taskgate_server import errors
from taskgate_server.telemetry.logs import LOG

OpenFile: TypeAlias = Callable[[int], IO[bytes]]
"""Returns a temporary file that buffers up to that many bytes in memory."""

NO_SPACE: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EMFILE, errno.ENFILE})
"""Errors of the operating system that may pass when other uploads have ended."""

MAX_MEMORY_BYTES: Final = 32 * 1024 * 1024
"""Of uploads in memory; those beyond it are in files from the beginning."""

THREADS: Final = 2
"""For files of all uploads; the disk is the limit."""


@dataclass(slots=True)
class Spool:
    """Counts the bytes of all uploads, and opens their files."""

    max_bytes: int
    open_file: OpenFile = SpooledTemporaryFile
    executor: Executor = field(default_factory=partial(ThreadPoolExecutor, THREADS, "spool"))
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
        """Return how many bytes of an upload may be in memory before it goes to a file.

        Returns:
            1 if there is no room: 0 means no limit to `SpooledTemporaryFile`.
        """
        has_room = self.uploads * wanted <= MAX_MEMORY_BYTES
        return max(wanted, 1) if has_room else 1

    @contextmanager
    def file(self, wanted: int) -> Iterator[IO[bytes]]:
        """Return the file of one upload, with up to `wanted` bytes in memory; then delete it."""
        file = self.open_file(self.memory_bytes(wanted))
        try:
            yield file
        finally:
            # Closing writes the buffer. Its bytes are no longer needed, and the write before has
            # reported a full disk.
            with suppress(OSError):
                file.close()

    def take(self, requester: str, size: int) -> None:
        """Count bytes of a requester.

        Raises:
            errors.TaskgateError: RESOURCE_EXHAUSTED, there is no room for them.
        """
        share = self.max_bytes // 2
        if self._by_requester[requester] + size > share:
            reached = f"{share} bytes for one caller, half of spool_max_bytes"
        elif self.size + size > self.max_bytes:
            reached = f"{self.max_bytes} bytes for all callers, spool_max_bytes"
        else:
            self._add(requester, size)
            return
        fault = f"uploads in progress have reached {reached}: retry when others have ended"
        raise _full(fault, "spool_max_bytes")

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


@contextmanager
def disk_errors() -> Iterator[None]:
    """Raise the errors of the temporary directory as errors of the call, and log them.

    Raises:
        errors.TaskgateError: RESOURCE_EXHAUSTED where there is no space, or FAILED_PRECONDITION.
    """
    try:
        yield
    except OSError as error:
        # strerror alone: the rest has the path.
        fault = os.strerror(error.errno) if error.errno else type(error).__name__
        LOG.error("uploads cannot be stored", extra={"variable": "TMPDIR", "fault": fault})
        if error.errno in NO_SPACE:
            fault = (
                f"this server cannot store the upload ({fault}): retry when others have ended; the"
                " operator can point TMPDIR to a larger directory, or lower spool_max_bytes"
            )
            raise _full(fault, "TMPDIR") from None
        raise errors.OwnError(
            errors.Reason.SPOOL_UNUSABLE,
            f"this server cannot store uploads ({fault}): its operator must point TMPDIR to a"
            " writable directory",
            metadata={"variable": "TMPDIR"},
        ) from None


def directory_fault(environ: Mapping[str, str]) -> str:
    """Return why uploads cannot be stored where the environment says; empty if they can.

    `tempfile` tries to write to the directories in TMPDIR, TEMP and TMP, and then to others.
    """
    try:
        used = tempfile.gettempdir()
    except OSError:
        return "no temporary directory is writable: uploads beyond spool_memory_bytes fail"
    name = next((name for name in ("TMPDIR", "TEMP", "TMP") if environ.get(name)), None)
    if name is None or _is_same(environ[name], used):
        return ""
    return f"{name} is missing, full or not writable: uploads are stored in another directory"


def _is_same(one: str, other: str) -> bool:
    with suppress(OSError):
        return Path(one).samefile(other)
    return False


def _full(fault: str, limit: str) -> errors.TaskgateError:
    """Return the error of an upload for which a setting or variable leaves no room."""
    return errors.OwnError(
        errors.Reason.SPOOL_FULL,
        fault,
        metadata={"limit": limit},
        details=[errors.retry_info(10)],
    )
