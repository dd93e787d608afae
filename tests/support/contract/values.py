"""Values of scalar shapes: numbers, texts, timestamps as AWS writes them, documents."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

from taskgate_server.aws import model
from tests.support.contract import patterns

_MAX_TEXT = 120
"""Longer texts are generated only if the model requires them."""

_PLAIN = (
    "x",
    "a longer text, with a comma",
    "häß/l?ch %41+&=#",
    "日本語 😀 \u0301",
    "\"quoted\" 'too' \\ back",
    "line\nbreak\ttab \u0001 \u007f",
    " spaces ",
    "0",
    "null",
)
# One segment of a path; the server refuses what would lead to another one.
_SEGMENTS = ("x", "a b", "häß?ch=%41+&#;", "日本語 😀", "...", "~-_.")
_HEADERS = ("x", "a-token_1.2:3", "with 'inner' blanks")

TIMESTAMP_TEXTS: tuple[str | float, ...] = (
    "2026-03-02T09:30:15Z",
    "2026-03-02T09:30:15.5Z",
    "2026-03-02T09:30:15.123Z",
    "2026-03-02T09:30:15.123456Z",
    "2026-03-02T09:30:15.000001Z",
    "2026-03-02T09:30:15.999999Z",
    "2026-03-02T09:30:15.123456789Z",
    "2026-03-02T09:30:15.999999999Z",
    "2026-03-02T09:30:15+02:00",
    "2026-03-02T09:30:15.25-11:30",
    "2024-02-29T23:59:59+00:00",
    "1970-01-01T00:00:00Z",
    "1969-12-31T23:59:59.999999Z",
    "1900-01-01T00:00:00.5Z",
    "9999-12-31T23:59:59.999999Z",
    # No service of the two sends these; botocore reads them all the same.
    1_772_443_815,
    1_772_443_815.25,
    -1.5,
    0,
    "Mon, 02 Mar 2026 09:30:15 GMT",
)

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

MOMENTS = tuple(
    _EPOCH + timedelta(seconds=seconds, microseconds=micros)
    for seconds, micros in (
        (0, 0),
        (1_772_443_815, 0),
        (1_772_443_815, 1),
        (1_772_443_815, 250_000),
        (1_772_443_815, 999_999),
        (-1, 999_999),
        (-2_208_988_800, 500_000),
        (253_402_300_799, 999_999),
    )
)


def scalar(shape: model.Shape, random: Random, location: str | None, *, wire: bool) -> Any:
    """Return a text, number or boolean of the shape."""
    match shape.type_name:
        case "string":
            return _text(shape, random, location)
        case "boolean":
            return random.random() < 0.5
        case "integer":
            return _integer(shape, random, bits=32)
        case "long":
            return _integer(shape, random, bits=64)
        case "float" | "double":
            return _float(shape, random, wire=wire)
    raise AssertionError(f"no values for {shape.type_name}")


def _text(shape: model.Shape, random: Random, location: str | None) -> str:
    low: int = shape.metadata.get("min", 0)
    high: int = shape.metadata.get("max", 10_000)
    pattern: str | None = shape.metadata.get("pattern")
    if pattern is not None:
        pool: tuple[str, ...] = patterns.texts(pattern, low, high)
        if location == "uri":
            pool = tuple(filter(_is_segment, pool)) or ("x",)
        if location == "header":
            pool = tuple(filter(_is_header, pool)) or ("x",)
        return random.choice(pool)
    raw = {"uri": _SEGMENTS, "header": _HEADERS}.get(location or "", _PLAIN)
    if location in ("uri", "header"):
        low = max(low, 1)
    elif random.random() < 0.2:
        # The bounds themselves, in characters of one, two and four bytes.
        size = low if random.random() < 0.5 or high > _MAX_TEXT else high
        return random.choice("xé😀") * size
    text = random.choice(raw)
    return (text * (low // len(text) + 1))[: max(low, min(high, len(text)))]


def _is_segment(text: str) -> bool:
    """Return whether a text is one segment of a path, or an ARN; others are refused."""
    is_one = "/" not in text or text.startswith("arn:")
    return is_one and text.isprintable() and "\\" not in text and text not in ("", ".", "..")


def _is_header(text: str) -> bool:
    return text.isascii() and text.isprintable() and text == text.strip()


def _integer(shape: model.Shape, random: Random, bits: int) -> int:
    low: int = shape.metadata.get("min", -(2 ** (bits - 1)))
    high: int = shape.metadata.get("max", 2 ** (bits - 1) - 1)
    candidates = [low, high, random.randint(low, high)]
    candidates += [each for each in (-1, 0, 1, 2**53 + 1) if low <= each <= high]
    return random.choice(candidates)


def _float(shape: model.Shape, random: Random, *, wire: bool) -> float | str:
    low: float = shape.metadata.get("min", -1e300)
    high: float = shape.metadata.get("max", 1e300)
    candidates: list[float | str] = [float(low), float(high), random.uniform(low, high)]
    if wire:
        # What JSON's numbers lack, AWS writes as text; and a whole number without a point.
        candidates += ["NaN", "Infinity", "-Infinity", round(high) if high < 1e15 else 7]
    candidates += [each for each in (0.0, 1.0, 0.1, -2.25, 5e-324, 1e22) if low <= each <= high]
    return random.choice(candidates)


def document(random: Random, *, wire: bool) -> Any:
    """Return JSON of any kind; integers are limited to 2^53, which the contract can represent."""
    leaves: list[Any] = [
        None,
        True,
        False,
        0,
        1,
        -7,
        2**53,
        -(2**53),
        0.1,
        -2.5,
        1e-7,
        "",
        '日本語 😀 "\\',
        [],
        {},
    ]
    if wire:
        # Only from AWS: a document does not distinguish 2.0 from 2, so it is sent to AWS as 2.
        leaves += [2.0, 1e22]
    random.shuffle(leaves)
    cut = random.randint(1, len(leaves))
    nested = {"": [leaves[:cut], {"deep": {"deeper": [leaves[cut:]]}}], "ключ.a[0]": leaves[0]}
    return random.choice([nested, nested, {}, [nested, 1], "text", 3, False])
