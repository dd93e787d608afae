"""A task's log across any number of calls. Free of input and output, as `watching` is."""

from __future__ import annotations

from taskgate.v1 import task_log_pb2
from taskgate_client.watching import silence_limit


class LogSession:
    """One reading of a log.

    A log that is followed goes on with the next attempt when the task is retried. After a break it
    goes on with the same attempt first, so that no line of it is missed, then with those after it,
    from the moment of the last line on. CloudWatch Logs tells time to the millisecond only, so the
    lines of that moment come again; as many as were told are left out.

    Args:
        request: what to read.
    """

    def __init__(self, request: task_log_pb2.StreamTaskLogsRequest) -> None:
        self._request = request
        self._told = 0
        self._last: task_log_pb2.LogLine | None = None
        self._told_at_last = 0
        self._skip = 0
        self._same_attempt = True
        self._goes_on = False
        self.source: task_log_pb2.LogSource | None = None
        """Where the log is, once the server has said so; another one with each attempt."""
        self.finished = False
        """Whether all has been told."""
        self._has_heartbeats = False
        """Whether the present call has had any: older servers send none."""

    @property
    def silence_limit(self) -> float | None:
        """How many seconds without any message mean that the connection is dead; None for never.

        A log may be silent for as long as its task computes, unless the server sends heartbeats.
        """
        return silence_limit(self._request) if self._has_heartbeats else None

    def request(self) -> task_log_pb2.StreamTaskLogsRequest:
        """What to send for the next call."""
        request = task_log_pb2.StreamTaskLogsRequest()
        request.CopyFrom(self._request)
        any_attempt = request.follow and not request.HasField("attempt")
        if self._same_attempt and self.source is not None and self.source.attempt:
            request.attempt = self.source.attempt  # a retry meanwhile is another log
            self._goes_on = any_attempt
        self._same_attempt = True
        if self._last is not None:
            request.since.CopyFrom(self._last.time)
            request.tail = 0
            if request.limit:
                request.limit += self._told_at_last - self._told
        self._skip = self._told_at_last
        self._has_heartbeats = False
        return request

    def take(self, response: task_log_pb2.StreamTaskLogsResponse) -> list[task_log_pb2.LogLine]:
        """The new lines in one message of the server."""
        if response.HasField("source"):
            self._begin(response.source)
        self._has_heartbeats |= response.HasField("heartbeat")
        lines = []
        for line in response.lines.lines:
            if not self.finished and self._is_new(line):
                lines.append(line)
                self.finished = self._told == self._request.limit  # 0 is none, and never reached
        return lines

    def end(self) -> None:
        """The server has closed the call: the log is at its end, or an attempt's after a break."""
        self.finished = self.finished or not self._goes_on
        self._goes_on = self._same_attempt = False

    def _begin(self, source: task_log_pb2.LogSource) -> None:
        """Another attempt's lines are none of those that were told."""
        if self.source is not None and source.attempt != self.source.attempt:
            self._last, self._told_at_last, self._skip = None, 0, 0
        self.source = source

    def _is_new(self, line: task_log_pb2.LogLine) -> bool:
        same_moment = self._last is not None and line.time == self._last.time
        if same_moment and self._skip:
            self._skip -= 1
            return False
        self._skip = 0
        self._told_at_last = self._told_at_last + 1 if same_moment else 1
        self._told += 1
        self._last = line
        return True
