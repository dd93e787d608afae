"""AWS fails for a while: calls succeed soon after it is back, and what the server reports is true.

`OUTAGE_SECONDS=3,60` sets how long the outages are (`make outages`).
"""

from __future__ import annotations

import math
import os
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_args

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from taskgate.omics.v1 import omics_pb2, omics_pb2_grpc
from taskgate.v1 import task_service_pb2, task_service_pb2_grpc
from taskgate_emulator import Emulator
from taskgate_emulator.seeds import ids as seed
from taskgate_server.config import AwsSettings
from tests.isolation.fault_proxy import Fault, FaultProxy
from tests.support.authority import LOOPBACK, Authority
from tests.support.metered_server import MeteredServer
from tests.support.polling import wait_until
from tests.support.running_server import REGION, running_app, settings_for

pytestmark = pytest.mark.timed

OUTAGES = [float(text) for text in os.environ.get("OUTAGE_SECONDS", "3").split(",")]
TRIES = int(os.environ.get("OUTAGE_TRIES", "2"))
"""On a busy machine what is measured may be late without a fault; `make outages` tries once."""
AGREE_SECONDS = 2.0
AFTER_SECONDS = 4.0
"""How long the server is observed after the outage."""
SERVICE = "taskgate.omics.v1.OmicsService"
PATIENCE = (0.4, 1.0, 1.0, 10.0)
"""The deadlines of the callers, in seconds. Some give up soon, one waits."""
OWN = (("grpc.use_local_subchannel_pool", 1),)


@dataclass
class Observed:
    """What was seen of one thing, with the time at which it was seen."""

    values: list[tuple[float, bool]] = field(default_factory=list)

    def note(self, *, is_good: bool) -> None:
        self.values.append((time.monotonic(), is_good))

    @property
    def is_good(self) -> bool:
        return bool(self.values) and self.values[-1][1]

    def changes(self, since: float) -> list[bool]:
        """Return the values since then, each run of equal ones once, without the first run."""
        before = [value for at, value in self.values if at < since]
        seen = before[-1:]
        for at, value in self.values:
            if at >= since and seen[-1:] != [value]:
                seen.append(value)
        return seen[1:]

    def first_good(self, since: float) -> float:
        """Return when it was good first; inf for never."""
        return min((at for at, value in self.values if value and at >= since), default=math.inf)

    def first_bad(self, since: float) -> float:
        """Return when it was bad first; inf for never."""
        return min((at for at, value in self.values if not value and at >= since), default=math.inf)


class Observer:
    """Calls a server all the time, and follows what it reports."""

    def __init__(self, channel: grpc.Channel, metrics: MeteredServer) -> None:
        self.calls, self.health, self.metric, self.info = (Observed() for _ in range(4))
        self._channel = channel
        self._metrics = metrics
        self._over = threading.Event()
        self._runs = [omics_pb2.GetRunRequest(id=seed.RUN_ID)]
        self._threads = [
            *(threading.Thread(target=self._call, args=(seconds,)) for seconds in PATIENCE),
            threading.Thread(target=self._watch),
            threading.Thread(target=self._every, args=(0.1, self._look)),
        ]

    def __enter__(self) -> Observer:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._watching.cancel()
        for thread in self._threads:
            thread.join()

    def _every(self, seconds: float, do: Callable[[], None]) -> None:
        while not self._over.wait(seconds):
            do()

    def _call(self, patience: float) -> None:
        stub: Any = omics_pb2_grpc.OmicsServiceStub(self._channel)

        def call() -> None:
            try:
                stub.GetRun(omics_pb2.GetRunRequest(id=seed.RUN_ID), timeout=patience)
            except grpc.RpcError:
                self.calls.note(is_good=False)
            else:
                self.calls.note(is_good=True)

        self._every(0.05, call)

    def _watch(self) -> None:
        stub: Any = health_pb2_grpc.HealthStub(self._channel)
        self._watching = stub.Watch(health_pb2.HealthCheckRequest(service=SERVICE))
        try:
            for each in self._watching:
                is_serving = each.status == health_pb2.HealthCheckResponse.SERVING
                self.health.note(is_good=is_serving)
        except grpc.RpcError:
            assert self._over.is_set()

    def _look(self) -> None:
        tasks: Any = task_service_pb2_grpc.TaskServiceStub(self._channel)
        info = tasks.GetServerInfo(task_service_pb2.GetServerInfoRequest(), timeout=10)
        [omics] = [each for each in info.aws_services if each.name == "omics"]
        assert omics.ready is not bool(omics.not_ready_reason)
        self.info.note(is_good=omics.ready)
        value = self._metrics.value("taskgate_aws_ready", target="default", service="omics")
        self.metric.note(is_good=value == 1)


@contextmanager
def proxied(fault: Fault, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FaultProxy]:
    tls = None
    if fault == "tls stall":
        authority = Authority()
        certificate, key = authority.issue("aws", *LOOPBACK).write(folder)
        (folder / "ca.pem").write_bytes(authority.certificate)
        monkeypatch.setenv("AWS_CA_BUNDLE", str(folder / "ca.pem"))
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(certificate, key)
    with Emulator() as aws:
        proxy = FaultProxy(aws.endpoint_url, tls)
        try:
            yield proxy
        finally:
            proxy.close()


@contextmanager
def observed(proxy: FaultProxy) -> Iterator[Observer]:
    aws = AwsSettings(region=REGION, endpoint_url=proxy.url, quotas="off")
    settings = settings_for(proxy.url, aws={"deadline": aws, "omics": aws}, admin_port=0)
    with ExitStack() as stack:
        app, address = stack.enter_context(running_app(settings))
        assert app.admin is not None
        metrics = MeteredServer(str(address), f"http://127.0.0.1:{app.admin.port}/metrics")
        channel = stack.enter_context(grpc.insecure_channel(str(address), options=OWN))
        observer = stack.enter_context(Observer(channel, metrics))
        everything = (observer.calls, observer.health, observer.metric, observer.info)
        wait_until(lambda: all(each.is_good for each in everything))
        time.sleep(0.5)
        yield observer


@pytest.mark.parametrize("seconds", OUTAGES)
@pytest.mark.parametrize("fault", get_args(Fault))
def test_outage_is_reported_and_recovery_is_fast(
    fault: Fault, seconds: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    faults = []
    for _ in range(TRIES):
        found = faults_of(fault, seconds, tmp_path, monkeypatch)
        if not found:
            return
        faults.append(found)
    raise AssertionError(faults)


def faults_of(
    fault: Fault, seconds: float, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> list[str]:
    """Cause an outage and return what is wrong with what was observed."""
    with proxied(fault, folder, monkeypatch) as proxy, observed(proxy) as seen:
        reports = {"health": seen.health, "metric": seen.metric, "info": seen.info}
        began = time.monotonic()
        proxy.begin(fault)
        time.sleep(seconds)
        ended = time.monotonic()
        proxy.end()
        time.sleep(AFTER_SECONDS)
    failed, succeeded = seen.calls.first_bad(began), seen.calls.first_good(ended)
    lost = {name: each.first_bad(began) - failed for name, each in reports.items()}
    found = {name: each.first_good(ended) - succeeded for name, each in reports.items()}
    figures = f"first success {succeeded - ended:.2f} s after; lost {lost}; found {found}"
    late = [at for at, is_good in seen.calls.values if not is_good and at > ended + AGREE_SECONDS]
    changes = {name: each.changes(began) for name, each in reports.items()}
    checks = {
        "late success": succeeded - ended <= AGREE_SECONDS,
        "outage reported late": max(lost.values()) <= AGREE_SECONDS,
        "recovery reported late": max(found.values()) <= AGREE_SECONDS,
        f"changes {changes}": all(each == [False, True] for each in changes.values()),
        # Only calls that were under way may fail later.
        f"{len(late)} calls failed after it": len(late) <= len(PATIENCE),
    }
    wrong = [name for name, is_met in checks.items() if not is_met]
    return [*wrong, figures] if wrong else []
