"""When a call that broke is tried again. Free of clock and network: every client can use it."""

from __future__ import annotations

import math
from collections.abc import Callable

import grpc

from taskgate_client.errors import CallError

FIRST_DELAY_SECONDS = 1.0
MAX_DELAY_SECONDS = 10.0
PATIENCE_SECONDS = 300.0

SERVER_STOPPING = "SERVER_STOPPING"
"""The reason of a server that has sent its callers elsewhere."""

_TRANSIENT = frozenset(
    {
        grpc.StatusCode.UNAVAILABLE,
        # Not by us: what a server, or a proxy, that stops does to the streams it still has.
        grpc.StatusCode.CANCELLED,
        grpc.StatusCode.DEADLINE_EXCEEDED,
    }
)

_RESET = frozenset({grpc.StatusCode.INTERNAL, grpc.StatusCode.UNKNOWN})
"""What gRPC makes of a stream that a proxy has reset, since the server behind it is gone."""


class Reconnects:
    """Decides, failure by failure, whether to go on and after how long.

    A server that was never reached is not waited for, so that a wrong address shows at once.

    Args:
        random: a number from 0 to 1, for the jitter.
        patience: how many seconds without contact are put up with.
    """

    def __init__(self, random: Callable[[], float], patience: float = PATIENCE_SECONDS) -> None:
        self._random = random
        self._patience = patience
        self._contact: float | None = None
        self._moved = -math.inf
        self.failures = 0
        """How many there have been since the last contact."""

    def reached(self, now: float) -> None:
        """The server has answered."""
        self._contact = now
        self.failures = 0

    def delay_after(self, error: CallError, now: float) -> float:
        """How many seconds to wait before the next attempt.

        Full jitter: the many callers of one server that is lost must not come back all at once.
        One that stops has said so before it let its callers go, and has others take them: there is
        nothing to wait for, the first time.

        Raises:
            CallError: the error itself; it is final, or the patience is at an end.
        """
        if self._contact is None or now - self._contact > self._patience or not _passes(error):
            raise error
        self.failures += 1
        if error.reason == SERVER_STOPPING and now - self._moved > FIRST_DELAY_SECONDS:
            self._moved = now
            return 0.0
        # 2.0 to the power of 1024 would be too large for a float.
        longest = FIRST_DELAY_SECONDS * 2.0 ** min(self.failures - 1, 10)
        delay = self._random() * min(longest, MAX_DELAY_SECONDS)
        return max(delay, error.retry_after_seconds or 0.0)


def _passes(error: CallError) -> bool:
    if error.code is grpc.StatusCode.RESOURCE_EXHAUSTED:
        return error.retry_after_seconds is not None
    if not error.reason:
        # Not Taskgate's word, which has a reason with each error.
        return error.code in _TRANSIENT | _RESET
    return error.code in _TRANSIENT
