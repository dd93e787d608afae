"""Strings and numbers that often cause errors."""

from __future__ import annotations

from random import Random

from tests.fuzz.inprocess import MARKER

PATH_TRICKS = (
    "",
    ".",
    "..",
    "/",
    "//",
    "../",
    "../..",
    "/../../x",
    "a/b",
    "a/../b",
    "%2F",
    "%2f..%2f",
    "%2e%2e",
    "%252F",
    "..%00",
    ".%2e",
    "\\",
    "..\\..",
    "a\r\nX-Other: 1",
    "\r\n\r\nGET / HTTP/1.1",
    "\n",
    "\x00",
    "a\x00b",
    "?",
    "?a=b&c",
    "#",
    "#fragment",
    "a;b=c",
    ";",
    "a?b#c",
    "@host",
    "http://other.test/",
    "+",
    " ",
    "\t",
    "%",
    "%zz",
    "{farmId}",
    "{0}{1}",
    "%s%n",
    "${jndi:x}",
)

UNICODE = (
    "😀",
    "\u202eabc\u202c",
    "שלום",
    "e\u0301" * 20,
    "a" + "\u0300" * 200,
    "\ufeff",
    "\u2028\u2029",
    "\u0085",
    "\u200b",
    "\ufffd",
    "\uffff",
    "\U0010ffff",
    "ﬁ",
    "İ",
    "ß",
    "٣",
    "²",
    "\u2044",
    "\uff0f",
    "\u2024\u2024",
)

CONTROLS = tuple(map(chr, (*range(0x20), *range(0x7F, 0xA0))))

INTEGERS = (
    *(-1, 0, 1, 2, 100, 101, 10_000),
    *(2**31 - 1, -(2**31), 2**31 - 2, 2**30),
    *(2**63 - 1, -(2**63), 2**53, 2**53 + 1, -(2**53) - 1, 2**32, 2**31, -(2**31) - 1),
)

DOUBLES = (
    *(float("nan"), float("inf"), float("-inf"), -0.0, 0.0, 5e-324, -5e-324, 2.2e-308),
    *(1.7976931348623157e308, -1.7976931348623157e308, 1e22, 0.1, -1.0, 2.0**53, 2.0**53 + 2, 1e16),
)


def odd_text(random: Random, before: str = "") -> str:
    """Return an unusual string; `before` is the value that it replaces."""
    kind = random.random()
    if kind < 0.35:
        return random.choice(PATH_TRICKS)
    if kind < 0.5:
        return random.choice(UNICODE)
    if kind < 0.6:
        return random.choice(CONTROLS)
    if kind < 0.85 and before:
        # Inside what is else right.
        at = random.randrange(len(before) + 1)
        inserted = random.choice(random.choice((PATH_TRICKS, UNICODE, CONTROLS)))
        return before[:at] + inserted + before[at + random.choice((0, 1)) :]
    if kind < 0.9:
        return MARKER + before
    length = random.choice((64, 65, 100, 128, 129, 256, 257, 1_000, 1_025, 5_000))
    if random.random() < 0.02:
        length = random.choice((65_537, 1_000_000))
    return random.choice(("x", "a-", "é", "😀", " ", "0", "/", ".")) * length
