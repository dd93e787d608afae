"""Log lines for people."""

from __future__ import annotations

import io
import logging
import sys
import time

import pytest

from taskgate_server.pipeline.call_log import CallLog
from taskgate_server.telemetry.logs import RecordFormatter
from taskgate_server.telemetry.text_format import TextLines, escape
from tests.support.calls import make_call


def line_of(message: str, fields: dict[str, object]) -> str:
    return TextLines(is_colored=False, localtime=time.gmtime).line(0, "INFO", "a", message, fields)


def test_a_line_has_time_level_message_and_fields() -> None:
    fields = {
        "number": 2,
        "seconds": 1.5,
        "text": "two words",
        "none": None,
        "empty": {},
        "list": ["a", 1],
    }
    line = line_of("it happened", fields)
    assert line == (
        '00:00:00 INFO    it happened number=2 seconds=1.5 text="two words" list=["a", 1]'
    )


@pytest.mark.parametrize("character", "\n\r\t\033\x00\x7f\x9b\u202e\u2066\u200b\u2028\ufeff\ud800")
def test_control_characters_are_escaped(character: str) -> None:
    line = line_of(f"m{character}", {f"n{character}": f"v{character}"})
    assert line.isprintable()
    assert line.encode()
    nested = line_of("m", {"list": [f"v{character}"]})
    assert nested.isprintable()


def test_other_scripts_stay_readable() -> None:
    assert escape("schön 映画 café") == "schön 映画 café"


def test_a_traceback_is_indented_and_escaped() -> None:
    try:
        int("odd\033[31m")
    except ValueError:
        record = logging.LogRecord("a", logging.ERROR, "", 1, "failed", (), sys.exc_info())
    first, *trace = RecordFormatter(TextLines(is_colored=False)).format(record).splitlines()
    assert first.endswith(" ERROR   failed")
    assert trace[-1].startswith("  ValueError: ")
    assert all(each.isprintable() for each in trace)


async def test_line_of_a_call() -> None:
    stream = io.StringIO()
    lines = CallLog(stream, TextLines(is_colored=False, localtime=time.gmtime), clock=lambda: 0)
    lines.ended(make_call(), 0.0123)
    lines.flush()
    assert stream.getvalue() == (
        "00:00:00 INFO    taskgate.v1.TaskService/GetTask OK duration_ms=12.3 call_id=a1b2\n"
    )
