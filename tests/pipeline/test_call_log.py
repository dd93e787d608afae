"""The log's lines about calls."""

from __future__ import annotations

import asyncio
import io
import json
import select
import time

import grpc

from taskgate_server.pipeline.call_log import FLUSH_SECONDS, CallLog
from taskgate_server.telemetry.json_format import JsonLines
from tests.support.calls import make_call

MOMENT = 1_700_000_000.7


def log(stream: io.StringIO) -> CallLog:
    return CallLog(stream, JsonLines(time.gmtime), clock=lambda: MOMENT)


async def test_a_line_is_a_json_object_like_all_others() -> None:
    stream = io.StringIO()
    lines = log(stream)
    lines.ended(make_call(aws_request_id='odd"one\\', code=grpc.StatusCode.NOT_FOUND), 0.0123456)
    lines.ended(make_call(), 2.0)
    assert stream.getvalue() == "", "they wait for each other"
    lines.flush()
    first, second = map(json.loads, stream.getvalue().splitlines())
    assert first == {
        "time": "2023-11-14T22:13:20+0000",
        "level": "INFO",
        "logger": "taskgate",
        "message": "call",
        "method": "taskgate.v1.TaskService/GetTask",
        "code": "NOT_FOUND",
        "duration_ms": 12.346,
        "call_id": "a1b2",
        "aws_request_id": 'odd"one\\',
    }
    assert (second["code"], second["duration_ms"]) == ("OK", 2000.0)


async def test_lines_do_not_wait_long() -> None:
    written = asyncio.Event()

    class Stream(io.StringIO):
        def write(self, text: str, /) -> int:
            written.set()
            return super().write(text)

    stream = Stream()
    log(stream).ended(make_call(), 0.1)
    await asyncio.wait_for(written.wait(), 100 * FLUSH_SECONDS)
    assert stream.getvalue().count("\n") == 1


async def test_nothing_is_buffered_without_a_stream() -> None:
    lines = CallLog(None, JsonLines())
    lines.ended(make_call(), 0.1)
    lines.flush()
    assert not lines._lines


async def test_many_lines_are_written_in_atomic_pieces() -> None:
    pieces = []

    class Stream(io.StringIO):
        def write(self, text: str, /) -> int:
            pieces.append(text)
            return len(text)

    lines = log(Stream())
    for number in range(100):
        lines.ended(make_call(call_id=f"{number:04}"), 1.0)
    lines.flush()
    assert 1 < len(pieces) < 50
    assert max(map(len, pieces)) <= select.PIPE_BUF
    assert all(piece.endswith("\n") for piece in pieces)
    ids = [json.loads(line)["call_id"] for line in "".join(pieces).splitlines()]
    assert ids == [f"{number:04}" for number in range(100)]
