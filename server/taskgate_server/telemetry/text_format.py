"""Log lines for people: `12:34:56 INFO    listening  address=127.0.0.1:50051`, with colors."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Mapping
from typing import Final

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
TRACEBACK: Final = "exc_info"
"""The field with a traceback, which follows the line, indented."""
PLAIN_VALUE: Final = re.compile(r"[^\s\"'=]+")
EMPTY_VALUES: Final[tuple[object, ...]] = (None, "", (), [], {})


class TextLines:
    """Formats log lines for people.

    Args:
        is_colored: whether the terminal shows colors.
        localtime: converts seconds since 1970 to the time of day.
    """

    is_text = True

    def __init__(
        self,
        *,
        is_colored: bool,
        localtime: Callable[[float], time.struct_time] = time.localtime,
    ) -> None:
        self._is_colored = is_colored
        self._localtime = localtime

    def line(
        self,
        seconds: float,
        level: str,
        logger: str,  # noqa: ARG002  # of no interest to people
        message: str,
        fields: Mapping[str, object],
    ) -> str:
        """Return a line without its end; see `logs.LineFormat`. Empty fields are left out."""
        dim, bold, reset = (DIM, BOLD, RESET) if self._is_colored else ("", "", "")
        color = LEVEL_COLORS.get(level, "") if self._is_colored else ""
        moment = time.strftime("%H:%M:%S", self._localtime(seconds))
        text = (
            f"{dim}{moment}{reset} {color}{level:{LEVEL_WIDTH}}{reset}"
            f" {bold}{escape(message)}{reset}"
        )
        for name, value in fields.items():
            if name != TRACEBACK and value not in EMPTY_VALUES:
                text += f" {dim}{escape(name)}={reset}{_format_value(value)}"
        trace = str(fields.get(TRACEBACK, "")).splitlines()
        return "\n".join([text, *(f"  {escape(each)}" for each in trace)])


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


def _format_value(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.3f}".rstrip("0").rstrip(".")
    text = value if isinstance(value, str) else json.dumps(value, default=str, ensure_ascii=False)
    text = escape(text)
    return text if PLAIN_VALUE.fullmatch(text) or not isinstance(value, str) else f'"{text}"'
