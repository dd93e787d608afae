"""Lines of a log in messages of bounded size."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from google.protobuf.timestamp_pb2 import Timestamp

from taskgate.v1 import task_log_pb2
from taskgate_server.upstream.logs import Line

MAX_LINES: Final = 1000
MAX_BYTES: Final = 256 * 1024
LINE_OVERHEAD_BYTES: Final = 32
"""What a line takes besides its text: its time, tags and lengths."""


def to_messages(lines: Iterable[Line]) -> Iterator[task_log_pb2.StreamTaskLogsResponse]:
    """The lines, some in each message: at most 1,000 and 256 KiB, or one that is longer.

    CloudWatch Logs has no longer line than 1 MiB, and gRPC's clients take messages up to 4 MiB.
    """
    part: list[task_log_pb2.LogLine] = []
    size = 0
    for line in lines:
        added = len(line.message.encode()) + LINE_OVERHEAD_BYTES
        if part and (len(part) == MAX_LINES or size + added > MAX_BYTES):
            yield _message(part)
            part, size = [], 0
        part.append(_line(line))
        size += added
    if part:
        yield _message(part)


def _message(lines: list[task_log_pb2.LogLine]) -> task_log_pb2.StreamTaskLogsResponse:
    return task_log_pb2.StreamTaskLogsResponse(lines=task_log_pb2.LogLines(lines=lines))


def _line(line: Line) -> task_log_pb2.LogLine:
    seconds, millis = divmod(line.time, 1000)
    moment = Timestamp(seconds=seconds, nanos=millis * 1_000_000)
    return task_log_pb2.LogLine(time=moment, message=line.message)
