"""The supervisor with workers that live and die as the test says."""

from __future__ import annotations

import asyncio
import signal
from collections import defaultdict
from typing import Any

import pytest

from taskgate_server import aws_connections
from taskgate_server.calls import DEFAULT_TARGET
from taskgate_server.config import AwsSettings, Settings, SettingsError, load_settings
from taskgate_server.shutdown import Shutdown
from taskgate_server.tls import find_faults
from taskgate_server.workers import MIN_LIFE_SECONDS, Supervisor

TERM, KILL = int(signal.SIGTERM), int(signal.SIGKILL)


class FakeWorker:
    """A process: `says` and `dies` are what becomes of it."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.signals: list[int] = []
        self.ends_on = {TERM: 0, KILL: -KILL}
        self._listening: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._status: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    def serve(self) -> None:
        self._listening.set_result(True)

    def die(self, status: int) -> None:
        if not self._listening.done():
            self._listening.set_result(False)
        if not self._status.done():
            self._status.set_result(status)

    async def listens(self) -> bool:
        return await self._listening

    async def wait(self) -> int:
        return await self._status

    def send_signal(self, number: int) -> None:
        self.signals.append(number)
        if number in self.ends_on:
            self.die(self.ends_on[number])


class FakeWorkers:
    """A supervisor and what it has started."""

    def __init__(self, count: int = 3, limit: float = 60.0) -> None:
        self.now = 0.0
        self.is_full = False
        self.stopping = Shutdown()
        self.started: dict[int, list[FakeWorker]] = defaultdict(list)
        self.supervisor = Supervisor(
            self.start, count, shutdown=self.stopping, limit_seconds=limit, clock=lambda: self.now
        )
        self.pauses: list[float] = []
        self.supervisor._pause = self.pause  # type: ignore[method-assign]  # the test does not wait
        self.running = asyncio.ensure_future(self.supervisor.run())

    async def start(self, index: int) -> FakeWorker:
        if self.is_full:
            raise OSError
        self.started[index].append(FakeWorker(pid=100 * index + len(self.started[index])))
        return self.started[index][-1]

    async def pause(self, seconds: float) -> None:
        self.pauses.append(seconds)

    async def room(self, seconds: float) -> None:
        """A pause after which there is room, the third time."""
        self.pauses.append(seconds)
        self.is_full = len(self.pauses) < 3

    async def settle(self) -> None:
        for _ in range(20):
            await asyncio.sleep(0)

    async def serving(self) -> None:
        """All are there and listen."""
        await self.settle()
        self.started[0][0].serve()
        await self.settle()
        for index in list(self.started)[1:]:
            self.started[index][0].serve()
        await self.settle()


async def test_the_first_worker_listens_before_the_others_start() -> None:
    place = FakeWorkers()
    await place.settle()
    assert list(place.started) == [0]
    place.started[0][0].serve()
    await place.settle()
    assert list(place.started) == [0, 1, 2]
    place.stopping.request()
    assert await place.running == 0
    assert {each[0].signals[0] for each in place.started.values()} == {TERM}


async def test_failed_start_of_the_first_worker_ends_the_supervisor() -> None:
    place = FakeWorkers()
    await place.settle()
    place.started[0][0].die(1)
    assert await place.running == 1
    assert list(place.started) == [0]
    assert not place.pauses


async def test_dead_worker_is_replaced_after_growing_pauses() -> None:
    place = FakeWorkers()
    await place.serving()
    for _ in range(7):
        place.started[1][-1].die(-KILL)
        await place.settle()
    assert place.pauses == [1, 2, 4, 8, 16, 30, 30]
    place.started[1][-1].serve()
    place.now += MIN_LIFE_SECONDS + 1
    place.started[1][-1].die(-KILL)
    await place.settle()
    assert place.pauses[-1] == 0
    assert len(place.started[1]) == 9
    assert len(place.started[0]) == len(place.started[2]) == 1
    place.stopping.request()
    assert await place.running == 0


async def test_start_of_a_worker_is_retried() -> None:
    place = FakeWorkers(count=2)
    await place.serving()
    place.is_full = True
    place.supervisor._pause = place.room  # type: ignore[method-assign]  # see above
    place.started[1][0].die(-KILL)
    await place.settle()
    assert place.pauses == [1, 2, 4]
    assert len(place.started[1]) == 2
    place.stopping.request()
    assert await place.running == 0


async def test_starting_worker_may_die_of_the_signal() -> None:
    place = FakeWorkers(count=2)
    await place.settle()
    place.started[0][0].serve()
    await place.settle()
    place.started[1][0].ends_on = {TERM: -TERM}
    place.stopping.request()
    assert await place.running == 0


async def test_first_worker_stopped_from_outside_is_a_failed_start() -> None:
    place = FakeWorkers()
    await place.settle()
    place.started[0][0].die(-TERM)
    assert await place.running == 1


async def test_second_signal_is_forwarded() -> None:
    place = FakeWorkers(count=2)
    await place.serving()
    for [worker] in place.started.values():
        worker.ends_on = {}
    place.stopping.request()
    await place.settle()
    assert not place.running.done()
    for [worker] in place.started.values():
        worker.ends_on = {TERM: 1}
    place.stopping.request()
    assert await place.running == 1
    assert [worker.signals for [worker] in place.started.values()] == [[TERM, TERM]] * 2


async def test_workers_that_do_not_stop_are_killed(caplog: pytest.LogCaptureFixture) -> None:
    place = FakeWorkers(count=2, limit=0.05)
    await place.serving()
    place.started[1][0].ends_on = {KILL: -KILL}
    place.stopping.request()
    assert await place.running == 1
    assert place.started[0][0].signals == [TERM]
    assert place.started[1][0].signals == [TERM, KILL]
    [record] = [each for each in caplog.records if each.message == "workers killed"]
    line: Any = record
    assert line.pids == [100]


async def test_a_signal_before_the_first_worker_listens_reaches_it() -> None:
    place = FakeWorkers()
    await place.settle()
    place.stopping.request()
    assert await place.running == 0
    assert place.started[0][0].signals == [TERM]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("WORKERS", "0"),
        ("WORKERS", "many"),
        ("DRAIN_GRACE_SECONDS", "-1"),
        ("MAX_CONNECTION_AGE_SECONDS", "0"),
        ("MAX_CONNECTION_AGE_GRACE_SECONDS", "0"),
    ],
)
def test_invalid_worker_settings_are_reported_in_one_line(
    name: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(f"TASKGATE_{name}", value)
    with pytest.raises(SettingsError) as caught:
        load_settings()
    [line] = caught.value.faults
    assert line.startswith(f"{name.lower()} (TASKGATE_{name}): ")


def test_each_worker_has_its_part_of_the_quotas() -> None:
    aws = {"omics": AwsSettings(request_rates={"StartRun": 2.0})}
    rates = []
    for workers in (1, 4):
        opened = aws_connections.open_connections(
            Settings(workers=workers, aws=aws), DEFAULT_TARGET, aws_connections.Telemetry()
        )
        limiter = opened.gateways["omics"].pipeline.limiter
        more = opened.logs["deadline"].pipeline.limiter.bucket("GetLogEvents").rate
        rates.append([limiter.bucket("GetRun").rate, limiter.bucket("StartRun").rate, more])
    assert [one / four for one, four in zip(*rates, strict=True)] == [4, 4, 4]


@pytest.mark.parametrize(
    "settings",
    [
        {"admin_port": 65535},
        {"admin_port": 50050},
        {"admin_port": 9000, "health_port": 9002},
    ],
)
def test_admin_ports_of_all_workers_must_be_valid(settings: dict[str, int]) -> None:
    [fault] = find_faults(Settings(workers=3, **settings))  # type: ignore[arg-type]  # as above
    assert fault.startswith("admin_port: 3 workers need ports")
    assert not find_faults(Settings(workers=1, **settings))  # type: ignore[arg-type]  # as above
