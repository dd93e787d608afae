"""A watch across any number of calls: where it stands, and what each answer means.

Free of input and output, so that the blocking client and others share it.
"""

from __future__ import annotations

from datetime import UTC

import grpc

from taskgate.v1 import task_log_pb2, task_pb2, task_watch_pb2
from taskgate_client.errors import CallError
from taskgate_client.events import Heartbeat, Resumed, Snapshot, TaskChange, WatchEnd, WatchEvent
from taskgate_client.reconnects import SERVER_STOPPING

DEFAULT_HEARTBEAT_SECONDS = 10.0
"""What the server takes where the request has none."""
SILENT_HEARTBEATS = 3
"""After how many heartbeats that did not come a connection is given up."""


def silence_limit(
    request: task_watch_pb2.WatchTasksRequest | task_log_pb2.StreamTaskLogsRequest,
) -> float:
    """Return after how many seconds without a message a stream with heartbeats is dead."""
    interval = request.heartbeat_interval.ToTimedelta().total_seconds()
    return SILENT_HEARTBEATS * (interval or DEFAULT_HEARTBEAT_SECONDS)


class WatchSession:
    """One watch, however often it has to be called for.

    A snapshot is handed on when it is whole. A call that breaks within one begins again: the tokens
    inside of it are of use only to those who keep its first part.

    Args:
        request: what to watch; its `resume_token`, if any, is where to begin.
    """

    def __init__(self, request: task_watch_pb2.WatchTasksRequest) -> None:
        self._request = request
        self._token = request.resume_token
        self._reason = task_watch_pb2.SNAPSHOT_REASON_UNSPECIFIED
        self._snapshot: list[task_pb2.Task] | None = None
        self.finished = False
        """Whether the watch has ended by itself."""

    @property
    def resume_token(self) -> bytes:
        """Where another watch of the same could go on after the events so far; may be empty."""
        return self._token

    @property
    def silence_limit(self) -> float:
        """How many seconds without any message mean that the connection is dead."""
        return silence_limit(self._request)

    def request(self) -> task_watch_pb2.WatchTasksRequest:
        """What to send for the next call."""
        self._snapshot = None
        request = task_watch_pb2.WatchTasksRequest()
        request.CopyFrom(self._request)
        request.resume_token = self._token
        return request

    def take(self, response: task_watch_pb2.WatchTasksResponse) -> list[WatchEvent]:
        """The events in one message of the server: one, or none.

        Raises:
            CallError: UNAVAILABLE, the server stops; the watch goes on with another call.
        """
        events = self._events(response)
        if response.resume_token and self._snapshot is None:
            self._token = response.resume_token
        return events

    def end(self) -> None:
        """The server has closed the call and said that all is well.

        Raises:
            CallError: UNAVAILABLE, if the watch has not ended; some proxy may have had enough.
        """
        if not self.finished:
            raise CallError(grpc.StatusCode.UNAVAILABLE, "the stream ended before the watch did")

    def _events(self, response: task_watch_pb2.WatchTasksResponse) -> list[WatchEvent]:
        match response.WhichOneof("event"):
            case "snapshot_begin":
                self._snapshot = []
                self._reason = response.snapshot_begin.reason
            case "snapshot_tasks" if self._snapshot is not None:
                self._snapshot.extend(response.snapshot_tasks.tasks)
            case "snapshot_end" if self._snapshot is not None:
                return [self._whole_snapshot(self._snapshot, response.snapshot_end)]
            case "resumed":
                return [Resumed()]
            case "task_change":
                return [_change(response.task_change)]
            case "heartbeat":
                return [_heartbeat(response.heartbeat)]
            case "watch_end":
                return [self._end(response.watch_end)]
            case _:  # of a newer server
                pass
        return []

    def _whole_snapshot(
        self, tasks: list[task_pb2.Task], end: task_watch_pb2.SnapshotEnd
    ) -> Snapshot:
        self._snapshot = None
        known = end.HasField("observe_time")
        return Snapshot(
            tasks=tuple(tasks),
            reason=self._reason,
            observe_time=end.observe_time.ToDatetime(UTC) if known else None,
        )

    def _end(self, end: task_watch_pb2.WatchEnd) -> WatchEnd:
        if end.reason == task_watch_pb2.WATCH_END_REASON_SERVER_STOPPING:
            raise CallError(
                grpc.StatusCode.UNAVAILABLE, "the server stops", SERVER_STOPPING, "taskgate"
            )
        self.finished = True
        parent = end.parent_status if end.HasField("parent_status") else None
        return WatchEnd(reason=end.reason, counts=end.counts, parent_status=parent)


def _change(message: task_watch_pb2.TaskChange) -> TaskChange:
    return TaskChange(
        task=message.task,
        kind=message.kind,
        previous_state=message.previous_state,
        sequence=message.sequence,
    )


def _heartbeat(message: task_watch_pb2.Heartbeat) -> Heartbeat:
    def seconds(field: str) -> float | None:
        if not message.HasField(field):  # type: ignore[arg-type]  # it wants a literal
            return None
        return float(getattr(message, field).ToTimedelta().total_seconds())

    failed = message.HasField("upstream_error")
    return Heartbeat(
        staleness=seconds("staleness"),
        next_poll=seconds("next_poll"),
        upstream_error=CallError.of_status(message.upstream_error) if failed else None,
    )
