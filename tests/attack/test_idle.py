"""Callers that begin and do not go on: uploads, requests without a message, connections."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import grpc
import pytest

from taskgate.omics.v1 import omics_pb2, omics_pb2_grpc
from tests.attack.conftest import Sites
from tests.support.guarded_process import GuardedServer

pytestmark = pytest.mark.timed

IMPATIENT = {"request_idle_seconds": "1", "max_connection_idle_seconds": "1"}
PATIENT = {"request_idle_seconds": "1", "max_connection_idle_seconds": "60"}
UPLOAD = omics_pb2.UploadReadSetPartRequest(
    sequence_store_id="1234567890",
    upload_id="1234567890",
    part_source=omics_pb2.READ_SET_PART_SOURCE_SOURCE1,
    part_number=1,
    payload=b"x" * 1024,
)


def stalled_upload(site: GuardedServer, seconds: float) -> str:
    """Return the code of an upload that stalls after its first message."""
    stop = threading.Event()

    def messages() -> Iterator[omics_pb2.UploadReadSetPartRequest]:
        yield UPLOAD
        stop.wait(seconds)

    with site.channel() as channel:
        stub: Any = omics_pb2_grpc.OmicsServiceStub(channel)
        try:
            stub.UploadReadSetPart(messages(), metadata=site.token("alice", "all"), timeout=seconds)
        except grpc.RpcError as error:
            return str(error.code().name)
        finally:
            stop.set()
    return "OK"


def silent_call(site: GuardedServer, seconds: float, metadata: Any) -> str:
    """Return code and message of a call whose message never arrives."""
    stop = threading.Event()

    def messages() -> Iterator[bytes]:
        stop.wait(seconds)
        yield from ()

    with site.channel() as channel:
        call: Any = channel.stream_unary("/taskgate.v1.TaskService/GetTask")
        try:
            call(messages(), metadata=metadata, timeout=seconds)
        except grpc.RpcError as error:
            return f"{error.code().name}: {error.details()}"
        finally:
            stop.set()
    return "OK"


def test_stalled_upload_ends(sites: Sites) -> None:
    site = sites(**IMPATIENT)
    began = time.monotonic()
    assert stalled_upload(site, 30) == "DEADLINE_EXCEEDED"
    assert time.monotonic() - began < 15


def test_call_without_a_message_ends(sites: Sites) -> None:
    site = sites(**IMPATIENT)
    assert "no request message arrived for 1 s" in silent_call(site, 15, site.token())
    # The server does not wait for a stranger's message: the code is not that of the wait.
    assert silent_call(site, 15, ()).startswith("UNAUTHENTICATED")


def test_without_the_defence_it_waits(sites: Sites) -> None:
    site = sites(weakness="endless_patience", **PATIENT)
    assert "no request message" not in silent_call(site, 3, site.token())


def idle_connection(site: GuardedServer, seconds: float) -> bool:
    """Return whether a connection without calls is closed within some seconds."""
    host, port = site.address.rsplit(":", 1)
    with socket.create_connection((host, int(port))) as connection:
        connection.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00")
        connection.settimeout(seconds)
        try:
            while connection.recv(65536):
                pass
        except TimeoutError:
            return False
    return True


def test_a_connection_without_calls_is_closed(sites: Sites) -> None:
    assert idle_connection(sites(**IMPATIENT), 15)


def test_longer_idle_limit_keeps_the_connection(sites: Sites) -> None:
    assert not idle_connection(sites(weakness="endless_patience", **PATIENT), 3)
