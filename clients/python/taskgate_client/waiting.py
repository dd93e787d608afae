"""Waiting for a task across any number of calls. Free of input and output, as `watching` is."""

from __future__ import annotations

import grpc

from taskgate.v1 import task_watch_pb2
from taskgate_client.errors import CallError
from taskgate_client.reconnects import Reconnects

MAX_CALL_SECONDS = 300.0
"""How long one call may wait. Load balancers cut calls that live for hours."""
MAX_WAIT_SECONDS = 25
"""`max_wait` of each call. Proxies cut calls that are silent for longer; 30 s is a common limit."""
MIN_CALL_SECONDS = 1.0
"""With less time than that left there is no point in asking again."""


class WaitSession:
    """One waiting.

    Args:
        request: what to wait for.
        time_limit: seconds; None to wait for ever.
        now: the present time, on the clock of all the `now`s that follow.
        reconnects: decides on failures.
    """

    def __init__(
        self,
        request: task_watch_pb2.WaitTaskRequest,
        *,
        time_limit: float | None,
        now: float,
        reconnects: Reconnects,
    ) -> None:
        self._request = task_watch_pb2.WaitTaskRequest()
        self._request.CopyFrom(request)
        if not request.HasField("max_wait"):
            self._request.max_wait.FromSeconds(MAX_WAIT_SECONDS)
        self._end = None if time_limit is None else now + time_limit
        self._asked = now
        self._reconnects = reconnects
        self._answer: task_watch_pb2.WaitTaskResponse | None = None

    def request(self, now: float) -> tuple[task_watch_pb2.WaitTaskRequest, float]:
        """What to send, and how many seconds the call may take."""
        self._asked = now
        left = MAX_CALL_SECONDS if self._end is None else max(self._end - now, 0.0)
        return self._request, min(left, MAX_CALL_SECONDS)

    def take(self, answer: task_watch_pb2.WaitTaskResponse, now: float) -> float | None:
        """Keeps an answer.

        Returns:
            How many seconds to wait before asking again; None if the waiting is over.
        """
        self._answer = answer
        self._reconnects.reached(now)
        if answer.done or self._is_late(now):
            return None
        # A server that stops answers early, and would be asked over and over.
        early = now - self._asked < MIN_CALL_SECONDS
        return MIN_CALL_SECONDS if early else 0.0

    def failed(self, error: CallError, now: float) -> float | None:
        """As `take`, for a call that failed.

        Raises:
            CallError: the error, if it is final, or if the time is up and no answer ever came.
        """
        if self._end is not None and self._is_late(now):
            if self._answer is not None and error.code is grpc.StatusCode.DEADLINE_EXCEEDED:
                return None
            raise error
        if now - self._asked > MIN_CALL_SECONDS:
            self._reconnects.reached(self._asked)  # nobody refuses a connection that slowly
        return self._reconnects.delay_after(error, now)

    def last_answer(self) -> task_watch_pb2.WaitTaskResponse:
        """The latest answer, when the waiting is over."""
        if self._answer is None:
            raise RuntimeError("the waiting is not over")
        return self._answer

    def _is_late(self, now: float) -> bool:
        return self._end is not None and self._end - now < MIN_CALL_SECONDS
