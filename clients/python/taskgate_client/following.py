"""What follows tasks over many calls, for the blocking client: a watch, a wait, a log."""

from __future__ import annotations

import grpc

from taskgate.v1 import task_log_pb2, task_service_pb2_grpc, task_watch_pb2
from taskgate_client.errors import CallError
from taskgate_client.events import Reconnecting, WatchEvent
from taskgate_client.log_session import LogSession
from taskgate_client.streams import ResumingStream, Timing
from taskgate_client.waiting import WaitSession
from taskgate_client.watching import WatchSession


class TaskWatch(ResumingStream[task_watch_pb2.WatchTasksResponse, WatchEvent]):
    """The events of a watch.

    Args:
        stub: of the server.
        request: what to watch.
        timing: where time and chance come from.
        time_limit: seconds for all of it; None for no limit.
    """

    def __init__(
        self,
        stub: task_service_pb2_grpc.TaskServiceStub,
        request: task_watch_pb2.WatchTasksRequest,
        timing: Timing,
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


class TaskLog(ResumingStream[task_log_pb2.StreamTaskLogsResponse, task_log_pb2.LogLine]):
    """The lines of a log.

    Args:
        stub: of the server.
        request: what to read.
        timing: where time and chance come from.
        time_limit: seconds for all of it; None for no limit.
    """

    def __init__(
        self,
        stub: task_service_pb2_grpc.TaskServiceStub,
        request: task_log_pb2.StreamTaskLogsRequest,
        timing: Timing,
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


def wait(
    stub: task_service_pb2_grpc.TaskServiceStub, session: WaitSession, timing: Timing
) -> task_watch_pb2.WaitTaskResponse:
    """Asks until the session has its answer.

    Raises:
        CallError: the session cannot have one.
    """
    while True:
        request, seconds = session.request(timing.clock())
        try:
            pause = session.take(stub.WaitTask(request, timeout=seconds), timing.clock())
        except grpc.RpcError as error:
            pause = session.failed(CallError.of(error), timing.clock())
        if pause is None:
            return session.last_answer()
        timing.sleep(pause)


def reconnecting(error: CallError, delay: float, failures: int) -> WatchEvent:
    """The event that tells of a break."""
    return Reconnecting(error=error, delay=delay, failures=failures)
