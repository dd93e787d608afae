"""Values on a command line: durations and moments."""

from __future__ import annotations

import argparse
import re
from datetime import UTC, datetime, timedelta

_UNITS = {"s": 1.0, "m": 60.0, "h": 3_600.0, "d": 86_400.0}
_DURATION = re.compile(r"(?:\d+(?:\.\d+)?[smhd])+|\d+(?:\.\d+)?")
_PART = re.compile(r"(\d+(?:\.\d+)?)([smhd]?)")


def duration(text: str) -> float:
    """Seconds: `90`, `1.5`, `10m`, `2h30m`."""
    if not _DURATION.fullmatch(text):
        raise argparse.ArgumentTypeError(f"{text!r} is no duration, such as 90, 10m or 2h30m")
    return sum(float(count) * _UNITS.get(unit, 1.0) for count, unit in _PART.findall(text))


def moment(text: str) -> datetime | timedelta:
    """A time, or how long ago it was: `2026-11-01T09:30:00Z`, `10m`."""
    if _DURATION.fullmatch(text):
        return timedelta(seconds=duration(text))
    try:
        told = datetime.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"{text!r} is neither a duration, such as 10m, nor a time, such as 2026-11-01T09:30:00Z"
        ) from None
    return told if told.tzinfo else told.replace(tzinfo=UTC)


def count(text: str) -> int:
    """A whole number from 1."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number from 1")
    return int(text)
