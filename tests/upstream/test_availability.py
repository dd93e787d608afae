"""Whether an AWS service responds: at most one change for the worse and one for the better."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from types import SimpleNamespace
from typing import Any, cast

import pytest

from taskgate_server import errors
from taskgate_server.services.omics.spec import SPEC as OMICS
from taskgate_server.upstream.availability import (
    HOLD_SECONDS,
    MAX_HOLD_SECONDS,
    RELAPSE_SECONDS,
    SUSPICIOUS_FAILURES,
    SUSPICIOUS_SECONDS,
    TICK_SECONDS,
    Availability,
)
from taskgate_server.upstream.circuit_breaker import CircuitBreaker

ORIGIN = errors.Origin(service="omics", title=OMICS.title, domain="omics", operation="GetRun")
RESET = errors.UnreachableError(ORIGIN, "reset")


class Service:
    """An AWS service that works or not, in a time of its own."""

    def __init__(self, *, probes: tuple[str, ...] = ("ListRuns",)) -> None:
        self.now = 1000.0
        self.fails = False
        self.probes = 0
        self.hold: asyncio.Event | None = None
        """What probes wait for before they end."""
        client = SimpleNamespace(endpoint="aws.test")
        spec = SimpleNamespace(title="AWS", credential_probes=probes)
        self.connection = SimpleNamespace(
            client=client, is_unreachable=False, unreachable_at=0.0, spec=spec
        )
        self.breaker = CircuitBreaker(OMICS, clock=lambda: self.now)
        self.availability = Availability(
            cast("Any", self.connection), self.breaker, self.probe, lambda: self.now
        )
        self.changes: list[bool] = []

    async def probe(self, operation: str, sent: Callable[[], None]) -> None:
        assert operation == "ListRuns"
        self.probes += 1
        sent()
        fails = self.fails
        if self.hold is not None:
            await self.hold.wait()
        if fails:
            raise RESET

    def call(self, subject: int = 0, *, fails: bool | None = None) -> None:
        try:
            with self.breaker.track("GetRun", {"id": subject}) as sent:
                sent()
                if self.fails if fails is None else fails:
                    raise RESET
        except errors.TaskgateError:
            pass

    async def run(self, seconds: float, each: Callable[[], None] = lambda: None) -> None:
        """Let time pass, and note the changes."""
        for _ in range(round(seconds / TICK_SECONDS)):
            each()
            before = self.availability.not_ready_reason is None
            self.availability.tick()
            for _ in range(5):
                await asyncio.sleep(0)
            self.now += TICK_SECONDS
            if (after := self.availability.not_ready_reason is None) is not before:
                self.changes.append(after)


async def test_a_service_that_works_is_not_probed() -> None:
    service = Service()
    await service.run(60, service.call)
    await service.run(60)
    assert (service.probes, service.changes) == (0, [])


@pytest.mark.parametrize("outage_seconds", [1.0, 3.0, 60.0])
@pytest.mark.parametrize("calls", [0, 1, 3])
async def test_an_outage_changes_availability_twice(outage_seconds: float, calls: int) -> None:
    """Also if callers leave as soon as it is not ready: probes find the end."""
    service = Service()

    def call() -> None:
        for subject in range(calls or (0 if service.changes else 3)):
            service.call(subject)

    await service.run(5, call)
    service.fails = True
    await service.run(1.0, call)
    assert service.changes == [False]
    await service.run(outage_seconds - 1.0, call)
    service.fails = False
    await service.run(1.8, call)
    assert service.changes == [False, True]
    await service.run(30, call)
    assert service.changes == [False, True]


async def test_one_failing_resource_does_not_make_the_service_unavailable() -> None:
    service = Service()
    await service.run(30, lambda: service.call(1, fails=True))
    assert service.changes == []
    assert 1 < service.probes <= 61


async def test_a_still_failing_resource_does_not_delay_recovery() -> None:
    service = Service()
    service.fails = True
    await service.run(3, service.call)
    service.fails = False
    await service.run(2, lambda: service.call(1, fails=True))
    assert service.changes == [False, True]


async def test_hanging_calls_cause_a_probe() -> None:
    service = Service()
    service.fails = True
    with service.breaker.track("GetRun", {}) as sent:
        sent()
        await service.run(SUSPICIOUS_SECONDS)
        assert service.probes == 0
        await service.run(0.5)
    assert service.changes == [False]


async def test_a_late_probe_failure_does_not_start_another_outage() -> None:
    service = Service()
    service.fails = True
    for subject in range(3):
        service.call(subject)
    await service.run(1.0, service.call)
    service.hold = asyncio.Event()
    await service.run(1.0)
    service.fails = False
    service.call()
    await service.run(0.4, service.call)
    assert service.changes == [False, True]
    service.hold.set()
    service.hold = None
    await service.run(1.0)
    assert service.changes == [False, True]


async def test_abandoned_calls_cause_a_probe() -> None:
    service = Service()
    service.fails = True

    def give_up() -> None:
        with suppress(asyncio.CancelledError), service.breaker.track("GetRun", {}) as sent:
            sent()
            raise asyncio.CancelledError

    await service.run(TICK_SECONDS * (SUSPICIOUS_FAILURES + 1), give_up)
    assert service.changes == [False]


async def test_an_unstable_service_does_not_flap() -> None:
    service = Service()

    def call() -> None:
        service.fails = service.now % 2 < 1
        for subject in range(3):
            service.call(subject)

    await service.run(120, call)
    assert len(service.changes) < 20, "120 without hysteresis"
    service.fails = False
    await service.run(MAX_HOLD_SECONDS + RELAPSE_SECONDS, lambda: service.call(1, fails=False))
    assert service.changes[-1]
    assert service.availability.not_ready_reason is None


async def test_an_unreachable_endpoint_is_unavailable_until_a_probe_succeeds() -> None:
    service = Service()
    service.connection.is_unreachable, service.connection.unreachable_at = True, service.now
    service.fails = True
    await service.run(1)
    assert "no connections" in str(service.availability.not_ready_reason)
    service.fails = False
    await service.run(0.5 + HOLD_SECONDS + 2 * TICK_SECONDS)
    assert service.availability.not_ready_reason is None


async def test_a_late_response_does_not_count_as_recovery() -> None:
    service = Service()
    with service.breaker.track("GetRun", {"id": 1}) as sent:
        sent()
        service.fails = True
        await service.run(3, lambda: service.call(2))
    await service.run(1)
    assert service.changes == [False]
    await service.availability.close()
