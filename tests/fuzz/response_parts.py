"""The parts with which responses are mutated."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from random import Random
from typing import Any

from tests.fuzz.inprocess import MARKER
from tests.support.wire_format import flip_bits, truncate

STATUSES = (
    *(200, 201, 202, 204, 206, 299, 300, 301, 302, 304, 307, 308, 399),
    *(400, 401, 403, 404, 409, 413, 416, 418, 429, 499, 500, 501, 502, 503, 504, 511, 599),
)

DEPTHS = (
    100_000,
    1,
    10,
    40,
    47,
    49,
    60,
    97,
    98,
    99,
    100,
    101,
    150,
    240,
    320,
    480,
    700,
    960,
    1_000,
    3_000,
)

TOKENS = (
    *("1e400", "-1e400", "1" * 400, "-" + "9" * 400, "1" * 5_000, "1e-400", "NaN", "Infinity"),
    *("-Infinity", "-0", "-0.0", "5.0", "5.5", "1e3", "1E400000", "9007199254740993", "2147483648"),
    *("-2147483649", "9223372036854775807", "9223372036854775808", "-9223372036854775809", "01"),
    *('"\\ud800"', '"\\udc00\\ud800"', '"\\u0000"', '"\\ud83d\\ude00"', '"\\x"', '"a\nb"', "'x'"),
    *("tru", "", "undefined", '{"a": 1, "a": 2}', "[1, 2", "}", "[,]", '{"\\ud800": "x"}', "//x"),
    *('"5"', '" 5 "', '"1_0"', '"٣"', '"NaN"', '"-Infinity"', '"nan"', '"1e5"', '"true"', '"TRUE"'),
    *(
        "1e15",
        "253402300799",
        "253402300800",
        "-62135596800",
        "-62135596801",
        "1e11",
        "0.1234567891",
    ),
    *('"2026-13-99T00:00:00Z"', '"2026-03-02T09:30:15"', '"2026-03-02T24:00:00Z"', '"2026-03-02"'),
    *('"2026-03-02T09:30:60Z"', '"0001-01-01T00:00:00+14:00"', '"9999-12-31T23:59:59-14:00"'),
    *('"2026-03-02T09:30:15+99:00"', '"2026-03-02T09:30:15.5+0200"', '"٢٠٢٦-03-02T09:30:15Z"'),
    *(
        '"2026-03-02T09:30:15Z "',
        '"1772443815"',
        '"1e400"',
        '"0000-00-00T00:00:00Z"',
        '"yesterday"',
    ),
)

VALUES: tuple[Callable[[], Any], ...] = (
    *(lambda: None, lambda: True, lambda: False, lambda: 0, lambda: -1, lambda: 1, lambda: 1.5),
    *(lambda: "", lambda: MARKER, lambda: "x", list, dict, lambda: [None]),
    *(lambda: {"": None}, lambda: [[]], lambda: [{}], lambda: {"a": {"b": []}}, lambda: [1, "a"]),
    *(lambda: ["x", None, MARKER], lambda: {MARKER: MARKER}, lambda: {"SDK_UNKNOWN_MEMBER": 1}),
    *(lambda: {"__type": "x"}, lambda: "é😀\u202e", lambda: "x" * 20_000, lambda: [0] * 2_000),
)

_MARKER = MARKER.encode()

_CODES = ("ThrottlingException", "AccessDeniedException", "ExpiredToken", "BrandNewException")

_ODD_CODES: tuple[Any, ...] = (
    *(
        5,
        None,
        [],
        {},
        "",
        True,
        1.5,
        "a#",
        "#",
        ":",
        "é",
        "a#b#c",
        "😀",
        "\0",
        "\r\n",
        [1],
        {"a": 1},
    ),
    "x" * 20_000,
)
_ODD_FIELDS: tuple[Any, ...] = (
    *(5, "x", {}, [None], [5], [{"name": 5}], [{"name": None, "message": None}]),
    *([{"message": 5}], [{"name": [], "message": {}}], [{}]),
)

ODD_ERRORS: tuple[str, ...] = (
    *(json.dumps({"__type": f"com.amazon#{code}:http://x/", "message": MARKER}) for code in _CODES),
    *(json.dumps({"code": code, "Message": MARKER}) for code in _CODES),
    *(json.dumps({"Code": code, "errorMessage": MARKER}) for code in _CODES),
    *(json.dumps({"code": code}) for code in _ODD_CODES),
    *(json.dumps({"__type": code}) for code in _ODD_CODES),
    *(json.dumps({"message": each}) for each in _ODD_CODES),
    *('{"message": "\\ud800"}', '{"code": "\\ud800"}', '{"__type": "X", "reason": "\\udfff"}'),
    *(json.dumps({"__type": "ValidationException", "fieldList": fields}) for fields in _ODD_FIELDS),
    *(
        json.dumps({"__type": "ThrottlingException", "retryAfterSeconds": each, "quotaCode": each})
        for each in (*_ODD_CODES, -1, 10**30, "1" * 30)
    ),
    *(
        json.dumps({"__type": "ConflictException", "resourceId": each, "resourceType": each})
        for each in (*_ODD_CODES, "\ud800")
    ),
    *('{"__type": "AccessDeniedException", "context": {"a": 1e400, "b": null}}', '{"a": NaN}'),
    *('{"__type": "AccessDeniedException", "context": [1]}', '{"__type": ["x"]}', '{"error": {}}'),
)

BYTE_CHANGES: dict[str, Callable[[bytes, Random], bytes]] = {
    "gzip": lambda body, _: gzip.compress(body, 1, mtime=0),
    "flip": flip_bits,
    "cut": truncate,
    "huge": lambda body, _: b'{"message": "' + _MARKER + b"x" * 10_000_000 + b'", ' + body[1:],
    "other error": lambda _, random: random.choice(ODD_ERRORS).encode(),
    "empty": lambda _, __: b"",
    "blank": lambda _, __: b" \n\t ",
    "html": lambda _, __: b"<html><h1>503 Service Unavailable</h1>" + _MARKER + b"</html>",
    "xml": lambda _, __: b"<?xml version='1.0'?><Error><Code>AccessDenied</Code></Error>",
    "bom": lambda body, _: b"\xef\xbb\xbf" + body,
    "utf-16": lambda body, _: body.decode("utf-8", "replace").encode("utf-16"),
    "utf-32": lambda body, _: body.decode("utf-8", "replace").encode("utf-32-le"),
    "latin-1": lambda body, _: body.replace(b"x", b"\xe9"),
    "not utf-8": lambda body, random: _insert(body, b"\xff\xfe", random),
    "nul": lambda body, random: _insert(body, b"\0", random),
    "twice": lambda body, _: body + body,
    "more": lambda body, _: body + b"\n--" + _MARKER,
    "list": lambda body, _: b"[" + body + b"]",
    "null": lambda _, __: b"null",
    "number": lambda _, __: b"5",
    "text": lambda _, __: b'"' + _MARKER + b'"',
    "deep": lambda _, __: b"[" * 100_000,
    "deep object": lambda _, __: b'{"a":' * 100_000,
    "deep message": lambda _, __: b'{"message":' + b"[" * 600 + b"]" * 600 + b"}",
}


def _insert(body: bytes, what: bytes, random: Random) -> bytes:
    at = random.randrange(len(body) + 1)
    return body[:at] + what + body[at:]


_LONG = "x" * 10_000
HEADERS: dict[str, tuple[str | None, ...]] = {
    "x-amzn-RequestId": (None, "", "é", "a b", "\t", "a\tb", "\x7f", _LONG, "ÿþ", "%0d%0a"),
    "x-amzn-ErrorType": (
        *(None, "", ":", "#", "a#b:c", "é", _LONG, "ThrottlingException", "ExpiredToken:x"),
        *("AccessDenied,ThrottlingException", "500", "unknown code"),
    ),
    "Retry-After": (
        *("", "abc", "0", "-5", "1.5", "nan", "inf", "-inf", "1e400", "1e300", " 5 ", "5, 6", "²"),
        *("99999999999999999999", "1" * 5_000, "1_0", "0x10", "315576000000", "315576000001"),
        *(
            "Mon, 02 Mar 2026 09:30:15 GMT",
            "Mon, 02 Mar 2026 09:30:15",
            "Fri, 31 Dec 9999 23:59:59",
        ),
        *("Fri, 31 Dec 99999 23:59:59 GMT", "Mon, 99 Mar 2026 09:30:15 GMT", "-", "--5", "9" * 400),
        *(
            "Mon, 02 Mar 2026 09:30:15 +9999",
            "2026-03-02T09:30:15Z",
            "Mon, 02 Mar 0000 09:30:15 GMT",
        ),
    ),
    "Date": (None, "", "x", "Mon, 02 Mar 2026 09:30:15", "Fri, 31 Dec 9999 23:59:59 GMT"),
    "Content-Type": (
        *(None, "", "text/html", "application/xml", "application/json; charset=utf-16", "é"),
        *(
            "application/json; charset=bogus",
            "application/x-amz-json-1.1",
            ";;;",
            "multipart/mixed",
        ),
        "application/vnd.amazon.eventstream",
    ),
    "Content-Encoding": ("gzip", "deflate", "br", "identity", ""),
    "x-amzn-RemappedFoo": (MARKER, "é"),
    "x-amz-id-2": ("é" * 100,),
    "x-amz-crc32": ("0", "x"),
    "x-amzn-query-error": ("AccessDenied;Sender", ";", "x"),
    "Transfer-Encoding": ("identity",),
}
