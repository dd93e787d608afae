"""When to call again after a call broke. It reads no clock and does no input or output."""

from __future__ import annotations

import math
from collections.abc import Callable

import grpc

from taskgate_client.errors import CallError

FIRST_DELAY_SECONDS = 1.0
MAX_DELAY_SECONDS = 10.0
PATIENCE_SECONDS = 300.0

SERVER_STOPPING = "SERVER_STOPPING"
"""The reason of a server that is shutting down."""

_TRANSIENT = frozenset(
    {
        grpc.StatusCode.UNAVAILABLE,
        # Not cancelled by this client: servers and proxies end their open streams so at shutdown.
        grpc.StatusCode.CANCELLED,
        grpc.StatusCode.DEADLINE_EXCEEDED,
    }
)

_RESET = frozenset({grpc.StatusCode.INTERNAL, grpc.StatusCode.UNKNOWN})
"""gRPC's codes for a stream that a proxy has reset because it lost the server."""


class Reconnects:
    """Decides after each failure whether to call again, and after what delay.

    A server that has never responded is not retried, so that a wrong address fails immediately.

    Args:
        random: returns a number from 0 to 1, for the jitter.
        patience: seconds without a response after which errors become final.
    """

    def __init__(self, random: Callable[[], float], patience: float = PATIENCE_SECONDS) -> None:
        self._random = random
        self._patience = patience
        self._last_response: float | None = None
        self._left_stopping_server = -math.inf
        self.failures = 0
        """Number of failures since the last response."""

    def reached(self, now: float) -> None:
        """Record a response of the server."""
        self._last_response = now
        self.failures = 0

    def delay_after(self, error: CallError, now: float) -> float:
        """Return the delay before the next attempt, in seconds.

        Delays have full jitter, so that the clients of a lost server do not all return at once. A
        server that announces its shutdown has other replicas to take over its clients, so the first
        such delay is zero.

        Raises:
            CallError: the given error, if it is final or the patience is exhausted.
        """
        if (
            self._last_response is None
            or now - self._last_response > self._patience
            or not _is_transient(error)
        ):
            raise error
        self.failures += 1
        stopping = error.reason == SERVER_STOPPING
        if stopping and now - self._left_stopping_server > FIRST_DELAY_SECONDS:
            self._left_stopping_server = now
            return 0.0
        exponent = min(self.failures - 1, 10)  # 2.0 ** 1024 overflows
        max_delay = min(FIRST_DELAY_SECONDS * 2.0**exponent, MAX_DELAY_SECONDS)
        return max(self._random() * max_delay, error.retry_after_seconds or 0.0)


def _is_transient(error: CallError) -> bool:
    if error.code is grpc.StatusCode.RESOURCE_EXHAUSTED:
        return error.retry_after_seconds is not None
    if not error.reason:
        # Taskgate's own errors have a reason; this one is of gRPC or a proxy.
        return error.code in _TRANSIENT | _RESET
    return error.code in _TRANSIENT
