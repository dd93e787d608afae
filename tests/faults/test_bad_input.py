"""What does not belong on the wire: the server stays up, and other callers do not notice.

Frames are made by hand as RFC 9113 has them; h2's own client would refuse to.
"""

from __future__ import annotations

import socket
import ssl
import struct
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import grpc
import pytest
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import DataReceived, ResponseReceived, StreamReset, TrailersReceived

from taskgate.v1 import task_service_pb2, task_service_pb2_grpc
from tests.support.authority import LOOPBACK, Authority
from tests.support.background_callers import Caller
from tests.support.demo_names import RUNNING
from tests.support.observed_server import ObservedServer, observed_server
from tests.support.polling import becomes_true
from tests.support.seeds import seeded

pytestmark = pytest.mark.timed

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
SETTINGS = b"\x00\x00\x00\x04\x00\x00\x00\x00\x00"
GET_TASK = "/taskgate.v1.TaskService/GetTask"
REQUEST = task_service_pb2.GetTaskRequest(name=RUNNING)
MAX_SECONDS = 2.0
IDLE_STREAMS = 3_000


@contextmanager
def caller_beside(
    address: str, credentials: grpc.ChannelCredentials | None = None
) -> Iterator[None]:
    """Run a well-behaved caller beside the block; assert that its calls succeed, soon."""
    own = (("grpc.use_local_subchannel_pool", 1),)
    channel = (
        grpc.insecure_channel(address, own)
        if credentials is None
        else grpc.secure_channel(address, credentials, own)
    )
    stub: Any = task_service_pb2_grpc.TaskServiceStub(channel)
    with channel, Caller("read", lambda: stub.GetTask(REQUEST, timeout=5)) as caller:
        assert becomes_true(lambda: caller.calls > 3)
        yield
        before = caller.calls
        assert becomes_true(lambda: caller.calls > before + 3), "it is not served any more"
    assert caller.failures == []
    assert caller.slowest < MAX_SECONDS


@pytest.fixture(scope="module")
def place() -> Iterator[ObservedServer]:
    with observed_server(TASKGATE_DEFAULT_MAX_AGE_SECONDS="60") as place:
        place.read(seconds=20)  # the first call waits for the AWS client to be made
        yield place


@pytest.fixture(autouse=True)
def unharmed(place: ObservedServer) -> Iterator[None]:
    """Nothing of what came is left, and others were served all the time."""
    before = place.left()
    with caller_beside(place.address):
        yield

    def gone() -> bool:
        left = place.left()
        return left.files <= before.files + 2 and left.tasks <= before.tasks + 2 and not left.rpcs

    assert becomes_true(gone), (before, place.left())


def connected(address: str) -> socket.socket:
    host, _, port = address.rpartition(":")
    return socket.create_connection((host, int(port)), timeout=5)


def frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


NOISE = seeded("noise").randbytes(4096)
GARBAGE = {
    "nothing": b"",
    "noise": NOISE,
    "zeros": bytes(65536),
    "http/1.1": b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
    "a large http/1.1 header": b"GET / HTTP/1.1\r\nX: " + b"x" * 1_000_000,
    "half a preface": PREFACE[:10],
    "a preface and noise": PREFACE + NOISE,
    "a frame longer than its length": PREFACE + SETTINGS + b"\xff\xff\xff\x00\x00\x00\x00\x00\x01",
    "data on a stream that is none": PREFACE + SETTINGS + frame(0, 0, 1, b"x"),
    "headers that are no HPACK": PREFACE + SETTINGS + frame(1, 4, 1, b"\xff" * 100),
    "headers without an end": PREFACE + SETTINGS + frame(1, 0, 1, b"\x82") * 1,
    "a continuation flood": PREFACE
    + SETTINGS
    + frame(1, 0, 1, b"\x82")
    + frame(9, 0, 1, b"\x40\x01x\x01y" * 100) * 2000,
    "settings of the wrong size": PREFACE + frame(4, 0, 0, b"\x00" * 5),
    "a window that overflows": PREFACE
    + SETTINGS
    + frame(8, 0, 0, struct.pack(">I", 0x7FFFFFFF)) * 2,
    "a ping flood": PREFACE + SETTINGS + frame(6, 0, 0, bytes(8)) * 20_000,
    "a settings flood": PREFACE + SETTINGS * 20_000,
    "a priority flood": PREFACE + SETTINGS + frame(2, 0, 1, b"\x00\x00\x00\x03\x10") * 20_000,
    "tls": b"\x16\x03\x01\x00\xa5\x01\x00\x00\xa1\x03\x03" + NOISE[:160],
}


@pytest.mark.parametrize("name", GARBAGE)
def test_invalid_bytes_do_not_harm_other_calls(place: ObservedServer, name: str) -> None:
    with connected(place.address) as connection:
        connection.settimeout(1)
        try:
            connection.sendall(GARBAGE[name])
            connection.shutdown(socket.SHUT_WR)
            while connection.recv(65536):
                pass
        except OSError:
            pass  # it is closed on us, or kept: both are well


def test_reset_flood_does_not_harm_other_calls(place: ObservedServer) -> None:
    """CVE-2023-44487: streams that are reset as soon as they are opened."""
    client = H2(place.address)
    for _ in range(3_000):
        client.open(GET_TASK)
        client.connection.reset_stream(client.stream)
        client.flush()
    client.close()


class H2:
    """An HTTP/2 client that sends any bytes."""

    def __init__(self, address: str) -> None:
        config = H2Configuration(
            client_side=True, header_encoding="utf-8", validate_outbound_headers=False
        )
        self.connection = H2Connection(config)
        self.socket = connected(address)
        self.connection.initiate_connection()
        self.stream = 0
        self.flush()
        # The server's limits hold once they are acknowledged.
        self.connection.receive_data(self.socket.recv(65536))
        self.flush()
        self.socket.settimeout(MAX_SECONDS)

    def flush(self) -> None:
        with suppress(OSError):  # the server has had enough
            self.socket.sendall(self.connection.data_to_send())

    def open(self, path: str, headers: Mapping[str, str] | None = None) -> None:
        usual = {
            ":method": "POST",
            ":scheme": "http",
            ":path": path,
            ":authority": "x",
            "te": "trailers",
            "content-type": "application/grpc",
            **(headers or {}),
        }
        self.stream = self.connection.get_next_available_stream_id()
        fields = [pair for pair in usual.items() if pair[1]]
        self.connection.send_headers(self.stream, fields)

    def send(self, data: bytes, *, end: bool = True) -> None:
        self.connection.send_data(self.stream, data, end_stream=end)

    def outcome(self) -> str:
        """The gRPC status that came, else HTTP's, else what ended the stream."""
        self.flush()
        status = ""
        try:
            while data := self.socket.recv(65536):
                for event in self.connection.receive_data(data):
                    if isinstance(event, (ResponseReceived, TrailersReceived)):
                        fields = {str(name): str(value) for name, value in event.headers or []}
                        status = fields.get("grpc-status") or status or fields.get(":status", "")
                        if "grpc-status" in fields:
                            return status
                    elif isinstance(event, StreamReset):
                        return status if status not in ("", "200") else "reset"
                    elif isinstance(event, DataReceived):
                        continue
                self.flush()
        except OSError:
            return status or "closed"
        return status or "closed"

    def close(self) -> None:
        self.socket.close()


def message(data: bytes, *, compressed: int = 0, size: int | None = None) -> bytes:
    return struct.pack(">BI", compressed, len(data) if size is None else size) + data


GOOD = message(REQUEST.SerializeToString())
OK, INVALID, EXHAUSTED, UNIMPLEMENTED, INTERNAL = "0", "3", "8", "12", "13"


@pytest.mark.parametrize(
    ("headers", "body", "outcomes"),
    [
        ({}, GOOD, {OK}),
        ({"content-type": "application/json"}, GOOD, {"415", "reset", OK}),
        ({"content-type": ""}, GOOD, {"415", "reset", OK}),
        ({":method": "GET"}, GOOD, {"405", "reset", UNIMPLEMENTED, INTERNAL}),
        ({":path": "/no.Such/Method"}, GOOD, {UNIMPLEMENTED}),
        ({":path": ""}, GOOD, {"reset", "closed", UNIMPLEMENTED, INTERNAL}),
        ({}, message(b"\xff" * 20), {INVALID}),
        ({}, message(b"\x0a\xff\xff\xff\xff\x0f"), {INVALID}),
        ({}, message(b"x", compressed=1), {INTERNAL, UNIMPLEMENTED}),
        ({"grpc-encoding": "lzma"}, message(b"x", compressed=1), {UNIMPLEMENTED, INTERNAL}),
        ({"grpc-encoding": "gzip"}, message(b"noise", compressed=1), {INTERNAL}),
        ({}, message(b"x", compressed=9), {INVALID, INTERNAL, UNIMPLEMENTED}),
        ({}, message(b"", size=2**31), {EXHAUSTED, INTERNAL}),
        ({}, message(b"x" * (5 * 1024 * 1024)), {EXHAUSTED}),
        ({}, GOOD[:7], {INVALID}),
        ({}, GOOD + GOOD, {OK, INTERNAL, UNIMPLEMENTED}),
        ({}, b"", {INVALID}),
        ({"grpc-timeout": "soon"}, GOOD, {OK, INTERNAL, "reset"}),
        ({"grpc-timeout": "99999999999999H"}, GOOD, {OK, INTERNAL, "reset"}),
        ({"grpc-timeout": "0n"}, GOOD, {"4", "reset"}),
        ({"taskgate-max-age": "yesterday"}, GOOD, {INVALID}),
        ({"taskgate-since-write": "yesterday"}, GOOD, {INVALID}),
        ({"taskgate-target": "x" * 4000}, GOOD, {INVALID}),
        ({"x-large": "x" * 100_000}, GOOD, {EXHAUSTED, "reset", "closed", "2"}),
        ({"traceparent": "\x7f" * 60}, GOOD, {OK, INTERNAL, "reset"}),
    ],
    ids=lambda value: None if isinstance(value, (bytes, set)) else str(value)[:30],
)
def test_invalid_calls_do_not_harm_other_calls(
    place: ObservedServer, headers: dict[str, str], body: bytes, outcomes: set[str]
) -> None:
    client = H2(place.address)
    try:
        client.open(GET_TASK, headers)
        for start in range(0, len(body) or 1, 16_384):
            client.send(body[start : start + 16_384], end=start + 16_384 >= len(body))
            client.flush()
            if client.connection.local_flow_control_window(client.stream) < 20_000:
                break
        assert client.outcome() in outcomes
    finally:
        client.close()


def test_silent_connections_do_not_harm_other_calls(place: ObservedServer) -> None:
    idle = [connected(place.address) for _ in range(300)]
    time.sleep(0.3)
    place.read(1)
    for connection in idle:
        connection.close()


def test_silent_streams_do_not_harm_other_calls(place: ObservedServer) -> None:
    before = place.metrics.value("process_resident_memory_bytes")
    clients = [H2(place.address) for _ in range(10)]
    for client in clients:
        for _ in range(IDLE_STREAMS // len(clients)):
            client.open(GET_TASK)
        client.flush()
    time.sleep(0.5)
    place.read(MAX_SECONDS)
    grown = place.metrics.value("process_resident_memory_bytes") - before
    for client in clients:
        client.close()
    assert grown / IDLE_STREAMS < 50_000, grown


def test_stalled_readers_do_not_harm_other_calls(place: ObservedServer) -> None:
    """Responses wait for full flow-control windows, within bounds."""
    clients = [H2(place.address) for _ in range(20)]
    reflection = "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"
    request = message(b"\x22\x22taskgate.deadline.v1.DeadlineService")
    for client in clients:
        client.open(reflection)
        for _ in range(50):
            client.send(request, end=False)
        client.flush()
    place.read(MAX_SECONDS)
    for client in clients:
        client.close()


@pytest.fixture(scope="module")
def secure(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, bytes]]:
    authority, folder = Authority(), tmp_path_factory.mktemp("tls")
    certificate, key = authority.issue("server", *LOOPBACK).write(Path(folder))
    with observed_server(
        TASKGATE_TLS_CERTIFICATE_FILE=str(certificate),
        TASKGATE_TLS_KEY_FILE=str(key),
        TASKGATE_DEFAULT_MAX_AGE_SECONDS="60",
    ) as place:
        yield place.address, authority.certificate


def _old_tls(connection: socket.socket) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers("AES128-SHA:@SECLEVEL=0")
    context.wrap_socket(connection)


def _no_alpn(connection: socket.socket) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with context.wrap_socket(connection) as wrapped:
        wrapped.sendall(b"GET / HTTP/1.1\r\n\r\n")
        wrapped.recv(100)


HANDSHAKES: dict[str, Callable[[socket.socket], object]] = {
    "plaintext http/2": lambda connection: connection.sendall(PREFACE + SETTINGS),
    "noise": lambda connection: connection.sendall(NOISE),
    "a hello that is cut": lambda connection: connection.sendall(GARBAGE["tls"][:40]),
    "a hello of noise": lambda connection: connection.sendall(GARBAGE["tls"]),
    "a record that is too long": lambda connection: connection.sendall(b"\x16\x03\x01\xff\xff" * 9),
    "an alert": lambda connection: connection.sendall(b"\x15\x03\x01\x00\x02\x02\x28"),
    "a heartbeat": lambda connection: connection.sendall(b"\x18\x03\x02\x00\x03\x01\x40\x00"),
    "old ciphers": _old_tls,
    "no ALPN": _no_alpn,
}


@pytest.mark.parametrize("name", HANDSHAKES)
def test_invalid_handshakes_do_not_harm_other_calls(secure: tuple[str, bytes], name: str) -> None:
    address, authority = secure
    with caller_beside(address, grpc.ssl_channel_credentials(authority)):
        for _ in range(20):
            with connected(address) as connection:
                connection.settimeout(1)
                with suppress(OSError):  # refused, as it should be
                    HANDSHAKES[name](connection)
