r"""Regular expressions of AWS's models as JSON Schema's `pattern`.

JSON Schema has those of ECMA-262 with Unicode, and recommends what all languages read alike
(https://json-schema.org/draft/2020-12/json-schema-core, 6.4). AWS's are of Java or JavaScript.
"""

from __future__ import annotations

import re
from functools import cache
from typing import Final

_ESCAPE: Final = r"\\[dDwWsStnrfv^$\\.*+?()\[\]{}|/]"
_CLASS_ITEM: Final = (
    rf"{_ESCAPE}|\\-"
    # Python reserves these pairs for operations on sets.
    r"|(?!\|\||&&|~~|--)[^\\\[\]]"
)
_QUANTIFIER: Final = r"(?:[*+?]|\{\d+(?:,\d*)?\})\??(?![*+?{])"
_PORTABLE: Final = re.compile(
    rf"(?:{_ESCAPE}|\((?:\?[:=!]|(?!\?))|[)|^$.]|{_QUANTIFIER}|\[\^?(?:{_CLASS_ITEM})+\]"
    r"|[^\\()\[\]{}*+?|^$.])*"
)


@cache
def to_json_schema(pattern: str) -> str | None:
    """Return a pattern as JSON Schema has it, without implied anchors.

    None if it has more than what all languages read alike, such as Unicode classes.
    """
    if not _PORTABLE.fullmatch(pattern):
        return None
    anchored = f"^(?:{pattern})$"
    try:
        re.compile(anchored)
    except re.error:
        return None
    return anchored
