"""Logs: a line for each call and for each change in the server's life, as JSON or for people.

A line never has a parameter's value, nor the text of an AWS error that may quote one: Deadline
marks task parameters sensitive. `upstream.aws_client.failures` says which texts are logged.
"""

from __future__ import annotations

import json
import logging
import traceback
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, Protocol, TextIO

from taskgate_server.telemetry.json_format import JsonLines
from taskgate_server.telemetry.log_writer import LogWriter
from taskgate_server.telemetry.text_format import TRACEBACK, TextLines

LOG: Final = logging.getLogger("taskgate")
AUDIT: Final = logging.getLogger("taskgate.audit")
"""Its lines are written at every `log_level`."""

MAX_QUOTED: Final = 256
STANDARD_ATTRIBUTES: Final = frozenset(logging.LogRecord("", 0, "", 0, "", None, None).__dict__) | {
    "message",
    "asctime",
}
"""The attributes that every log record has; the others are fields."""

LogFormat = Literal["auto", "json", "text"]


BUGS: Final = Counter[str]()
"""Unexpected errors of the process so far, by exception, for metrics."""


class LineFormat(Protocol):
    """The format of all lines of a log."""

    is_text: bool
    """Whether they are for people."""

    def line(
        self, seconds: float, level: str, logger: str, message: str, fields: Mapping[str, object]
    ) -> str:
        """Return a line without its end.

        Args:
            seconds: when it happened, since 1970.
            level: the level's name.
            logger: the logger's name.
            message: what happened.
            fields: what it happened to; `exc_info` is a traceback.
        """


def choose_format(
    log_format: LogFormat, stream: TextIO | None, environment: Mapping[str, str]
) -> LineFormat:
    """Return the format for a stream.

    Args:
        log_format: the setting; `auto` is text on a terminal and JSON elsewhere.
        stream: where lines go; None if the process has no such stream.
        environment: variables of the process: NO_COLOR and TERM.
    """
    is_terminal = stream is not None and stream.isatty()
    if log_format == "json" or (log_format == "auto" and not is_terminal):
        return JsonLines()
    # https://no-color.org
    is_plain = bool(environment.get("NO_COLOR")) or environment.get("TERM") == "dumb"
    return TextLines(is_colored=is_terminal and not is_plain)


@dataclass(frozen=True, slots=True)
class LogOutput:
    """Where the lines of a process go, and their format."""

    writer: LogWriter
    format: LineFormat


class RecordFormatter(logging.Formatter):
    """Formats log records, with some fields in every line."""

    def __init__(self, line_format: LineFormat, fields: Mapping[str, object] | None = None) -> None:
        super().__init__()
        self._format = line_format
        self._fields = fields or {}

    def format(self, record: logging.LogRecord) -> str:
        """Return the line of a record."""
        attributes = record.__dict__.items()
        fields = {name: value for name, value in attributes if name not in STANDARD_ATTRIBUTES}
        fields = {**self._fields, **fields}
        if record.exc_info:
            fields[TRACEBACK] = self.formatException(record.exc_info)
        return self._format.line(
            record.created, record.levelname, record.name, record.getMessage(), fields
        )


class _Handler(logging.Handler):
    """Passes records to a writer, and gives precedence to those of the audit."""

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
        level: the lowest level of Taskgate's own logs.
        output: where lines go, and their format.
        worker: the number of this process, if it is one of several.
    """
    handler = _Handler(output.writer)
    formatter = RecordFormatter(output.format, {} if worker is None else {"worker": worker})
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


def quotable(text: str) -> str:
    """Return the beginning of a caller's text that takes at most `MAX_QUOTED` characters in JSON.

    This keeps log lines short whatever callers send. JSON takes up to 12 characters for one that is
    not ASCII.
    """
    text = text[:MAX_QUOTED]
    while (length := len(json.dumps(text)) - 2) > MAX_QUOTED:
        text = text[: len(text) * MAX_QUOTED // length]
    return text


def log_bug(error: BaseException, **fields: object) -> None:
    """Log where an unexpected error was raised, without its text, which may have callers' values.

    Args:
        error: the unexpected error.
        fields: further fields of the line.
    """
    BUGS[type(error).__name__] += 1
    frames = traceback.extract_tb(error.__traceback__)
    places = [f"{Path(frame.filename).name}:{frame.lineno} {frame.name}" for frame in frames]
    LOG.error("bug", extra={**fields, "exception": type(error).__name__, "places": places})
