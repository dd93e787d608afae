"""Log lines for people."""

from __future__ import annotations

import logging
import sys
import time

import pytest

from taskgate_server.pipeline.call_log import TextLines
from taskgate_server.telemetry.text_format import TextFormatter, escape, text_line
from tests.support.calls import make_call


def test_a_line_has_time_level_message_and_fields() -> None:
    fields = {
        "number": 2,
        "seconds": 1.5,
        "text": "two words",
        "none": None,
        "empty": {},
        "list": ["a", 1],
    }
    line = text_line("12:34:56", "INFO", "it happened", fields, is_colored=False)
    assert line == (
        '12:34:56 INFO    it happened number=2 seconds=1.5 text="two words" list=["a", 1]'
    )


@pytest.mark.parametrize("character", "\n\r\t\033\x00\x7f\x9b\u202e\u2066\u200b\u2028\ufeff\ud800")
def test_what_a_terminal_would_act_on_is_escaped(character: str) -> None:
    line = text_line(
        "1", "INFO", f"m{character}", {f"n{character}": f"v{character}"}, is_colored=False
    )
    assert line.isprintable()
    assert line.encode()
    nested = text_line("1", "INFO", "m", {"list": [f"v{character}"]}, is_colored=False)
    assert nested.isprintable()


def test_other_scripts_stay_readable() -> None:
    assert escape("schön 映画 café") == "schön 映画 café"


def test_a_traceback_is_indented_and_escaped() -> None:
    try:
        int("odd\033[31m")
    except ValueError:
        record = logging.LogRecord("a", logging.ERROR, "", 1, "failed", (), sys.exc_info())
    first, *trace = TextFormatter(is_colored=False).format(record).splitlines()
    assert first.endswith(" ERROR   failed")
    assert trace[-1].startswith("  ValueError: ")
    assert all(each.isprintable() for each in trace)


def test_a_call() -> None:
    line = TextLines(is_colored=False, localtime=lambda: time.gmtime(0))(make_call(), 0.0123)
    assert line == (
        "00:00:00 INFO    taskgate.v1.TaskService/GetTask OK duration_ms=12.3 call_id=a1b2\n"
    )
