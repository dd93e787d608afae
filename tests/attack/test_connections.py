"""Many connections, health watches and reflection requests of one address."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from tests.attack.conftest import Sites
from tests.support.guarded_process import GuardedServer, ended
from tests.support.polling import wait_until

pytestmark = pytest.mark.timed

MANY = 200
LIMIT = 50
LIMITS = {"max_connections_per_address": str(LIMIT), "caller_streams": "20"}
CALLS = {"caller_streams": "20", "caller_calls_per_second": "20"}


def surviving_connections(site: GuardedServer) -> int:
    """Open many connections; return how many are still open after some time."""
    host, port = site.address.rsplit(":", 1)
    with ExitStack() as stack:
        opened = [
            stack.enter_context(socket.create_connection((host, int(port)))) for _ in range(MANY)
        ]
        until = time.monotonic() + 5
        while (alive := sum(map(_is_open, opened))) > LIMIT and time.monotonic() < until:
            time.sleep(0.1)
        return alive


def _is_open(connection: socket.socket) -> bool:
    connection.settimeout(0)
    try:
        while True:
            if not connection.recv(4096):
                return False
    except BlockingIOError:
        return True
    except OSError:
        return False


def test_connections_of_one_address_are_bounded(sites: Sites) -> None:
    site = sites(**LIMITS)
    with site.channel() as channel:
        # The test's own connection is older, so it stays.
        stub: Any = health_pb2_grpc.HealthStub(channel)
        stub.Check(health_pb2.HealthCheckRequest(service="live"), timeout=5)
        assert surviving_connections(site) <= LIMIT
        stub.Check(health_pb2.HealthCheckRequest(service="live"), timeout=5)
        closed = '"connections over the limit closed"'
        wait_until(lambda: any(closed in line for line in site.lines))


def test_without_the_defence_all_stay(sites: Sites) -> None:
    assert surviving_connections(sites(weakness="unlimited_connections", **LIMITS)) == MANY


def open_watches(site: GuardedServer, count: int) -> dict[str, int]:
    """Open health watches without a token; return how they went."""
    codes: dict[str, int] = {}
    with site.channel() as channel:
        stub: Any = health_pb2_grpc.HealthStub(channel)
        request = health_pb2.HealthCheckRequest(service="live")
        watches = [stub.Watch(request, timeout=30) for _ in range(count)]
        for watch in watches:
            code = ended(partial(next, watch))
            codes[code] = codes.get(code, 0) + 1
        for watch in watches:
            watch.cancel()
    return codes


def test_health_watches_count_against_the_limits_of_their_address(sites: Sites) -> None:
    site = sites(**LIMITS)
    assert open_watches(site, 100) == {"OK": 20, "RESOURCE_EXHAUSTED": 80}
    assert open_watches(site, 10) == {"OK": 10}, "those that have ended count no more"


def test_without_the_defence_all_are_served(sites: Sites) -> None:
    assert open_watches(sites(weakness="unlimited_streams", **CALLS), 100) == {"OK": 100}


def test_long_names_of_health_watches_are_refused(sites: Sites) -> None:
    with sites(**LIMITS).channel() as channel:
        stub: Any = health_pb2_grpc.HealthStub(channel)
        request = health_pb2.HealthCheckRequest(service="x" * 1_000_000)
        assert ended(lambda: next(stub.Watch(request, timeout=10))) == "INVALID_ARGUMENT"


def reflected(site: GuardedServer, seconds: float) -> int:
    """Return how many reflection requests one stream has answered in some time."""
    question = reflection_pb2.ServerReflectionRequest(file_by_filename="taskgate/v1/task.proto")
    until = time.monotonic() + seconds

    def questions() -> Iterator[reflection_pb2.ServerReflectionRequest]:
        while time.monotonic() < until:
            yield question

    count = 0
    with site.channel() as channel:
        stub: Any = reflection_pb2_grpc.ServerReflectionStub(channel)
        metadata = site.token("alice", "all")
        try:
            for _ in stub.ServerReflectionInfo(questions(), metadata=metadata, timeout=seconds):
                count += 1
        except grpc.RpcError:
            pass
    return count


def test_each_reflection_request_counts_as_a_call(sites: Sites) -> None:
    assert reflected(sites(**CALLS), 2) <= 20 + 2 * 20 + 5


def test_without_the_defence_one_stream_serves_any_number(sites: Sites) -> None:
    assert reflected(sites(weakness="unlimited_streams", **CALLS), 2) > 100
