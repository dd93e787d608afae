"""The end of a client: closing it ends its streams, waits and calls with `ClosedError`."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol

import grpc

from taskgate_client.errors import CallError, ClosedError


class Endable(Protocol):
    """A stream or a wait, which may be between two calls."""

    def end(self, error: CallError) -> None:
        """End it now, in whatever thread it is; its user gets the error."""


class Lifetime:
    """Whether a client is open, and what ends with it. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._is_closed = False
        self._endables: weakref.WeakSet[Endable] = weakref.WeakSet()

    def check(self) -> None:
        """Raise ClosedError if the client is closed."""
        if self._is_closed:
            raise ClosedError.new()

    def add(self, endable: Endable) -> None:
        """Let something end with the client, as long as something else refers to it.

        Raises:
            ClosedError: the client is closed.
        """
        with self._lock:
            self.check()
            self._endables.add(endable)

    def close(self) -> None:
        """End everything that was added."""
        with self._lock:
            self._is_closed = True
            endables = list(self._endables)
        for endable in endables:
            endable.end(ClosedError.new())

    @property
    def is_closed(self) -> bool:
        """Whether the client is closed."""
        return self._is_closed

    @contextmanager
    def call_errors(self) -> Iterator[None]:
        """Raise errors of gRPC inside the `with` as CallErrors.

        Raises:
            ClosedError: the client is closed; gRPC raises CANCELLED, or ValueError for a new call.
        """
        self.check()
        try:
            yield
        except grpc.RpcError as error:
            raise self.error_of(error) from None
        except ValueError:
            self.check()
            raise

    def error_of(self, error: grpc.RpcError) -> CallError:
        """Convert an error of gRPC; return ClosedError if the client was closed meanwhile."""
        converted = CallError.of(error)
        ended_here = converted.code is grpc.StatusCode.CANCELLED and not converted.reason
        return ClosedError.new() if self._is_closed and ended_here else converted


class Pauses:
    """The pauses of a wait, which end with the client.

    Args:
        wait: see `Timing.wait`.
    """

    def __init__(self, wait: Callable[[threading.Event, float], object]) -> None:
        self._wait = wait
        self._stopped = threading.Event()
        self._error: CallError | None = None

    def pause(self, seconds: float) -> None:
        """Wait for some seconds.

        Raises:
            ClosedError: the client was closed.
        """
        self._wait(self._stopped, seconds)
        if self._error is not None:
            raise self._error

    def end(self, error: CallError) -> None:
        """See `Endable`."""
        self._error = error
        self._stopped.set()
