"""Logs: JSON, one line for each call and for each change of the server's life.

A line never has a parameter's value, nor the text of an AWS error that may quote one: Deadline
marks task parameters sensitive. `upstream.error_log` says which texts are logged.
"""

from __future__ import annotations

import json
import logging
import sys
import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TextIO

from pythonjsonlogger.json import JsonFormatter

LOG: Final = logging.getLogger("taskgate")
AUDIT: Final = logging.getLogger("taskgate.audit")
"""Its lines come whatever level is logged."""


@dataclass(slots=True)
class Tally:
    """A count, for metrics."""

    count: int = 0


BUGS: Final = Tally()
"""Unexpected errors so far, of the process, like its log."""


def set_up_logging(level: str, stream: TextIO | None = None, worker: int | None = None) -> None:
    """Sends all logs of the process to `stream` (stderr) as JSON; libraries' from WARNING on.

    Args:
        level: the least one of our own.
        stream: where they go.
        worker: the number of this process, if it is one of several.
    """
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(
        JsonFormatter(
            ["asctime", "levelname", "name", "message"],
            rename_fields={"asctime": "time", "levelname": "level", "name": "logger"},
            datefmt="%Y-%m-%dT%H:%M:%S%z",
            static_fields={} if worker is None else {"worker": worker},
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(logging.WARNING)
    LOG.setLevel(level)
    AUDIT.setLevel(logging.INFO)


MAX_QUOTED: Final = 256


def quotable(text: str) -> str:
    """Return the beginning of a caller's text that takes at most `MAX_QUOTED` characters in JSON.

    A line of the log must stay short, whatever callers send. JSON writes up to 12 characters for
    one that is not ASCII.
    """
    text = text[:MAX_QUOTED]
    while (length := len(json.dumps(text)) - 2) > MAX_QUOTED:
        text = text[: len(text) * MAX_QUOTED // length]
    return text


def log_bug(error: BaseException, **fields: object) -> None:
    """Logs where an unexpected error arose, without its text, which may hold a caller's values."""
    BUGS.count += 1
    frames = traceback.extract_tb(error.__traceback__)
    places = [f"{Path(frame.filename).name}:{frame.lineno} {frame.name}" for frame in frames]
    LOG.error("bug", extra={**fields, "exception": type(error).__name__, "places": places})
