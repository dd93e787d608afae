"""Validation of values against AWS's model: length, range, pattern, and safe path segments.

botocore checks types, required members and minima, but neither patterns nor maxima, so that an
invalid id would cost a call and a part of the quota. `rpc.request_converter` calls these checks for
each value of a message; it validates required members and enums itself.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, TypeAlias

import regex

from taskgate_server.aws import model

Check: TypeAlias = Callable[[Any], str | None]
"""Returns what is wrong with a boto3 value, for the caller and without the value; None if valid."""

MISSING = "is required"

MAX_TEXT_CHARACTERS = 4096
"""The maximum of a text with a pattern, or in the URL or a header, if the model has none.

Patterns may take time that grows with the square of the length: `.+/.+` takes 10 ms for this
length, and hours for 4 MiB. HTTP servers reject URLs and headers of 8 KiB and more.
"""


def compile_check(shape: model.Shape) -> Check | None:
    """Return the check of a value of a shape; None if the model allows all values of its type."""
    checks = [
        check
        for check in (
            _bounds_check(shape),  # first: the time of the others grows with the length
            _path_check(shape),
            _header_check(shape),
            _finite_check(shape),
            _pattern_check(shape),
        )
        if check is not None
    ]
    if len(checks) < 2:  # noqa: PLR2004  # none or the only one
        return checks[0] if checks else None

    def check_all(value: Any) -> str | None:
        for check in checks:
            fault = check(value)
            if fault is not None:
                return fault
        return None

    return check_all


def _is_in_path(shape: model.Shape) -> bool:
    return bool(shape.serialization.get("location") == "uri")


def _bounds_check(shape: model.Shape) -> Check | None:
    low, high = shape.metadata.get("min"), _maximum(shape)
    if (low is None and high is None) or model.enum_values(shape):
        return None
    noun, size = _MEASURES[shape.type_name]
    bounds = _describe_bounds(low, high)
    minimum = float("-inf") if low is None else low
    maximum = float("inf") if high is None else high

    def check(value: Any) -> str | None:
        measured = size(value)
        return None if minimum <= measured <= maximum else f"{noun} {measured}, must be {bounds}"

    return check


def _maximum(shape: model.Shape) -> Any:
    high = shape.metadata.get("max")
    if high is None and shape.type_name == "string":
        is_limited = "pattern" in shape.metadata or "location" in shape.serialization
        return MAX_TEXT_CHARACTERS if is_limited else None
    return high


def _itself(value: float) -> float:
    return value


_MEASURES: dict[str, tuple[str, Callable[[Any], float]]] = {
    "string": ("has length", len),
    "blob": ("has length", len),
    "list": ("has item count", len),
    "map": ("has entry count", len),
    **dict.fromkeys(("integer", "long", "float", "double"), ("is", _itself)),
}


def _describe_bounds(low: object, high: object) -> str:
    if low is None:
        return f"at most {high}"
    if high is None:
        return f"at least {low}"
    return f"{low}" if low == high else f"{low} to {high}"


def _pattern_check(shape: model.Shape) -> Check | None:
    text = shape.metadata.get("pattern")
    if text is None:
        return None
    # AWS's services match the whole value, anchors or not. In V0 `||` in a class is two bars, as
    # in Java; the model writes [\p{L}||\p{N}]+.
    pattern = regex.compile(text, regex.VERSION0)

    def check(value: str) -> str | None:
        return None if pattern.fullmatch(value) else f"must match the pattern {text}"

    return check


_UNSAFE_IN_SEGMENT = regex.compile(r"[\p{Cc}/\\]|%2[fF]")
_UNSAFE_IN_ARN = regex.compile(r"[\p{Cc}\\]|%2[fF]|(?:^|/)\.{1,2}(?:/|$)")
_ARN_PREFIX = "arn:"


def _path_check(shape: model.Shape) -> Check | None:
    """Return the check of a value that becomes one segment of the URL's path.

    botocore percent-encodes it, slashes included, but sends an empty value as nothing and `..` as
    it is: both lead to other operations. ARNs have slashes (`farm/farm-1/queue/queue-2`), other
    values do not, so that a proxy that decodes a path finds none in them. Which members take ARNs
    the model does not say: Deadline Cloud's `resourceArn` is a string without a pattern.
    """
    if not _is_in_path(shape):
        return None

    def check(value: str) -> str | None:
        if value == "":
            return "must not be empty"
        unsafe = _UNSAFE_IN_ARN if value.startswith(_ARN_PREFIX) else _UNSAFE_IN_SEGMENT
        if value in (".", "..") or unsafe.search(value):
            return (
                "must be one segment of a path, or an ARN: no '.' or '..', no control character,"
                " and a slash in an ARN only"
            )
        return None

    return check


def _header_check(shape: model.Shape) -> Check | None:
    """Return the check of a header value, which must not begin another header (RFC 9110, 5.5)."""
    if shape.serialization.get("location") != "header" or shape.type_name != "string":
        return None

    def check(value: str) -> str | None:
        if value.isascii() and value.isprintable() and value == value.strip():
            return None
        return "goes into an HTTP header: it must be printable ASCII without blanks at its ends"

    return check


def _finite_check(shape: model.Shape) -> Check | None:
    if shape.type_name not in ("float", "double"):
        return None
    return lambda value: None if math.isfinite(value) else NOT_FINITE


NOT_FINITE = "must be finite: JSON has no NaN and no infinity"
