from __future__ import annotations

import re

import pytest
import regex

from taskgate_server.aws import model
from taskgate_server.http.portable_patterns import to_json_schema
from taskgate_server.services.registry import SERVICES


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("farm-[0-9a-f]{32}", "^(?:farm-[0-9a-f]{32})$"),
        ("$|^arn:.+", "^(?:$|^arn:.+)$"),
        (r"[a-zA-Z_]([a-zA-Z0-9_\-]{0,99})", r"^(?:[a-zA-Z_]([a-zA-Z0-9_\-]{0,99}))$"),
        (r"[^\"'/\[\]:;|=,+*?<>\s]*", None),  # `\"` is no escape in ECMA-262
        (r"[^\[\]|\s]*", r"^(?:[^\[\]|\s]*)$"),
        (r"[\p{L}||\p{N}]+", None),
        (r"\ud83d\ude00", None),
        (r"\x{1F600}", None),
        ("[a&&b]", None),
        ("a++", None),
        ("a{b", None),
        ("[a-", None),
        (r"[\w-z]", None),
        ("(?i)a", None),
        ("(?<=a)b", None),
        ("(?!a)b", "^(?:(?!a)b)$"),
    ],
)
def test_patterns_that_all_languages_read_alike(pattern: str, expected: str | None) -> None:
    assert to_json_schema(pattern) == expected


PATTERNS = sorted(
    {
        shape.metadata["pattern"]
        for spec in SERVICES
        for service in [model.load_service(spec.name)]
        for shape in map(service.shape_for, service.shape_names)
        if "pattern" in shape.metadata
    }
)


def test_most_patterns_of_the_models_are_portable() -> None:
    left_out = [pattern for pattern in PATTERNS if to_json_schema(pattern) is None]
    assert [pattern for pattern in left_out if r"\p" not in pattern] == []
    assert len(left_out) < len(PATTERNS) / 10


@pytest.mark.parametrize("pattern", PATTERNS)
def test_python_reads_them_like_the_server(pattern: str) -> None:
    portable = to_json_schema(pattern)
    if portable is None:
        return
    original = regex.compile(pattern, regex.VERSION0)
    for text in (
        "",
        "a",
        "1",
        "arn:aws:iam::123456789012:role/x",
        "s3://abc/d",
        "a-b_c.d",
        "~",
        " ",
    ):
        assert bool(original.fullmatch(text)) == bool(re.search(portable, text))
