"""Calls that an interceptor has wrapped in an iterator that cannot be cancelled."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator
from contextlib import suppress
from typing import Any, Final

import grpc

from taskgate_client.errors import CallError

READ: Final = "read"
END: Final = "end"


def cancellable(call: Any) -> Any:
    """Return the call, or one that can be cancelled in its place.

    Some interceptors return a generator instead of a call, such as OpenTelemetry's.
    """
    return call if hasattr(call, "cancel") else _WrappedCall(iter(call))


class _WrappedCall:
    """Reads an iterator in a thread, so that a read can be left.

    The thread reads only on demand. If a cancelled read is under way, the call ends when its next
    message arrives, such as a heartbeat.
    """

    def __init__(self, iterator: Iterator[Any]) -> None:
        self._iterator = iterator
        self._requests: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._outcomes: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._is_cancelled = False
        threading.Thread(target=self._run, name="taskgate-read", daemon=True).start()

    def __next__(self) -> Any:
        self._requests.put(READ)
        outcome = self._outcomes.get()
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome

    def cancel(self) -> None:
        """End the read that is under way, and the call as soon as possible."""
        self._is_cancelled = True
        self._requests.put(END)
        self._outcomes.put(CallError(grpc.StatusCode.CANCELLED, "the stream was closed"))

    def _run(self) -> None:
        while self._requests.get() == READ:
            try:
                outcome: Any = next(self._iterator)
            except BaseException as error:  # noqa: BLE001  # it is raised where the read is
                outcome = error
            if self._is_cancelled:
                break
            self._outcomes.put(outcome)
        close = getattr(self._iterator, "close", None)
        if close is not None:
            with suppress(Exception):  # an interceptor's; the call has ended
                close()
