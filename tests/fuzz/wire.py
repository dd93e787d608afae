"""The sample over the real wire: bytes into gRPC, and a socket in place of AWS."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from random import Random
from typing import Any

import grpc

from tests.fuzz.findings import CASE_SECONDS
from tests.fuzz.inprocess import GrpcResponse, Target
from tests.support.boto3_wire import AwsResponse

_UNLIMITED = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]


@contextmanager
def channel_to(address: str) -> Iterator[grpc.Channel]:
    """Return a channel without message size limits."""
    with grpc.insecure_channel(address, options=_UNLIMITED) as channel:
        yield channel


def call(channel: grpc.Channel, target: Target, messages: Sequence[bytes]) -> GrpcResponse:
    """Perform one call with raw bytes."""
    path = f"/{target.method.containing_service.full_name}/{target.method.name}"
    anything: Any = channel  # without serializers, which its stubs demand
    rpc: Any
    try:
        if target.method.client_streaming:
            method = anything.stream_unary(path)
            response, rpc = method.with_call(iter(messages), timeout=CASE_SECONDS)
            responses = [response]
        elif target.method.server_streaming:
            rpc = anything.unary_stream(path)(messages[0], timeout=CASE_SECONDS)
            responses = list(rpc)
        else:
            method = anything.unary_unary(path)
            response, rpc = method.with_call(messages[0], timeout=CASE_SECONDS)
            responses = [response]
    except grpc.RpcError as error:
        failed: Any = error
        return GrpcResponse(
            code=failed.code(),
            message=failed.details() or "",
            trailers=[tuple(each) for each in failed.trailing_metadata() or ()],
        )
    return GrpcResponse(
        code=grpc.StatusCode.OK,
        trailers=[tuple(each) for each in rpc.trailing_metadata() or ()],
        responses=responses,
    )


class Upstream:
    """An AWS that returns the same bytes for every request, then closes the connection."""

    def __init__(self) -> None:
        self.response = b""
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._thread = threading.Thread(target=self._accept, name="fuzz-upstream")

    @property
    def endpoint_url(self) -> str:
        """The URL of the listening socket."""
        return f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    def __enter__(self) -> Upstream:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:  # closed: the test is over
                return
            # A client that has read enough may be gone before all is sent.
            with connection, suppress(OSError):
                connection.settimeout(CASE_SECONDS)
                _read_request(connection)
                connection.sendall(self.response)


def _read_request(connection: socket.socket) -> None:
    """Read the whole request; closing with unread bytes would reset the connection."""
    data = b""
    while b"\r\n\r\n" not in data:
        data += _some(connection)
    head, _, body = data.partition(b"\r\n\r\n")
    headers = dict(
        line.decode("latin-1").lower().split(": ", 1) for line in head.split(b"\r\n")[1:]
    )
    if headers.get("expect"):
        connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
    size = len(body)
    while size < int(headers.get("content-length", "0")):
        size += len(_some(connection))


def _some(connection: socket.socket) -> bytes:
    data = connection.recv(65536)
    if not data:
        raise ConnectionError
    return data


@dataclass(slots=True)
class _Http:
    """The parts of an HTTP response."""

    start: bytes
    lines: list[bytes]
    framing: list[bytes]
    body: bytes


def http(response: AwsResponse, random: Random, how: list[str]) -> bytes:
    """Return the response as bytes, sometimes as invalid HTTP."""
    parts = _Http(
        start=f"HTTP/1.1 {response.status} Some Reason".encode(),
        lines=[
            f"{name}: {value}".encode("latin-1", "replace")
            for name, value in response.headers
            if name != "Content-Length"
        ],
        framing=[f"Content-Length: {len(response.body)}".encode()],
        body=response.body,
    )
    kind = random.choice(tuple(_CHANGES)) if random.random() < 0.4 else ""
    if kind:
        how.append(kind)
        _CHANGES[kind](parts, random)
    made = [parts.start, *parts.lines, *parts.framing, b"Connection: close", b"", parts.body]
    whole = b"\r\n".join(made)
    # The connection is closed before the response, or in the middle of it.
    return whole[: {"nothing": 0, "half a head": 30}.get(kind, len(whole))]


def _length(parts: _Http, random: Random) -> None:
    size = len(parts.body)
    odd = (b"x", b"-1", b"", b"1, 2", b"1e3", b"9" * 30, b"+5", b"\xb2")
    wrong = (b"%d" % (size + 1), b"%d" % (size + 10**12), b"%d" % max(size - 1, 0))
    parts.framing = [b"Content-Length: " + random.choice((*odd, *wrong, *wrong))]


def _no_length(parts: _Http, _: Random) -> None:
    parts.framing = []


def _two_lengths(parts: _Http, _: Random) -> None:
    parts.framing.append(b"Content-Length: 3")


def _chunked(parts: _Http, random: Random) -> None:
    body = parts.body
    chunk = b"%x\r\n%s\r\n" % (len(body), body)
    parts.framing = [b"Transfer-Encoding: chunked"]
    parts.body = random.choice((chunk + b"0\r\n\r\n", chunk, b"zz\r\n" + body, body, b"0\r\n"))


def _start(parts: _Http, random: Random) -> None:
    odd = (b"HTTP/1.1 abc", b"HTTP/9.9 200 OK", b"\0", b"", b"HTTP/1.1", b"GET /")
    parts.start = random.choice((*odd, b"HTTP/1.1 99 x", b"HTTP/1.1 1000 x"))


def _line(parts: _Http, random: Random) -> None:
    odd = (b"no colon", b" folded: x", b": x", b"a\0b: c", b"\xff: \xfe", b"x" * 70_000)
    parts.lines.insert(random.randrange(len(parts.lines) + 1), random.choice(odd))


def _many_lines(parts: _Http, _: Random) -> None:
    parts.lines += [b"x-%d: y" % number for number in range(150)]


def _as_it_is(_: _Http, __: Random) -> None:
    """Cut in the end."""


_CHANGES: dict[str, Callable[[_Http, Random], None]] = {
    "length": _length,
    "no length": _no_length,
    "two lengths": _two_lengths,
    "chunked": _chunked,
    "start line": _start,
    "header line": _line,
    "many headers": _many_lines,
    "nothing": _as_it_is,
    "half a head": _as_it_is,
}
