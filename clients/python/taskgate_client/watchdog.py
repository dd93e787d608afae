"""The watchdog of a blocking client: it cancels calls that are silent for too long while read.

It needs a thread, as gRPC has no timeout for a read: one for all streams of a client.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any


@dataclass(slots=True, eq=False)
class Read:
    """A read that is watched."""

    call: Any
    end: float
    """By the clock, when the call counts as dead."""
    is_late: bool = False
    """Whether the watchdog has cancelled the call."""


class Watchdog:
    """Watches the reads of a client's streams.

    Args:
        clock: monotonic seconds.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._changed = threading.Condition()
        self._reads: set[Read] = set()
        self._next_end = float("inf")
        """When the thread wakes up by itself."""
        self._is_stopped = False
        self._thread: threading.Thread | None = None

    @contextmanager
    def watching(self, call: Any, limit: float | None) -> Iterator[Read]:
        """Watch the read inside the `with`. Time between two reads does not count.

        Args:
            call: the call that is read.
            limit: seconds of silence after which it is cancelled; None for no limit.
        """
        read = Read(call, float("inf") if limit is None else self._clock() + limit)
        if limit is not None:
            self._add(read)
        try:
            yield read
        finally:
            with self._changed:
                self._reads.discard(read)

    def stop(self) -> None:
        """End the thread."""
        with self._changed:
            self._is_stopped = True
            self._changed.notify()

    def _add(self, read: Read) -> None:
        with self._changed:
            self._reads.add(read)
            if self._thread is None:
                self._thread = threading.Thread(
                    target=self._run, name="taskgate-watchdog", daemon=True
                )
                self._thread.start()
            elif read.end < self._next_end:
                self._changed.notify()

    def _run(self) -> None:
        while True:
            with self._changed:
                if self._is_stopped:
                    return
                now = self._clock()
                late = [read for read in self._reads if read.end <= now]
                self._reads.difference_update(late)
                for read in late:
                    read.is_late = True
                if not late:
                    self._next_end = min((read.end for read in self._reads), default=float("inf"))
                    seconds = self._next_end - now
                    self._changed.wait(None if seconds == float("inf") else seconds)
            for read in late:  # without the lock: gRPC may call back
                read.call.cancel()
