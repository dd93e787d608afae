"""Parses AWS's JSON, whose texts may have unpaired surrogates, invalid in UTF-8 and protobuf."""

from __future__ import annotations

import json
import re
from typing import Any, Final

SURROGATE_SIGNS: Final = (b"\\ud", b"\\uD", b"\xed")
"""Each UTF-8 text with an unpaired surrogate has one of them, and few other texts do."""

ESCAPES: Final = re.compile(
    r"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}"  # a pair
    r"|(\\u[dD][89a-fA-F][0-9a-fA-F]{2})"  # an unpaired surrogate
    r"|\\."  # any other escape, such as a backslash before a u
)


def parse(body: bytes) -> tuple[Any, bool]:
    """Parse JSON, and replace unpaired surrogates by U+FFFD.

    Returns:
        The value, and whether there was an unpaired surrogate.

    Raises:
        ValueError: the body is not JSON.
        RecursionError: it is nested too deeply.
    """
    encoding = json.detect_encoding(body)
    if encoding == "utf-8" and not any(sign in body for sign in SURROGATE_SIGNS):
        return json.loads(body), False
    text = body.decode(encoding, "surrogatepass")
    repaired = ESCAPES.sub(_repair_escape, _repair_text(text))
    return json.loads(repaired), repaired != text


def _repair_escape(found: re.Match[str]) -> str:
    return r"\ufffd" if found[1] else found[0]


def _repair_text(text: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text
