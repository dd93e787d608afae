"""Validation of values against AWS's model: length, range, pattern, and safe path segments.

botocore checks types, required members and minima, but neither patterns nor maxima, so that an
invalid id would cost a call and a part of the quota. `rpc.request_converter` calls these checks for
each value of a message; it validates required members and enums itself.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
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


def compile_check(shape: model.Shape, *, is_greedy: bool = False) -> Check | None:
    """Return the check of a value of a shape; None if the model allows all values of its type.

    Args:
        shape: of the value.
        is_greedy: whether it fills several segments of the URL's path.
    """
    checks = [
        check
        for check in (
            _bounds_check(shape),  # first: the time of the others grows with the length
            _path_check(shape, is_greedy=is_greedy),
            _host_check(shape),
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


def compile_match(shape: model.Shape) -> Callable[[str], object] | None:
    """Return the match of texts that pass all checks of a shape; None if no pattern implies them.

    Ids have such patterns, and are most of the values of requests: one match takes a fifth of the
    time of the checks, which only texts that do not match need. Elsewhere than in the URL and in
    headers, texts have no other checks than length and pattern.
    """
    text = shape.metadata.get("pattern", "")
    if not text or shape.serialization.get("hostLabel"):
        return None
    low, high = shape.metadata.get("min", 0), _maximum(shape)
    if _IS_PLAIN.fullmatch(text):
        return re.compile(rf"(?=.{{{low},{high}}}\Z)(?:{text})").fullmatch
    pattern = compile_pattern(text)
    if pattern is None or "location" in shape.serialization:
        return None
    fullmatch = pattern.fullmatch
    return lambda value: low <= len(value) <= high and fullmatch(value)


_IS_PLAIN = regex.compile(
    r"(?:[A-Za-z0-9_(){}|?*+,^$-]"
    r"|\[(?:[a-z]-[a-z]|[A-Z]-[A-Z]|[0-9]-[0-9]|[A-Za-z0-9_]|-(?=\]))+\])+"
)
"""Patterns whose texts have letters, digits, `_`, `-` and `,` alone, which are safe anywhere."""


def bounds(shape: model.Shape) -> tuple[Any, Any]:
    """Return the least and the greatest length, size or number of valid values; None for no bound.

    An enum has none: its values are the bound.
    """
    if model.enum_values(shape):
        return None, None
    return shape.metadata.get("min"), _maximum(shape)


def _bounds_check(shape: model.Shape) -> Check | None:
    low, high = bounds(shape)
    if low is None and high is None:
        return None
    noun, size = _MEASURES[shape.type_name]
    described = _describe_bounds(low, high)
    minimum = float("-inf") if low is None else low
    maximum = float("inf") if high is None else high

    def check(value: Any) -> str | None:
        measured = size(value)
        return None if minimum <= measured <= maximum else f"{noun} {measured}, must be {described}"

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
    pattern = compile_pattern(text)
    if pattern is None:
        return None

    # AWS's services match the whole value, anchors or not.
    def check(value: str) -> str | None:
        return None if pattern.fullmatch(value) else f"must match the pattern {text}"

    return check


_SURROGATES = regex.compile(r"\\u([dD][89abAB]\p{XDigit}{2})\\u([dD][c-fC-F]\p{XDigit}{2})")
_LONG_ESCAPE = regex.compile(r"\\x\{(\p{XDigit}+)\}")


def compile_pattern(text: str) -> regex.Pattern[str] | None:
    r"""Return a pattern of AWS's model, which is one of Java or JavaScript; None if it is neither.

    In V0 `||` in a class is two bars, as in Java; the model writes `[\p{L}||\p{N}]+`.
    """
    text = _SURROGATES.sub(lambda pair: _escape(_code_point(pair[1], pair[2])), text)
    text = _LONG_ESCAPE.sub(lambda escape: _escape(int(escape[1], 16)), text)
    try:
        return regex.compile(text, regex.VERSION0)
    except regex.error:
        return None  # AWS alone validates the value


def _code_point(high: str, low: str) -> int:
    return 0x10000 + ((int(high, 16) - 0xD800) << 10) + int(low, 16) - 0xDC00


def _escape(code_point: int) -> str:
    return f"\\U{code_point:08x}"


_UNSAFE_IN_SEGMENT = regex.compile(r"[\p{Cc}/\\]|%2[fF]")
_UNSAFE_IN_PATH = regex.compile(r"[\p{Cc}\\]|%2[fF]|(?:^|/)\.{1,2}(?:/|$)")
_ARN_PREFIX = "arn:"


def _path_check(shape: model.Shape, *, is_greedy: bool) -> Check | None:
    """Return the check of a text that becomes one segment of the URL's path, or several.

    botocore percent-encodes it, slashes included, but sends an empty value as nothing and `..` as
    it is: both lead to other operations. ARNs have slashes (`farm/farm-1/queue/queue-2`), other
    values do not, so that a proxy that decodes a path finds none in them. Which members take ARNs
    the model does not say: Deadline Cloud's `resourceArn` is a string without a pattern.
    """
    if shape.serialization.get("location") != "uri" or shape.type_name != "string":
        return None
    if is_greedy:
        return _check_path

    def check(value: str) -> str | None:
        if value == "":
            return "must not be empty"
        unsafe = _UNSAFE_IN_PATH if value.startswith(_ARN_PREFIX) else _UNSAFE_IN_SEGMENT
        if value in (".", "..") or unsafe.search(value):
            return (
                "must be one segment of a path, or an ARN: no '.' or '..', no control character,"
                " and a slash in an ARN only"
            )
        return None

    return check


def _check_path(value: str) -> str | None:
    if value and not _UNSAFE_IN_PATH.search(value):
        return None
    return "must be segments of a path: not empty, no '.' or '..', no control character"


def _host_check(shape: model.Shape) -> Check | None:
    """Return the check of a value that becomes a part of the host's name.

    botocore allows periods, too; they would make another host, for which AWS has no certificate.
    """
    if not shape.serialization.get("hostLabel"):
        return None
    return lambda value: None if _HOST_LABEL.fullmatch(value) else NOT_A_HOST_LABEL


_HOST_LABEL = regex.compile("[A-Za-z0-9-]{1,63}")
NOT_A_HOST_LABEL = "becomes a part of a host name: it must be 1 to 63 letters, digits and hyphens"


def _header_check(shape: model.Shape) -> Check | None:
    """Return the check of a header value, which must not begin another header (RFC 9110, 5.5)."""
    match shape.serialization.get("location"), shape:
        case "header", model.ListShape():
            return lambda value: next(filter(None, map(_check_header, value)), None)
        case "headers", model.MapShape():
            return _check_headers
        case "header", model.StringShape() if not model.is_document(shape):
            return _check_header
    return None


def _check_header(value: object) -> str | None:
    # Numbers and times have no unsafe representation; an enum is checked by its values.
    if not isinstance(value, str):
        return None
    if value.isascii() and value.isprintable() and value == value.strip():
        return None
    return NOT_A_HEADER


def _check_headers(values: Mapping[str, str]) -> str | None:
    """Check a map of headers: a name must be a token (RFC 9110, 5.6.2)."""
    for name, value in values.items():
        if not _TOKEN.fullmatch(name):
            return "has a key that is not the name of an HTTP header"
        fault = _check_header(value)
        if fault is not None:
            return fault
    return None


_TOKEN = regex.compile(r"[\w!#$%&'*+.^`|~-]+", regex.ASCII)
NOT_A_HEADER = "goes into an HTTP header: it must be printable ASCII without blanks at its ends"


def _finite_check(shape: model.Shape) -> Check | None:
    if shape.type_name not in ("float", "double"):
        return None
    return lambda value: None if math.isfinite(value) else NOT_FINITE


NOT_FINITE = "must be finite: JSON has no NaN and no infinity"
