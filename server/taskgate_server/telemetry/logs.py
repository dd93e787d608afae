"""Logs: one line for each call and for each change of the server's life, as JSON or for people.

A line never has a parameter's value, nor the text of an AWS error that may quote one: Deadline
marks task parameters sensitive. `upstream.aws_client.call_log` says which texts are logged.
"""

from __future__ import annotations

import json
import logging
import traceback
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, TextIO

from pythonjsonlogger.json import JsonFormatter

from taskgate_server.telemetry.log_writer import LogWriter
from taskgate_server.telemetry.text_format import TextFormatter, is_colored

LOG: Final = logging.getLogger("taskgate")
AUDIT: Final = logging.getLogger("taskgate.audit")
"""Its lines come whatever level is logged."""


@dataclass(slots=True)
class Tally:
    """A count, for metrics."""

    count: int = 0


BUGS: Final = Tally()
"""Unexpected errors so far, of the process, like its log."""


LogFormat = Literal["auto", "json", "text"]


@dataclass(frozen=True, slots=True)
class LogStyle:
    """How lines look."""

    is_text: bool = False
    """Whether they are for people; JSON otherwise."""
    is_colored: bool = False

    @classmethod
    def choose(
        cls, log_format: LogFormat, stream: TextIO | None, environment: Mapping[str, str]
    ) -> LogStyle:
        """Return the style for a stream.

        Args:
            log_format: the setting; `auto` is text on a terminal and JSON elsewhere.
            stream: where lines go; None if the process has no such stream.
            environment: variables of the process: NO_COLOR and TERM.
        """
        is_terminal = stream is not None and stream.isatty()
        if log_format == "json" or (log_format == "auto" and not is_terminal):
            return cls()
        return cls(is_text=True, is_colored=stream is not None and is_colored(stream, environment))


@dataclass(frozen=True, slots=True)
class LogOutput:
    """Where the lines of a process go, and how they look."""

    writer: LogWriter
    style: LogStyle


class _Handler(logging.Handler):
    """Passes records on to a writer, lines of the audit with precedence."""

    def __init__(self, writer: LogWriter) -> None:
        super().__init__()
        self._writer = writer

    def emit(self, record: logging.LogRecord) -> None:
        try:
            line = f"{self.format(record)}\n"
        except Exception:  # noqa: BLE001  # logging's own report would block on stderr
            line = f"a log line of {record.name} cannot be formatted: {record.msg!r}\n"
        self._writer.write(line, is_audit=record.name == AUDIT.name)


def set_up_logging(level: str, output: LogOutput, worker: int | None = None) -> None:
    """Send all logs of the process to a writer; those of libraries from WARNING on.

    Args:
        level: the least level of Taskgate's own logs.
        output: where they go, and how they look.
        worker: the number of this process, if it is one of several.
    """
    handler = _Handler(output.writer)
    formatter = _formatter(output.style, {} if worker is None else {"worker": worker})
    handler.setFormatter(formatter)
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(logging.WARNING)
    LOG.setLevel(level)
    AUDIT.setLevel(logging.INFO)
    logging.captureWarnings(capture=True)  # Python writes them to stderr, which may block

    def describe_dropped(count: int) -> str:
        fields = {"count": count}
        record = LOG.makeRecord(
            LOG.name, logging.WARNING, "", 0, "log lines dropped", (), None, extra=fields
        )
        return f"{formatter.format(record)}\n"

    output.writer.describe_dropped = describe_dropped


def _formatter(style: LogStyle, fields: Mapping[str, object]) -> logging.Formatter:
    if style.is_text:
        return TextFormatter(is_colored=style.is_colored, fields=fields)
    return JsonFormatter(
        ["asctime", "levelname", "name", "message"],
        rename_fields={"asctime": "time", "levelname": "level", "name": "logger"},
        datefmt="%Y-%m-%dT%H:%M:%S%z",
        static_fields=dict(fields),
    )


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
