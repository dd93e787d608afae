"""Calls over HTTP with Python's own client, which knows neither Connect nor gRPC."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPMessage, HTTPResponse
from typing import Any
from urllib.parse import urlencode

SECONDS = 20.0
TASKS = "taskgate.v1.TaskService"
END_OF_STREAM = 2


@dataclass(frozen=True)
class Reply:
    """A response."""

    status: int
    headers: HTTPMessage
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def detail(self) -> dict[str, Any]:
        """Return the readable forms of an error's details by type."""
        return {each["type"]: each["debug"] for each in self.json["details"]}


def request(
    address: object,
    path: str,
    body: bytes | None = None,
    *,
    method: str = "POST",
    headers: Mapping[str, str] | None = None,
) -> Reply:
    """Send one request on a connection of its own."""
    connection = HTTPConnection(str(address), timeout=SECONDS)
    try:
        connection.request(method, path, body, dict(headers or {}))
        response = connection.getresponse()
        return Reply(response.status, response.headers, response.read())
    finally:
        connection.close()


def call(address: object, method: str, message: object, **headers: str) -> Reply:
    """Call an RPC in JSON; underscores in the names of headers are hyphens."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    path, body = f"/{method}", json.dumps(message).encode()
    return request(address, path, body, headers={"content-type": "application/json", **named})


def get(address: object, method: str, message: object, **headers: str) -> Reply:
    """Call an RPC with GET."""
    query = urlencode({"connect": "v1", "encoding": "json", "message": json.dumps(message)})
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return request(address, f"/{method}?{query}", method="GET", headers=named)


def envelope(message: object) -> bytes:
    """Return a message of a stream."""
    data = json.dumps(message).encode()
    return struct.pack(">BI", 0, len(data)) + data


@contextmanager
def streaming(
    address: object, method: str, *messages: object, **headers: str
) -> Iterator[Iterator[tuple[int, Any]]]:
    """Send a stream of messages; yield the flags and content of each envelope of the response."""
    connection = HTTPConnection(str(address), timeout=SECONDS)
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    try:
        connection.request(
            "POST",
            f"/{method}",
            b"".join(map(envelope, messages)),
            {"content-type": "application/connect+json", **named},
        )
        response = connection.getresponse()
        assert response.status == 200, response.read()
        yield _envelopes(response)
    finally:
        connection.close()


def _envelopes(response: HTTPResponse) -> Iterator[tuple[int, Any]]:
    flags = 0
    while not flags & END_OF_STREAM:
        prefix = response.read(5)
        assert len(prefix) == 5, "the stream was cut"
        flags, length = struct.unpack(">BI", prefix)
        yield flags, json.loads(response.read(length))
