"""Requests with odd headers: each is refused or served, and none is logged as a bug."""

from __future__ import annotations

import struct
from random import Random

import pytest

from taskgate_server.ports import Address
from taskgate_server.telemetry.logs import BUGS
from tests.support.demo_names import RUNNING
from tests.support.http_client import TASKS, request
from tests.support.seeds import VOLUME, examples, seeded

REQUESTS = examples(2000) * VOLUME
GRPC_TYPES = ("application/grpc", "application/grpc+proto", "Application/gRPC; charset=utf-8")

VALUES = {
    "content-type": (
        *GRPC_TYPES,
        "application/json",
        "application/proto",
        "application/connect+json",
        "application/connect+proto",
        "application/grpc-web",
        "application/grpc-web+json",
        "application/grpc-web-text",
        "application/json; charset=latin-1",
        "application/x-www-form-urlencoded",
        "multipart/form-data",
        "text/plain",
        "application/",
        "/",
        "",
    ),
    "connect-protocol-version": ("1", "2", "", "x"),
    "connect-timeout-ms": ("1000", "0", "-1", "1e9", "99999999999", "", "x", "1 0"),
    "grpc-timeout": ("1S", "0m", "999999999S", "-1S", "S", "", "1x"),
    "content-encoding": ("gzip", "identity", "br", "zstd", "", "x"),
    "connect-content-encoding": ("gzip", "identity", "x"),
    "grpc-encoding": ("gzip", "identity", "x"),
    "accept-encoding": ("gzip", "x;q=0", "*"),
    "te": ("trailers", "x"),
    "origin": ("null", "http://localhost", "x"),
    "sec-fetch-site": ("same-origin", "cross-site", "x"),
    "authorization": ("Bearer", "Bearer x", "Basic eDp4", ""),
    "traceparent": ("00-0-0-0", "x"),
    "taskgate-target": ("nowhere", ""),
    "taskgate-max-age": ("-1", "nan", "1e400", ""),
    "taskgate-since-write": ("-1", "nan", "1e400", ""),
    "x-grpc-web": ("1",),
}
MESSAGE = b'{"name": "%s"}' % RUNNING.encode()
BODIES = (
    MESSAGE,
    b"",
    b"{",
    b"\x00",
    b"\xff" * 9,
    struct.pack(">BI", 0, len(MESSAGE)) + MESSAGE,
    struct.pack(">BI", 0, 0),
    struct.pack(">BI", 1, 3) + b"abc",
    struct.pack(">BI", 0, 2**32 - 1),
    struct.pack(">BI", 128, 2) + b"{}",
)
PATHS = (
    f"/{TASKS}/GetTask",
    f"/{TASKS}/WatchTasks",
    f"/{TASKS}/CancelTask",
    f"/{TASKS}/Nothing",
    "/taskgate.omics.v1.OmicsService/UploadReadSetPart",
    "/grpc.health.v1.Health/Check",
    "/",
)
QUERIES = ("", "?connect=v1", "?encoding=json&message={}", "?encoding=x&message=%ff&base64=1")


def odd_headers(random: Random) -> dict[str, str]:
    names = random.sample(sorted(VALUES), random.randrange(5))
    return {name: random.choice(VALUES[name]) for name in {*names, "content-type"}}


def test_odd_headers_are_no_bug(http: Address) -> None:
    random = seeded("odd headers")
    for _ in range(REQUESTS):
        method = random.choice(("POST", "POST", "POST", "GET", "PUT"))
        path = random.choice(PATHS) + random.choice(QUERIES)
        headers, body = odd_headers(random), random.choice(BODIES)
        if "WatchTasks" in path:
            headers["connect-timeout-ms"] = headers["grpc-timeout"] = "1"  # it would not end
        before = BUGS.total()
        request(http, path, body, method=method, headers=headers)
        assert BUGS.total() == before, (method, path, headers, body)


@pytest.mark.parametrize("media", GRPC_TYPES)
def test_grpc_is_refused_with_what_to_do(http: Address, media: str) -> None:
    reply = request(http, PATHS[0], b"\0\0\0\0\0", headers={"content-type": media})
    assert reply.status == 415
    assert "call the port for gRPC" in reply.json["message"]
