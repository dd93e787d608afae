"""Writes log lines in a thread of its own, so that a log without a reader blocks nothing.

A write to a full pipe blocks until its reader continues. Lines therefore wait in a bounded queue.
Lines that do not fit, or that the system fails to write, are dropped and counted; the count is
logged when writing works again.
"""

from __future__ import annotations

import os
import select
import threading
from collections import deque
from collections.abc import Callable
from typing import Final, NamedTuple

MAX_QUEUED_BYTES: Final = 1024 * 1024
AUDIT_RESERVE_BYTES: Final = 1024 * 1024
"""Room beyond `MAX_QUEUED_BYTES` for lines of the audit, so that they are dropped last."""
CLOSE_SECONDS: Final = 1.0
"""How long the process waits at its end for the queue to be written."""
WRITABLE_SECONDS: Final = 1.0
"""How long to wait for a non-blocking pipe before the next attempt."""


class _Text(NamedTuple):
    """One or several lines that are written in one piece."""

    data: bytes
    lines: int
    is_audit: bool


class LogWriter:
    """A text stream that never blocks; `write` may be called in any thread.

    Args:
        descriptor: the file descriptor to write to.
        max_bytes: limit of the queue.
        audit_bytes: additional limit for lines of the audit.
    """

    def __init__(
        self,
        descriptor: int,
        *,
        max_bytes: int = MAX_QUEUED_BYTES,
        audit_bytes: int = AUDIT_RESERVE_BYTES,
    ) -> None:
        self.describe_dropped: Callable[[int], str] = "{} log lines dropped\n".format
        """Returns the line that reports a number of dropped lines."""
        self.dropped = {"audit": 0, "other": 0}
        """Lines dropped so far, for metrics."""
        self._descriptor = descriptor
        self._max_bytes = max_bytes
        self._audit_bytes = audit_bytes
        self._queue: deque[_Text] = deque()
        self._bytes = 0
        self._unreported = 0
        self._is_closing = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._run, name="log", daemon=True)
        self._thread.start()

    def write(self, text: str, /, *, is_audit: bool = False) -> None:
        """Queue lines, or drop them if there is no room.

        Args:
            text: whole lines, which are written in one piece if they take at most `PIPE_BUF` bytes.
            is_audit: whether they may use the room that is reserved for the audit.
        """
        data = text.encode("utf-8", "backslashreplace")
        item = _Text(data, text.count("\n"), is_audit)
        limit = self._max_bytes + (self._audit_bytes if is_audit else 0)
        with self._changed:
            if self._bytes + len(data) > limit:
                self._drop(item)
                return
            self._queue.append(item)
            self._bytes += len(data)
            self._changed.notify()

    def close(self, seconds: float = CLOSE_SECONDS) -> None:
        """Write the queue, for at most this time, and end the thread."""
        with self._changed:
            self._is_closing = True
            self._changed.notify()
        self._thread.join(seconds)

    def _run(self) -> None:
        while (batch := self._next_batch()) is not None:
            try:
                self._write(b"".join(each.data for each in batch))
            except OSError:
                # The reader is gone, or the disk is full; that may change before the next lines.
                with self._changed:
                    for each in batch:
                        self._drop(each)
            else:
                self._report_dropped()

    def _next_batch(self) -> list[_Text] | None:
        """Wait for lines; return some that are written in one piece, or None at the end."""
        with self._changed:
            while not self._queue:
                if self._is_closing:
                    return None
                self._changed.wait()
            batch = [self._queue.popleft()]
            size = len(batch[0].data)
            # Workers share a pipe: the system does not interleave writes of up to PIPE_BUF bytes.
            while self._queue and size + len(self._queue[0].data) <= select.PIPE_BUF:
                batch.append(self._queue.popleft())
                size += len(batch[-1].data)
            self._bytes -= size
            return batch

    def _write(self, data: bytes) -> None:
        while data:
            try:
                data = data[os.write(self._descriptor, data) :]
            except BlockingIOError:
                select.select([], [self._descriptor], [], WRITABLE_SECONDS)

    def _report_dropped(self) -> None:
        with self._changed:
            count, self._unreported = self._unreported, 0
        if count:
            try:
                self._write(self.describe_dropped(count).encode())
            except OSError:
                with self._changed:
                    self._unreported += count

    def _drop(self, item: _Text) -> None:
        self.dropped["audit" if item.is_audit else "other"] += item.lines
        self._unreported += item.lines
