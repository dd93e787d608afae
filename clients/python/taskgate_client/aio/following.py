"""What follows tasks over many calls, for asyncio: a watch, a wait, a log."""

from __future__ import annotations

from typing import Any

import grpc

from taskgate.v1 import task_log_pb2, task_watch_pb2
from taskgate_client.aio.streams import AsyncResumingStream, AsyncTiming
from taskgate_client.errors import CallError
from taskgate_client.events import WatchEvent
from taskgate_client.following import reconnecting
from taskgate_client.log_session import LogSession
from taskgate_client.waiting import WaitSession
from taskgate_client.watching import WatchSession


class AsyncTaskWatch(AsyncResumingStream[task_watch_pb2.WatchTasksResponse, WatchEvent]):
    """The events of a watch; as `taskgate_client.TaskWatch`."""

    def __init__(
        self,
        stub: Any,
        request: task_watch_pb2.WatchTasksRequest,
        timing: AsyncTiming,
        time_limit: float | None,
    ) -> None:
        self._watch = WatchSession(request)
        super().__init__(
            lambda left: stub.WatchTasks(self._watch.request(), timeout=left),
            self._watch,
            reconnecting,
            timing=timing,
            time_limit=time_limit,
        )

    @property
    def resume_token(self) -> bytes:
        """Where another watch of the same could go on after the events so far; may be empty."""
        return self._watch.resume_token


class AsyncTaskLog(AsyncResumingStream[task_log_pb2.StreamTaskLogsResponse, task_log_pb2.LogLine]):
    """The lines of a log; as `taskgate_client.TaskLog`."""

    def __init__(
        self,
        stub: Any,
        request: task_log_pb2.StreamTaskLogsRequest,
        timing: AsyncTiming,
        time_limit: float | None,
    ) -> None:
        self._log = LogSession(request)
        super().__init__(
            lambda left: stub.StreamTaskLogs(self._log.request(), timeout=left),
            self._log,
            lambda *_: None,
            timing=timing,
            time_limit=time_limit,
        )

    @property
    def source(self) -> task_log_pb2.LogSource | None:
        """Where the log is and which attempt's it is, once the server has said so."""
        return self._log.source


async def wait(
    stub: Any, session: WaitSession, timing: AsyncTiming
) -> task_watch_pb2.WaitTaskResponse:
    """Asks until the session has its answer.

    Raises:
        CallError: the session cannot have one.
    """
    while True:
        request, seconds = session.request(timing.clock())
        try:
            answer = await stub.WaitTask(request, timeout=seconds)
            pause = session.take(answer, timing.clock())
        except grpc.RpcError as error:
            pause = session.failed(CallError.of(error), timing.clock())
        if pause is None:
            return session.last_answer()
        await timing.sleep(pause)
