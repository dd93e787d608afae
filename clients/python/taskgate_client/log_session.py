"""The state of a log that is read over several calls. It does no input or output."""

from __future__ import annotations

from taskgate.v1 import task_log_pb2
from taskgate_client.errors import CallError
from taskgate_client.watch_session import silence_limit


class LogSession:
    """Requests for the calls of one log, and the new lines in their responses.

    A followed log continues with the next attempt when the task is retried. After a break the
    session first reads the rest of the interrupted attempt, so that it misses no line, and then
    later attempts. It requests the lines since the time of the last one. As CloudWatch Logs has a
    resolution of one millisecond, lines of that time come again; the session skips as many as it
    has returned.

    Args:
        request: the log to read.
    """

    def __init__(self, request: task_log_pb2.StreamTaskLogsRequest) -> None:
        self._request = request
        self._returned = 0
        self._last: task_log_pb2.LogLine | None = None
        self._returned_at_last_time = 0
        self._skip = 0
        self._resume_attempt = True
        self._later_attempts_follow = False
        self.source: task_log_pb2.LogSource | None = None
        """Where the log is, once the server has sent it; changes with each attempt."""
        self.finished = False
        """Whether all lines were returned."""
        self._has_heartbeats = False
        """Whether the current call has sent a heartbeat; older servers send none."""

    @property
    def silence_limit(self) -> float | None:
        """Seconds without a message after which the connection counts as dead; None for never.

        Without heartbeats a log may be silent for as long as its task computes.
        """
        return silence_limit(self._request) if self._has_heartbeats else None

    def request(self) -> task_log_pb2.StreamTaskLogsRequest:
        """Return the request for the next call."""
        request = task_log_pb2.StreamTaskLogsRequest()
        request.CopyFrom(self._request)
        any_attempt = request.follow and not request.HasField("attempt")
        if self._resume_attempt and self.source is not None and self.source.attempt:
            request.attempt = self.source.attempt  # after a retry the latest would be another log
            self._later_attempts_follow = any_attempt
        self._resume_attempt = True
        if self._last is not None:
            request.since.CopyFrom(self._last.time)
            request.tail = 0
            if request.limit:
                request.limit += self._returned_at_last_time - self._returned
        self._skip = self._returned_at_last_time
        self._has_heartbeats = False
        return request

    def take(self, response: task_log_pb2.StreamTaskLogsResponse) -> list[task_log_pb2.LogLine]:
        """Return the new lines in a response."""
        if response.HasField("source"):
            self._set_source(response.source)
        self._has_heartbeats |= response.HasField("heartbeat")
        lines = []
        for line in response.lines.lines:
            if not self.finished and self._is_new(line):
                lines.append(line)
                self.finished = self._returned == self._request.limit  # 0 for none: never equal
        return lines

    def end(self) -> None:
        """Handle the end of a call: of the whole log, or of an attempt that was resumed."""
        self.finished = self.finished or not self._later_attempts_follow
        self._later_attempts_follow = self._resume_attempt = False

    def reconnecting(self, error: CallError, delay: float, failures: int) -> None:
        """Return no event: a log that resumes has none."""

    def _set_source(self, source: task_log_pb2.LogSource) -> None:
        """Set the source; with another attempt there are no repeated lines to skip."""
        if self.source is not None and source.attempt != self.source.attempt:
            self._last, self._returned_at_last_time, self._skip = None, 0, 0
        self.source = source

    def _is_new(self, line: task_log_pb2.LogLine) -> bool:
        same_time = self._last is not None and line.time == self._last.time
        if same_time and self._skip:
            self._skip -= 1
            return False
        self._skip = 0
        self._returned_at_last_time = self._returned_at_last_time + 1 if same_time else 1
        self._returned += 1
        self._last = line
        return True
