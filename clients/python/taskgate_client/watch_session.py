"""The state of a watch over several calls. It does no input or output.

The blocking and the asyncio client share it.
"""

from __future__ import annotations

from datetime import UTC

import grpc

from taskgate.v1 import task_log_pb2, task_pb2, task_watch_pb2
from taskgate_client.errors import CallError
from taskgate_client.events import (
    Heartbeat,
    Reconnecting,
    Resumed,
    Snapshot,
    TaskChange,
    WatchEnd,
    WatchEvent,
)
from taskgate_client.reconnects import SERVER_STOPPING

DEFAULT_HEARTBEAT_SECONDS = 10.0
"""The server's interval for requests without one."""
MAX_MISSED_HEARTBEATS = 3
"""Number of missed heartbeats after which a connection counts as dead."""


def silence_limit(
    request: task_watch_pb2.WatchTasksRequest | task_log_pb2.StreamTaskLogsRequest,
) -> float:
    """Return the seconds without a message after which a stream with heartbeats is dead."""
    interval = request.heartbeat_interval.ToTimedelta().total_seconds()
    return MAX_MISSED_HEARTBEATS * (interval or DEFAULT_HEARTBEAT_SECONDS)


class WatchSession:
    """Requests for the calls of one watch, and the events in their responses.

    The session returns a snapshot only when it is complete. If a call breaks within one, the next
    call starts over: a resume token from within a snapshot is valid only for a client that keeps
    the part it has received.

    Args:
        request: what to watch; its `resume_token`, if any, is where to start.
    """

    def __init__(self, request: task_watch_pb2.WatchTasksRequest) -> None:
        self._request = request
        self._token = request.resume_token
        self._reason = task_watch_pb2.SNAPSHOT_REASON_UNSPECIFIED
        self._snapshot: list[task_pb2.Task] | None = None
        self.finished = False
        """Whether the server has ended the watch."""

    @property
    def resume_token(self) -> bytes:
        """Where another watch can resume after the events so far; may be empty."""
        return self._token

    @property
    def silence_limit(self) -> float:
        """Seconds without a message after which the connection counts as dead."""
        return silence_limit(self._request)

    def request(self) -> task_watch_pb2.WatchTasksRequest:
        """Return the request for the next call."""
        self._snapshot = None
        request = task_watch_pb2.WatchTasksRequest()
        request.CopyFrom(self._request)
        request.resume_token = self._token
        return request

    def take(self, response: task_watch_pb2.WatchTasksResponse) -> list[WatchEvent]:
        """Return the events in a response: one, or none.

        Raises:
            CallError: UNAVAILABLE if the server is shutting down; call again.
        """
        events = self._events(response)
        if response.resume_token and self._snapshot is None:
            self._token = response.resume_token
        return events

    def end(self) -> None:
        """Handle a call that ended with the status OK.

        Raises:
            CallError: UNAVAILABLE if the watch is not complete, since then a proxy ended the call.
        """
        if not self.finished:
            raise CallError(grpc.StatusCode.UNAVAILABLE, "the stream ended before the watch did")

    def reconnecting(self, error: CallError, delay: float, failures: int) -> WatchEvent:
        """Return the event for a call that broke."""
        return Reconnecting(error=error, delay=delay, failures=failures)

    def _events(self, response: task_watch_pb2.WatchTasksResponse) -> list[WatchEvent]:
        match response.WhichOneof("event"):
            case "snapshot_begin":
                self._snapshot = []
                self._reason = response.snapshot_begin.reason
            case "snapshot_tasks" if self._snapshot is not None:
                self._snapshot.extend(response.snapshot_tasks.tasks)
            case "snapshot_end" if self._snapshot is not None:
                return [self._complete_snapshot(self._snapshot, response.snapshot_end)]
            case "resumed":
                return [Resumed()]
            case "task_change":
                return [_change(response.task_change)]
            case "heartbeat":
                return [_heartbeat(response.heartbeat)]
            case "watch_end":
                return [self._end(response.watch_end)]
            case _:  # an event of a newer server
                pass
        return []

    def _complete_snapshot(
        self, tasks: list[task_pb2.Task], end: task_watch_pb2.SnapshotEnd
    ) -> Snapshot:
        self._snapshot = None
        observed = end.HasField("observe_time")
        return Snapshot(
            tasks=tuple(tasks),
            reason=self._reason,
            observe_time=end.observe_time.ToDatetime(UTC) if observed else None,
        )

    def _end(self, end: task_watch_pb2.WatchEnd) -> WatchEnd:
        if end.reason == task_watch_pb2.WATCH_END_REASON_SERVER_STOPPING:
            raise CallError(
                grpc.StatusCode.UNAVAILABLE,
                "the server is shutting down",
                SERVER_STOPPING,
                "taskgate",
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
        if not message.HasField(field):  # type: ignore[arg-type]  # it accepts only literals
            return None
        return float(getattr(message, field).ToTimedelta().total_seconds())

    has_error = message.HasField("upstream_error")
    return Heartbeat(
        staleness=seconds("staleness"),
        next_poll=seconds("next_poll"),
        upstream_error=CallError.of_status(message.upstream_error) if has_error else None,
    )
