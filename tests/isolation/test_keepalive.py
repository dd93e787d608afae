"""Half-open connections release what they hold; pings of idle clients are allowed."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import grpc
import pytest

from taskgate.v1 import task_service_pb2_grpc, task_watch_pb2
from taskgate_emulator import Emulator
from taskgate_server.config import Settings
from tests.isolation.relay import running_relay
from tests.support.demo_names import JOB
from tests.support.running_server import running_server, settings_for

pytestmark = pytest.mark.timed  # pings are timed

STREAMS = 5
PING, GOAWAY = 6, 7
EVERYONE = "I understand that anyone on the network can read and make calls"
OWN_CONNECTION = (("grpc.use_local_subchannel_pool", 1),)


def open_watch(stub: Any) -> Any:
    stream = stub.WatchTasks(task_watch_pb2.WatchTasksRequest(parent=JOB), timeout=60)
    next(stream)
    return stream


def is_admitted(address: str) -> bool:
    """Return whether the caller may open one more stream, on another connection."""
    with grpc.insecure_channel(address, OWN_CONNECTION) as channel:
        stub: Any = task_service_pb2_grpc.TaskServiceStub(channel)
        try:
            open_watch(stub).cancel()
        except grpc.RpcError as error:
            if error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED:
                return False
            raise
    return True


def test_default_times_release_half_open_connections_within_45_seconds() -> None:
    fields = Settings.model_fields
    assert fields["keepalive_seconds"].default + fields["keepalive_timeout_seconds"].default < 45
    assert fields["min_ping_seconds"].default < 15


def test_half_open_connections_release_their_streams(aws: Emulator) -> None:
    settings = settings_for(
        aws.endpoint_url,
        listen_host="0.0.0.0",  # noqa: S104  # limits are off on loopback
        plaintext_to_everyone=EVERYONE,
        caller_streams=STREAMS,
        keepalive_seconds=0.5,
        keepalive_timeout_seconds=2,
    )
    with running_server(settings) as address, running_relay(address) as relay:
        direct = f"127.0.0.1:{address.port}"
        with grpc.insecure_channel(f"127.0.0.1:{relay.port}", OWN_CONNECTION) as channel:
            stub: Any = task_service_pb2_grpc.TaskServiceStub(channel)
            streams = [open_watch(stub) for _ in range(STREAMS)]
            assert not is_admitted(direct)
            relay.is_silent = True
            limit = time.monotonic() + 30
            while not is_admitted(direct):
                assert time.monotonic() < limit, "the streams hold their places"
                time.sleep(0.1)
            for stream in streams:
                stream.cancel()


def frames(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield the types and payloads of HTTP/2 frames: https://www.rfc-editor.org/rfc/rfc9113#section-4.1."""
    while data:
        length = int.from_bytes(data[:3], "big")
        yield data[3], data[9 : 9 + length]
        data = data[9 + length :]


def test_clients_without_calls_may_ping(aws: Emulator) -> None:
    """Scaled from a ping each 15 s where one each 10 s is allowed; gRPC disconnects at the third
    one that is not."""
    settings = settings_for(aws.endpoint_url, min_ping_seconds=0.1)
    received = b""
    with (
        running_server(settings) as address,
        socket.create_connection(("127.0.0.1", address.port)) as connection,
    ):
        connection.settimeout(0.15)
        connection.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes((0, 0, 0, 4, 0, 0, 0, 0, 0)))
        for number in range(10):
            connection.sendall(bytes((0, 0, 8, PING, 0, 0, 0, 0, 0)) + number.to_bytes(8, "big"))
            time.sleep(0.15)
            with suppress(TimeoutError):
                received += connection.recv(65536)
    kinds = [kind for kind, _ in frames(received)]
    assert GOAWAY not in kinds
    assert kinds.count(PING) == 10
