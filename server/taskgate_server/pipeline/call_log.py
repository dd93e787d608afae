"""Writes a line to the log for each call, several lines at a time."""

from __future__ import annotations

import asyncio
import select
import time
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Final

from grpc import StatusCode

from taskgate_server.calls import DEFAULT_TARGET, CallContext
from taskgate_server.telemetry.logs import LOG, LineFormat

if TYPE_CHECKING:
    from _typeshed import SupportsWrite

FLUSH_SECONDS: Final = 0.05
"""How long a line may wait for others."""

CODE_NAMES: Final = {code: code.name for code in StatusCode}
"""`StatusCode.name` is a property that takes five times as long."""

COUNT_SECONDS: Final = 1.0
"""Interval between lines about refused calls that have no line of their own."""


class CallLog:
    """Writes a line for each call that has ended.

    Args:
        stream: where the lines go; None for nowhere.
        line_format: the format of lines.
        clock: seconds since 1970.
    """

    def __init__(
        self,
        stream: SupportsWrite[str] | None,
        line_format: LineFormat,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._stream = stream
        self._format = line_format
        self._clock = clock
        self._lines: list[str] = []
        self._unlogged = 0
        """Refused calls since the last line about them."""

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
        """Write the lines that wait, in pieces that the system does not divide: see `LogWriter`."""
        if self._stream is not None:
            for part in split(self._lines, select.PIPE_BUF):
                self._stream.write("".join(part))
        self._lines.clear()

    def _line(self, call: CallContext, seconds: float) -> str:
        record, method = call.record, call.rpc.method
        code = CODE_NAMES[record.code]
        message = "call"
        fields: dict[str, object] = {"method": method, "code": code}
        if self._format.is_text:
            message, fields = f"{method} {code}", {}
        fields["duration_ms"] = round(seconds * 1000, 3)
        fields["call_id"] = call.call_id
        if call.target != DEFAULT_TARGET:
            fields["target"] = call.target
        if record.trace is not None:
            fields["trace_id"] = record.trace.trace
            if not self._format.is_text:
                fields["span_id"] = record.trace.span
        fields["aws_request_id"] = record.aws_request_id
        return f"{self._format.line(self._clock(), 'INFO', LOG.name, message, fields)}\n"

    def _log_count(self) -> None:
        LOG.warning("refused calls without lines of their own", extra={"count": self._unlogged})
        self._unlogged = 0


def split(texts: Iterable[str], max_characters: int) -> Iterator[list[str]]:
    """Yield the texts in lists of at most so many characters, or of one longer text."""
    part: list[str] = []
    length = 0
    for text in texts:
        if part and length + len(text) > max_characters:
            yield part
            part, length = [], 0
        part.append(text)
        length += len(text)
    if part:
        yield part
