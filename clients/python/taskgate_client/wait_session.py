"""The state of a wait for a task over several calls. It does no input or output."""

from __future__ import annotations

import grpc

from taskgate.v1 import task_watch_pb2
from taskgate_client.errors import CallError
from taskgate_client.reconnects import Reconnects

MAX_CALL_SECONDS = 300.0
"""Timeout of one call. Load balancers cut calls that last for hours."""
MAX_WAIT_SECONDS = 25
"""`max_wait` of each call. Proxies cut calls that are silent for longer; 30 s is a common limit."""
MIN_CALL_SECONDS = 1.0
"""Minimum time for another call, and minimum interval between calls."""


class WaitSession:
    """Requests for the calls of one wait, and when to make the next one.

    Args:
        request: what to wait for.
        timeout: seconds for the whole wait; None for no limit.
        now: the current time, on the same clock as every later `now`.
        reconnects: decides about failed calls.
    """

    def __init__(
        self,
        request: task_watch_pb2.WaitTaskRequest,
        *,
        timeout: float | None,
        now: float,
        reconnects: Reconnects,
    ) -> None:
        self._request = task_watch_pb2.WaitTaskRequest()
        self._request.CopyFrom(request)
        if not request.HasField("max_wait"):
            self._request.max_wait.FromSeconds(MAX_WAIT_SECONDS)
        self._end = None if timeout is None else now + timeout
        self._call_start = now
        self._reconnects = reconnects
        self._response: task_watch_pb2.WaitTaskResponse | None = None

    def request(self, now: float) -> tuple[task_watch_pb2.WaitTaskRequest, float]:
        """Return the request for the next call, and its timeout in seconds."""
        self._call_start = now
        remaining = MAX_CALL_SECONDS if self._end is None else max(self._end - now, 0.0)
        return self._request, min(remaining, MAX_CALL_SECONDS)

    def take(self, response: task_watch_pb2.WaitTaskResponse, now: float) -> float | None:
        """Store a response.

        Returns:
            Seconds until the next call; None if the wait is over.
        """
        self._response = response
        self._reconnects.reached(now)
        if response.done or self._is_timed_out(now):
            return None
        # A server that is shutting down responds early; do not call it in a tight loop.
        is_early = now - self._call_start < MIN_CALL_SECONDS
        return MIN_CALL_SECONDS if is_early else 0.0

    def fail(self, error: CallError, now: float) -> float | None:
        """Handle a failed call; returns what `take` returns.

        Raises:
            CallError: the error is final, or the wait timed out without any response.
        """
        if self._end is not None and self._is_timed_out(now):
            if self._response is not None and error.code is grpc.StatusCode.DEADLINE_EXCEEDED:
                return None
            raise error
        if now - self._call_start > MIN_CALL_SECONDS:
            # A refused connection fails faster: the server was there when the call started.
            self._reconnects.reached(self._call_start)
        return self._reconnects.delay_after(error, now)

    def last_response(self) -> task_watch_pb2.WaitTaskResponse:
        """Return the latest response, when the wait is over."""
        if self._response is None:
            raise RuntimeError("the wait is not over")
        return self._response

    def _is_timed_out(self, now: float) -> bool:
        return self._end is not None and self._end - now < MIN_CALL_SECONDS
