"""Files that are reloaded when they change: certificates, keys, policies.

The files are read twice a second. Kubernetes updates a mounted Secret by replacing a symbolic link
of a parent folder, which inotify does not report on every file system.
"""

from __future__ import annotations

import asyncio
import time
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Final, Generic, TypeVar

from taskgate_server.config import SettingsError
from taskgate_server.daemon_threads import DaemonThreads
from taskgate_server.telemetry.logs import LOG, log_bug

CHECK_SECONDS: Final = 0.5
"""Interval between two reads of the files: a revocation takes effect within a second."""

RETRY_SECONDS: Final = 30.0
"""Interval between two attempts to parse the same rejected version: the cause may have been the
machine, such as too little memory for a child process."""

MAX_UNCHECKED_SECONDS: Final = 10.0
"""After this time without a completed check the active version counts as outdated: the disk or a
parser may hang, and there may be a newer version."""

MAX_FILE_BYTES: Final = 1024 * 1024

T = TypeVar("T")


class RejectedError(ValueError):
    """A version of the files cannot be used.

    Args:
        summary: what is wrong, without quotes from the files, for the log.
        detail: the same with quotes, for the operator who starts the server or runs
            `taskgate policy check`; by default the summary.
    """

    def __init__(self, summary: str, detail: str = "") -> None:
        super().__init__(detail or summary)
        self.summary = summary


class Reloading(ABC):
    """Reloaded files or keys, with their state for metrics and health.

    Args:
        name: for logs, metrics and health, such as `policy`.
        clock: monotonic seconds.
    """

    def __init__(self, name: str, clock: Callable[[], float]) -> None:
        self.name = name
        self.changes = 0
        """Number of newer versions that became active."""
        self.rejected = 0
        """Number of newer versions that could not be used or read."""
        self._clock = clock
        self._threads = DaemonThreads(f"reload {name}")
        self._fault = ""
        self._active_since = clock()

    @property
    @abstractmethod
    def is_current(self) -> bool:
        """Whether the active version is the newest one."""

    @property
    def active_seconds(self) -> float:
        """The age of the active version."""
        return self._clock() - self._active_since


class ReloadingFile(Reloading, Generic[T]):
    """The value of the newest usable version of some files.

    Args:
        name: for logs, metrics and health, such as `policy`.
        paths: the files, which are read together.
        parse: returns the value of their contents. It is called in a thread, and may take long.
            Raises RejectedError for contents that cannot be used, such as a key that does not
            belong to its certificate; any other exception rejects them as well.
        clock: monotonic seconds.

    Raises:
        SettingsError: the current version of the files cannot be used.
    """

    def __init__(
        self,
        name: str,
        paths: Sequence[Path],
        parse: Callable[[list[bytes]], T],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(name, clock)
        self.on_change: list[Callable[[], None]] = []
        """Called in the event loop after a newer version becomes active."""
        self._paths = paths
        self._parse = parse
        self._contents: list[bytes] | None = None
        """Of the newest version, usable or not; None while the files cannot be read."""
        self._retry_at = float("inf")
        self._contents, first = self._load() or (None, RejectedError(f"{name}: no files"))
        if isinstance(first, RejectedError):
            raise SettingsError([str(first)])
        self.value: T = first
        self._checked_at = clock()

    @property
    def is_current(self) -> bool:
        """Whether the active version is the newest one, as of a check a few seconds ago."""
        return not self._fault and self._clock() - self._checked_at <= MAX_UNCHECKED_SECONDS

    async def check(self) -> None:
        """Read the files, and activate a newer version if it can be used. Never raises.

        Files are read and parsed in a thread, so that neither a slow disk nor a slow parser delays
        the event loop.
        """
        loop = asyncio.get_running_loop()
        loaded = await loop.run_in_executor(self._threads, self._load)
        self._checked_at = self._clock()
        if loaded is None:
            return
        is_new = loaded[0] is not None and loaded[0] != self._contents
        self._contents, version = loaded
        if isinstance(version, RejectedError):
            self._reject(version.summary, is_new=is_new)
        else:
            self._activate(version)

    async def run(self, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep) -> None:
        """Check the files until cancelled."""
        while True:
            await sleep(CHECK_SECONDS)
            await self.check()

    def _load(self) -> tuple[list[bytes] | None, T | RejectedError] | None:
        """Read and parse the files. Runs in a thread.

        Returns:
            Their contents, None if they cannot be read, and the value or the fault; or None if
            there is nothing new.
        """
        try:
            contents = [_read(path) for path in self._paths]
        except OSError as error:
            return None, RejectedError(f"{error.filename}: {error.strerror}")
        except RejectedError as error:
            return None, error
        if contents == self._contents and self._clock() < self._retry_at:
            return None
        paths = ", ".join(self._names())
        try:
            return contents, self._parse(contents)
        except RejectedError as error:
            return contents, RejectedError(error.summary, f"{paths}: {error}")
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:  # noqa: BLE001  # pyo3's PanicException is no Exception
            fault = f"cannot be parsed ({type(error).__name__})"  # its text may quote the files
            return contents, RejectedError(fault, f"{paths}: {fault}")

    def _activate(self, value: T) -> None:
        # The value first: gRPC's threads read both, see `tls.credentials_of`.
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

    def _reject(self, fault: str, *, is_new: bool) -> None:
        if self._contents is not None:
            self._retry_at = self._clock() + RETRY_SECONDS
        if self._fault == fault and not is_new:
            return  # logged already
        self._fault = fault
        self.rejected += 1
        LOG.error(
            "a newer version of files was rejected, the previous one remains active",
            extra={"file": self.name, "paths": self._names(), "fault": fault},
        )

    def _names(self) -> list[str]:
        return [str(path) for path in self._paths]


def _read(path: Path) -> bytes:
    """Return the contents of a file.

    Raises:
        OSError: the file cannot be read.
        RejectedError: it is too large.
    """
    with path.open("rb") as file:
        data = file.read(MAX_FILE_BYTES + 1)
    if len(data) > MAX_FILE_BYTES:
        raise RejectedError(f"{path}: is larger than {MAX_FILE_BYTES} bytes")
    return data
