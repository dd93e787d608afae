"""JSON as AWS sends it: its texts may have half surrogate pairs, which UTF-8 and protobuf lack."""

from __future__ import annotations

import json
import re
from typing import Any, Final

SURROGATE_SIGNS: Final = (b"\\ud", b"\\uD", b"\xed")
"""One of them is in each UTF-8 text with half a surrogate pair, and in few others."""

ESCAPES: Final = re.compile(
    r"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}"  # a pair
    r"|(\\u[dD][89a-fA-F][0-9a-fA-F]{2})"  # half of one
    r"|\\."  # any other, such as a backslash before an u
)


def parse(body: bytes) -> tuple[Any, bool]:
    """Parse JSON, and replace half surrogate pairs by U+FFFD.

    Returns:
        The value, and whether there was such a pair.

    Raises:
        ValueError: it is no JSON.
        RecursionError: it is too deep.
    """
    encoding = json.detect_encoding(body)
    if encoding == "utf-8" and not any(sign in body for sign in SURROGATE_SIGNS):
        return json.loads(body), False
    text = body.decode(encoding, "surrogatepass")
    whole = ESCAPES.sub(_whole_escape, _whole_text(text))
    return json.loads(whole), whole != text


def _whole_escape(found: re.Match[str]) -> str:
    return r"\ufffd" if found[1] else found[0]


def _whole_text(text: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text
