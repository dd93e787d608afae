"""Readiness is true of each AWS service, and costs no call of its API while that works."""

from __future__ import annotations

import asyncio
import socket
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from taskgate_client import connect
from taskgate_emulator import Emulator
from taskgate_server.config import AwsSettings
from taskgate_server.services.omics.spec import SPEC as OMICS
from taskgate_server.services.registry import SERVICES
from taskgate_server.upstream.availability import (
    CONNECT_INTERVAL_SECONDS,
    RECONNECT_INTERVAL_SECONDS,
    probe_endpoint,
)
from taskgate_server.upstream.aws_client.connection import Connection
from taskgate_server.upstream.aws_client.factory import AwsClient, make_client
from taskgate_server.upstream.rate_limit.limiter import FORGET_SECONDS, ThrottleStreak
from tests.support.aws_clients import unconnected_client
from tests.support.polling import wait_until
from tests.support.running_server import REGION, running_app, running_server, settings_for

DEADLINE_SERVICE = "taskgate.deadline.v1.DeadlineService"


def serves(address: object, service: str) -> bool:
    with grpc.insecure_channel(str(address)) as channel:
        stub: Any = health_pb2_grpc.HealthStub(channel)
        answer = stub.Check(health_pb2.HealthCheckRequest(service=service), timeout=10)
    return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)


def test_unreachable_endpoint_and_its_recovery_change_health() -> None:
    with socket.socket() as lost, Emulator() as aws:
        lost.bind(("127.0.0.1", 0))  # bound, so that no other process gets it; it does not listen
        nowhere = f"http://127.0.0.1:{lost.getsockname()[1]}"
        there = AwsSettings(region=REGION, endpoint_url=aws.endpoint_url)
        settings = settings_for(
            nowhere,
            aws={"deadline": AwsSettings(region=REGION, endpoint_url=nowhere), "omics": there},
        )
        with running_server(settings) as address, connect(str(address)) as client:
            wait_until(lambda: serves(address, "taskgate.omics.v1.OmicsService"))
            wait_until(lambda: not serves(address, DEADLINE_SERVICE))
            assert serves(address, "taskgate.v1.TaskService")
            wait_until(lambda: "no connections" in not_ready_reason(client, "deadline"))
            assert not_ready_reason(client, "omics") == ""
            port = lost.getsockname()[1]
            lost.close()
            with Emulator(port=port):
                wait_until(lambda: serves(address, DEADLINE_SERVICE))
                assert not_ready_reason(client, "deadline") == ""
        assert aws.request_count == 0


def test_server_without_credentials_is_live_but_not_ready(
    aws: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    with running_server(settings_for(aws.endpoint_url)) as address, connect(str(address)) as client:
        wait_until(lambda: "no AWS credentials" in not_ready_reason(client, "deadline"))
        assert not serves(address, "")
        assert serves(address, "live")


def not_ready_reason(client: Any, name: str) -> str:
    services = {each.name: each for each in client.get_server_info().aws_services}
    return str(services[name].not_ready_reason)


def test_total_throttle_makes_a_service_not_ready_until_a_call_succeeds(aws: Emulator) -> None:
    with running_app(settings_for(aws.endpoint_url)) as (built, address):
        gateway = built.connections[0].gateways["deadline"]
        wait_until(lambda: serves(address, DEADLINE_SERVICE))
        limiter = gateway.pipeline.limiter
        limiter.throttles = ThrottleStreak(clock := Clock())
        for _ in range(20):
            limiter.throttles.record_throttle()
            clock.now += 1
        wait_until(lambda: not serves(address, DEADLINE_SERVICE))
        assert serves(address, "")
        limiter.throttles.record_response()
        wait_until(lambda: serves(address, DEADLINE_SERVICE))


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_lasting_throttles_without_success_are_total() -> None:
    clock = Clock()
    throttling = ThrottleStreak(clock)

    def is_total_after(throttles: int, seconds: float) -> bool:
        for _ in range(throttles):
            throttling.record_throttle()
            clock.now += seconds
        return throttling.is_total

    assert not is_total_after(50, 0), "a burst"
    clock.now += 5
    assert is_total_after(1, 0)
    throttling.record_response()
    assert not is_total_after(9, 1), "few"
    assert is_total_after(1, 0)
    clock.now += FORGET_SECONDS
    assert not is_total_after(0, 0), "evidence expires"


class Way:
    """Connections that can be made or not, and a sleep that ends when the test says so."""

    def __init__(self) -> None:
        self.is_there = True
        self.tried: list[tuple[str, int]] = []
        self.pauses: asyncio.Queue[tuple[float, asyncio.Event]] = asyncio.Queue()

    async def connect(self, host: str, port: int) -> None:
        self.tried.append((host, port))
        if not self.is_there:
            raise OSError

    async def sleep(self, seconds: float) -> None:
        over = asyncio.Event()
        self.pauses.put_nowait((seconds, over))
        await over.wait()


def client(reach: tuple[str, int] | None = ("aws.test", 443)) -> AwsClient:
    return unconnected_client(reach)


async def test_one_failed_connection_does_not_make_an_endpoint_unreachable() -> None:
    way = Way()
    with ThreadPoolExecutor(1) as executor:
        connection = Connection(OMICS, client, executor)
        tasks = [
            asyncio.ensure_future(each)
            for each in (
                connection.run(),
                probe_endpoint(connection, sleep=way.sleep, connect=way.connect),
            )
        ]
        seen = []
        for way.is_there in (True, False, False, True):
            seconds, over = await way.pauses.get()
            seen.append((seconds, connection.is_unreachable))
            over.set()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    assert seen == [
        (CONNECT_INTERVAL_SECONDS, False),
        (RECONNECT_INTERVAL_SECONDS, False),
        (RECONNECT_INTERVAL_SECONDS, True),
        (CONNECT_INTERVAL_SECONDS, False),
    ]
    assert set(way.tried) == {("aws.test", 443)}


@pytest.mark.parametrize(
    ("service", "host"),
    [("deadline", f"management.deadline.{REGION}.amazonaws.com"), ("omics", "")],
)
def test_endpoint_probe_uses_the_address_of_calls(
    service: str, host: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    spec = next(each for each in SERVICES if each.name == service)
    made = make_client(spec, AwsSettings(region=REGION)).address
    assert made == (host or f"workflows-omics.{REGION}.amazonaws.com", 443)
    made = make_client(spec, AwsSettings(region=REGION, endpoint_url="http://127.0.0.1:9")).address
    assert made == ("127.0.0.1", 9)
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:8")
    assert make_client(spec, AwsSettings(region=REGION)).address is None, "a proxy is in between"
