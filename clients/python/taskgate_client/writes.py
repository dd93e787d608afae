"""When the writes of a client ended, so that its reads show them, whichever replica serves them.

A read sends the time since the latest write of what it names. A replica that shares nothing with
the one that executed the write then returns only what AWS returned after it. No clocks are
compared: the time that the request takes only makes the response fresher.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection
from typing import Final

SINCE_WRITE_KEY: Final = "taskgate-since-write"

READS: Final = ("BatchGet", "Get", "List", "Search", "Stream", "Summarize", "Wait", "Watch")
"""How the names of RPCs that read begin. All others may write."""

MAX_SECONDS: Final = 300.0
"""Older writes are not sent: no server caches a response for longer."""

MAX_PARENTS: Final = 1_000
"""Jobs and runs whose latest write is stored. With more, all of them count as written."""

NEVER: Final = float("-inf")


def is_read(path: str) -> bool:
    """Return whether an RPC reads, by its path, such as `/taskgate.v1.TaskService/GetTask`."""
    return path.rpartition("/")[2].startswith(READS)


def is_write(path: str) -> bool:
    """Return whether an RPC may write; those of gRPC's own services, such as health, do not."""
    return not is_read(path) and not path.startswith("/grpc.")


class Writes:
    """When the latest writes ended, by job or run. Thread-safe.

    Args:
        clock: monotonic seconds.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._latest = NEVER
        """When the latest write of anything ended."""
        self._of_all = NEVER
        """When the latest write ended that may concern any job or run."""
        self._by_parent: dict[str, float] = {}
        """When the latest write of each job or run ended."""
        self._running: dict[object, Collection[str] | None] = {}
        """What the writes concern that `run` has been called for."""

    @property
    def is_empty(self) -> bool:
        """Whether there was no write."""
        return self._latest == NEVER and not self._running

    def run(self, parents: Collection[str] | None) -> Callable[[], None]:
        """Count a write as ending at every moment, until the returned function is called.

        For calls whose caller may know their end before this client does.
        """
        key = object()
        with self._lock:
            self._running[key] = parents

        def end() -> None:
            self.record(parents)
            with self._lock:
                del self._running[key]

        return end

    def record(self, parents: Collection[str] | None) -> None:
        """Record that a write has ended. One that failed may have been executed all the same.

        Args:
            parents: the jobs and runs that it concerns; None if it may concern others.
        """
        with self._lock:
            self._latest = now = self._clock()  # in the lock: a later write must not seem earlier
            self._by_parent |= dict.fromkeys(parents or (), now)
            if parents is None or len(self._by_parent) > MAX_PARENTS:
                self._by_parent.clear()
                self._of_all = now

    def since(self, parents: Collection[str] | None) -> str | None:
        """Return the seconds since the latest write for the metadata of a read, rounded down.

        Args:
            parents: the jobs and runs that the read concerns; None if it may concern others.

        Returns:
            None if there was no write that matters.
        """
        with self._lock:
            if any(_overlap(parents, each) for each in self._running.values()):
                return "0.000"
            ended_at = (
                self._latest
                if parents is None
                else max(self._of_all, *(self._by_parent.get(each, NEVER) for each in parents))
            )
        seconds = self._clock() - ended_at
        if seconds > MAX_SECONDS:
            return None
        milliseconds = int(seconds * 1000)
        return f"{milliseconds // 1000}.{milliseconds % 1000:03}"


def _overlap(parents: Collection[str] | None, others: Collection[str] | None) -> bool:
    return parents is None or others is None or not set(parents).isdisjoint(others)
