"""Reads rest-json's scalar values: in JSON, or as text in a path, query or header."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

__all__ = ["FROM_JSON", "FROM_TEXT", "TIMESTAMPS", "WrongTypeError"]


class WrongTypeError(Exception):
    """The value does not have the shape's type; the message says what it must be."""


def _string(value: Any) -> str:
    if not isinstance(value, str):
        raise WrongTypeError("Member must be a string")
    return value


def _boolean(value: Any) -> bool:
    if not isinstance(value, bool):
        raise WrongTypeError("Member must be a boolean")
    return value


def _integer(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise WrongTypeError("Member must be an integer")
    return value


def _number(value: Any) -> float:
    # JSON cannot represent these three; rest-json writes them as strings.
    if isinstance(value, str) and value in {"NaN", "Infinity", "-Infinity"}:
        return float(value)
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        raise WrongTypeError("Member must be a number")
    return value


def _blob(value: Any) -> bytes:
    try:
        return base64.b64decode(_string(value), validate=True)
    except (binascii.Error, ValueError) as error:
        raise WrongTypeError("Member must be base64") from error


def _boolean_text(value: str) -> bool:
    if value not in {"true", "false"}:
        raise WrongTypeError("Member must be true or false")
    return value == "true"


def _integer_text(value: str) -> int:
    # int() also accepts "1_000", " 7" and digits of other scripts.
    if not value.removeprefix("-").isascii() or not value.removeprefix("-").isdigit():
        raise WrongTypeError("Member must be an integer")
    try:
        return int(value)
    except ValueError as error:  # more digits than Python converts
        raise WrongTypeError("Member must be an integer") from error


def _number_text(value: str) -> float:
    try:
        return float(value)
    except ValueError as error:
        raise WrongTypeError("Member must be a number") from error


def _iso_timestamp(value: Any) -> datetime:
    try:
        parsed = datetime.fromisoformat(_string(value))
    except ValueError as error:
        raise WrongTypeError("Member must be a date and time as in ISO 8601") from error
    return parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)


def _http_timestamp(value: Any) -> datetime:
    try:
        return parsedate_to_datetime(_string(value))
    except ValueError as error:
        raise WrongTypeError("Member must be an HTTP date") from error


def _epoch_timestamp(value: Any) -> datetime:
    try:
        return datetime.fromtimestamp(float(value), UTC)
    except (ValueError, TypeError, OverflowError, OSError) as error:
        raise WrongTypeError("Member must be seconds since 1970") from error


FROM_JSON: dict[str, Callable[[Any], Any]] = {
    "string": _string,
    "boolean": _boolean,
    "integer": _integer,
    "long": _integer,
    "float": _number,
    "double": _number,
    "blob": _blob,
}
FROM_TEXT: dict[str, Callable[[str], Any]] = {
    "boolean": _boolean_text,
    "integer": _integer_text,
    "long": _integer_text,
    "float": _number_text,
    "double": _number_text,
}
TIMESTAMPS: dict[str, Callable[[Any], datetime]] = {
    "iso8601": _iso_timestamp,
    "rfc822": _http_timestamp,
    "unixtimestamp": _epoch_timestamp,
}
