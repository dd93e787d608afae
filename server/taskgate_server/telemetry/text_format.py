"""Log lines for people: `12:34:56 INFO    listening  address=127.0.0.1:50051`, with colors."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Mapping
from typing import Final, TextIO

RESET: Final = "\033[0m"
DIM: Final = "\033[2m"
BOLD: Final = "\033[1m"
LEVEL_COLORS: Final = {
    "DEBUG": "\033[36m",
    "INFO": "\033[32m",
    "WARNING": "\033[33m",
    "ERROR": "\033[31m",
    "CRITICAL": "\033[1;31m",
}
LEVEL_WIDTH: Final = 7
PLAIN_VALUE: Final = re.compile(r"[^\s\"'=]+")
EMPTY_VALUES: Final[tuple[object, ...]] = (None, "", (), [], {})
STANDARD_ATTRIBUTES: Final = frozenset(logging.LogRecord("", 0, "", 0, "", None, None).__dict__) | {
    "message",
    "asctime",
}
"""The attributes that every log record has; the others are fields."""


class TextFormatter(logging.Formatter):
    """Formats records as `text_line` does.

    Args:
        is_colored: whether the terminal shows colors.
        fields: are in every line.
    """

    def __init__(self, *, is_colored: bool, fields: Mapping[str, object] | None = None) -> None:
        super().__init__(datefmt="%H:%M:%S")
        self._is_colored = is_colored
        self._fields = fields or {}

    def format(self, record: logging.LogRecord) -> str:
        """Return the line of a record, with the lines of its traceback if it has one."""
        fields = {
            name: value
            for name, value in record.__dict__.items()
            if name not in STANDARD_ATTRIBUTES
        }
        line = text_line(
            self.formatTime(record, self.datefmt),
            record.levelname,
            record.getMessage(),
            {**self._fields, **fields},
            is_colored=self._is_colored,
        )
        if not record.exc_info:
            return line
        trace = self.formatException(record.exc_info)
        return "\n".join([line, *(f"  {escape(each)}" for each in trace.splitlines())])


def text_line(
    moment: str, level: str, message: str, fields: Mapping[str, object], *, is_colored: bool
) -> str:
    """Return a log line for people, without an end of line.

    Args:
        moment: the time of day.
        level: the level's name.
        message: what happened.
        fields: what it happened to. Those without a value are left out.
        is_colored: whether the terminal shows colors.
    """
    dim, bold, reset = (DIM, BOLD, RESET) if is_colored else ("", "", "")
    color = LEVEL_COLORS.get(level, "") if is_colored else ""
    parts = [
        f"{dim}{moment}{reset} {color}{level:{LEVEL_WIDTH}}{reset} {bold}{escape(message)}{reset}"
    ]
    for name, value in fields.items():
        if value not in EMPTY_VALUES:
            parts.append(f"{dim}{escape(name)}={reset}{_shown(value)}")
    return " ".join(parts)


def escape(text: str) -> str:
    """Replace what could move the cursor, change colors or reorder the text on a terminal.

    These are all characters that are not printable: control characters, line ends, bidirectional
    controls and zero-width characters, https://www.unicode.org/reports/tr9/ and CVE-2021-42574.
    """
    if text.isprintable():
        return text
    return "".join(
        each if each.isprintable() else each.encode("unicode_escape").decode() for each in text
    )


def is_colored(stream: TextIO, environment: Mapping[str, str]) -> bool:
    """Return whether lines to this stream get colors, see https://no-color.org.

    Args:
        stream: where they go.
        environment: variables of the process: NO_COLOR and TERM.
    """
    return stream.isatty() and not environment.get("NO_COLOR") and environment.get("TERM") != "dumb"


def _shown(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.3f}".rstrip("0").rstrip(".")
    text = value if isinstance(value, str) else json.dumps(value, default=str, ensure_ascii=False)
    text = escape(text)
    return text if PLAIN_VALUE.fullmatch(text) or not isinstance(value, str) else f'"{text}"'
