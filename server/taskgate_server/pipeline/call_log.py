"""Log lines of calls, in the format of all other log lines.

A call costs the server some 150 us, of which Python's `logging` and a JSON encoder would take 40.
So these lines have a fixed form, and are written several at a time.
"""

from __future__ import annotations

import asyncio
import json
import select
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Protocol, TypeAlias

from taskgate_server.calls import DEFAULT_TARGET, CallContext
from taskgate_server.telemetry import LOG
from taskgate_server.telemetry.text_format import text_line

FLUSH_SECONDS = 0.05
"""How long a line may wait to be written with others."""

COUNT_SECONDS = 1.0
"""Interval between log lines with the number of refused calls that have no line."""


class LogStream(Protocol):
    """A text stream for log lines."""

    def write(self, text: str, /) -> object:
        """Write lines."""

    def flush(self) -> object:
        """Send the buffer."""


CallLine: TypeAlias = Callable[[CallContext, float], str]
"""Returns the line of a call that took some seconds, with its end of line."""


class JsonLines:
    """Makes JSON lines.

    Args:
        clock: seconds since 1970.
        localtime: the time of day for them.
    """

    def __init__(
        self,
        clock: Callable[[], float] = time.time,
        localtime: Callable[[float], time.struct_time] = time.localtime,
    ) -> None:
        self._clock = clock
        self._localtime = localtime
        self._second = -1
        self._begin = ""

    def __call__(self, call: CallContext, seconds: float) -> str:
        """Return the line of a call."""
        record = call.record
        now = int(self._clock())
        if now != self._second:
            moment = time.strftime("%Y-%m-%dT%H:%M:%S%z", self._localtime(now))
            self._begin = (
                f'{{"time": "{moment}", "level": "INFO", "logger": "taskgate", "message": "call"'
            )
            self._second = now
        trace = (
            ""
            if record.trace is None
            else f', "trace_id": "{record.trace.trace}", "span_id": "{record.trace.span}"'
        )
        # Method and call id are Taskgate's and need no escapes; AWS's id may.
        target = "" if call.target == DEFAULT_TARGET else f', "target": {json.dumps(call.target)}'
        return (
            f'{self._begin}, "method": "{call.rpc.method}", "code": "{record.code.name}",'
            f' "duration_ms": {seconds * 1000:.3f}, "call_id": "{call.call_id}"{target}{trace},'
            f' "aws_request_id": {json.dumps(record.aws_request_id)}}}\n'
        )


class TextLines:
    """Makes lines for people.

    Args:
        is_colored: whether the terminal shows colors.
        localtime: the time of day.
    """

    def __init__(
        self,
        *,
        is_colored: bool,
        localtime: Callable[[], time.struct_time] = time.localtime,
    ) -> None:
        self._is_colored = is_colored
        self._localtime = localtime

    def __call__(self, call: CallContext, seconds: float) -> str:
        """Return the line of a call."""
        record = call.record
        fields = {
            "duration_ms": seconds * 1000,
            "call_id": call.call_id,
            "target": "" if call.target == DEFAULT_TARGET else call.target,
            "trace_id": "" if record.trace is None else record.trace.trace,
            "aws_request_id": record.aws_request_id,
        }
        moment = time.strftime("%H:%M:%S", self._localtime())
        message = f"{call.rpc.method} {record.code.name}"
        return f"{text_line(moment, 'INFO', message, fields, is_colored=self._is_colored)}\n"


class CallLog:
    """Writes a line for each call that has ended.

    Args:
        stream: where the lines go; None for nowhere.
        line: makes them.
    """

    def __init__(self, stream: LogStream | None, line: CallLine | None = None) -> None:
        self._stream = stream
        self._line = line or JsonLines()
        self._lines: list[str] = []
        self._unlogged = 0
        """Refused calls since the last count in the log."""

    def ended(self, call: CallContext, seconds: float) -> None:
        """Log a call that took so many seconds.

        The line has the method, the code and AWS's request id; never a parameter or a message,
        which may be sensitive.
        """
        if self._stream is None:
            return
        if not call.record.is_logged:
            if not self._unlogged:
                asyncio.get_running_loop().call_later(COUNT_SECONDS, self._log_count)
            self._unlogged += 1
            return
        if not self._lines:
            asyncio.get_running_loop().call_later(FLUSH_SECONDS, self.flush)
        self._lines.append(self._line(call, seconds))

    def flush(self) -> None:
        """Write the buffered lines."""
        if self._lines and self._stream is not None:
            for text in _together(self._lines):
                self._stream.write(text)
            self._stream.flush()
        self._lines.clear()

    def _log_count(self) -> None:
        LOG.warning("refused calls without lines of their own", extra={"count": self._unlogged})
        self._unlogged = 0


def _together(lines: Iterable[str]) -> Iterator[str]:
    """Yield lines joined up to the size that the system writes atomically: workers share a pipe."""
    joined: list[str] = []
    length = 0
    for line in lines:
        if length + len(line) > select.PIPE_BUF and joined:
            yield "".join(joined)
            joined, length = [], 0
        joined.append(line)
        length += len(line)
    yield "".join(joined)
