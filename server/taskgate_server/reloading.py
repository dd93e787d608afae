"""Files that are read again when they change: certificates, keys, policies.

The files are read twice a second. Kubernetes changes a mounted Secret by replacing a symbolic link
of a parent folder, which inotify does not report on every file system.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Generic, Protocol, TypeVar

from taskgate_server.daemon_threads import DaemonThreads
from taskgate_server.telemetry import LOG, log_bug

CHECK_SECONDS: Final = 0.5
"""Interval between two reads of the files: a revocation is to be effective within a second."""

RETRY_SECONDS: Final = 30.0
"""Interval between two attempts to parse the same rejected version: the reason may have been the
machine, such as too little memory for a child process."""

MAX_UNCHECKED_SECONDS: Final = 10.0
"""After this time without a completed check the active version counts as outdated: the disk may
hang, or a parser, and there may be a newer version."""

MAX_FILE_BYTES: Final = 1024 * 1024

T = TypeVar("T")


class FileFaultError(Exception):
    """Files that cannot be used; the text is one line for the operator."""


class RejectedError(ValueError):
    """A version of files that cannot be used.

    Args:
        summary: what is wrong, without anything from the files, for the log.
        detail: the same with quotes from the files, for the operator who starts the server or runs
            `taskgate policy check`; by default the summary.
    """

    def __init__(self, summary: str, detail: str = "") -> None:
        super().__init__(detail or summary)
        self.summary = summary


class Reloading(Protocol):
    """What metrics and health report about something that is reloaded."""

    name: str
    changes: int
    """Number of newer versions that became active."""
    rejected: int
    """Number of newer versions that could not be used or read."""

    @property
    def is_current(self) -> bool:
        """Whether the active version is the newest one."""

    @property
    def active_seconds(self) -> float:
        """The age of the active version."""


@dataclass(frozen=True, slots=True)
class _Version(Generic[T]):
    """The outcome of one check that found something new."""

    contents: list[bytes] | None
    """None: the files could not be read."""
    values: tuple[T, ...] = ()
    """The one value; none if the version cannot be used."""
    fault: str = ""
    """Why it cannot be used, for the log."""
    detail: str = ""
    """The same for the operator."""


class ReloadingFile(Generic[T]):
    """The newest usable value of some files.

    Args:
        name: for logs, metrics and health, such as `policy`.
        paths: the files, read together.
        parse: makes the value from their contents, in order. May block and take long: it is called
            in a thread. Raises RejectedError for contents that cannot be used, such as a key that
            does not belong to its certificate; any other exception rejects them as well.
        clock: monotonic seconds.

    Raises:
        FileFaultError: the files cannot be used now, at the start.
    """

    def __init__(
        self,
        name: str,
        paths: Sequence[Path],
        parse: Callable[[list[bytes]], T],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.name = name
        self.changes = 0
        self.rejected = 0
        self.on_change: list[Callable[[], None]] = []
        """Called in the event loop after a newer version has become active."""
        self._paths = paths
        self._parse = parse
        self._clock = clock
        self._threads = DaemonThreads(f"reload {name}")
        self._seen: list[bytes] | None = None
        """The contents of the newest version, usable or not; None while they cannot be read."""
        self._fault = ""
        self._retry_at = float("inf")
        first = self._load()
        if first is None or not first.values:
            raise FileFaultError(first.detail if first else f"{name}: no files")
        self.value: T = first.values[0]
        self._seen = first.contents
        self._active_since = self._checked_at = clock()

    @property
    def is_current(self) -> bool:
        """Whether the active version is the newest one, as of a check a few seconds ago."""
        return not self._fault and self._clock() - self._checked_at <= MAX_UNCHECKED_SECONDS

    @property
    def active_seconds(self) -> float:
        """The time since the active version became active."""
        return self._clock() - self._active_since

    async def check(self) -> None:
        """Read the files, and activate a newer version if it can be used.

        Reading and parsing run in a thread of their own: neither a slow disk nor a slow parser
        delays the event loop. Never raises because of the files.
        """
        loop = asyncio.get_running_loop()
        version = await loop.run_in_executor(self._threads, self._load)
        self._checked_at = self._clock()
        if version is None:
            return
        is_new = version.contents is None or version.contents != self._seen
        self._seen = version.contents
        if version.values:
            self._activate(version.values[0])
        else:
            self._reject(version, is_new=is_new)

    async def run(self, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep) -> None:
        """Check the files until cancelled."""
        while True:
            await sleep(CHECK_SECONDS)
            await self.check()

    def _load(self) -> _Version[T] | None:
        """Read the files and parse them; None if there is nothing new. Runs in a thread."""
        try:
            contents = [_read(path) for path in self._paths]
        except OSError as error:
            fault = f"{error.filename}: {error.strerror}"
            return _Version(None, (), fault, fault)
        except RejectedError as error:
            return _Version(None, (), error.summary, str(error))
        if contents == self._seen and self._clock() < self._retry_at:
            return None
        try:
            return _Version(contents, (self._parse(contents),))
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:  # noqa: BLE001  # pyo3's PanicException is no Exception
            places = ", ".join(str(path) for path in self._paths)
            if isinstance(error, RejectedError):
                return _Version(contents, (), error.summary, f"{places}: {error}")
            # The text of a foreign exception may quote the files.
            fault = f"cannot be parsed ({type(error).__name__})"
            return _Version(contents, (), fault, f"{places}: {fault}")

    def _activate(self, value: T) -> None:
        # The value first: gRPC reads both in threads of its own, see `transport.credentials_of`.
        self.value = value
        self.changes += 1
        self._fault, self._retry_at = "", float("inf")
        self._active_since = self._clock()
        LOG.info("files reloaded", extra={"file": self.name, "paths": self._names()})
        for callback in list(self.on_change):
            try:
                callback()
            except Exception as error:  # noqa: BLE001  # the other callbacks must run
                log_bug(error, file=self.name)

    def _reject(self, version: _Version[T], *, is_new: bool) -> None:
        if version.contents is not None:
            self._retry_at = self._clock() + RETRY_SECONDS
        if self._fault == version.fault and (version.contents is None or not is_new):
            return  # reported already, and unchanged
        self._fault = version.fault
        self.rejected += 1
        LOG.error(
            "a newer version of files was rejected, the previous one stays active",
            extra={"file": self.name, "paths": self._names(), "fault": version.fault},
        )

    def _names(self) -> list[str]:
        return [str(path) for path in self._paths]


def _read(path: Path) -> bytes:
    """Return the contents of a file.

    Raises:
        OSError: it cannot be read.
        RejectedError: it is larger than any file of this kind.
    """
    with path.open("rb") as file:
        data = file.read(MAX_FILE_BYTES + 1)
    if len(data) > MAX_FILE_BYTES:
        raise RejectedError(f"{path}: is larger than {MAX_FILE_BYTES} bytes")
    return data
