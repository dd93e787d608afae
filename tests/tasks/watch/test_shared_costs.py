"""What many replicas cost, against one: calls to AWS, and the time until watchers get a change."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from statistics import median, quantiles

import pytest

from benchmarks.simulation.clock import seeded, virtually
from taskgate.v1 import task_watch_pb2
from taskgate_server.tasks.watch.hub import Hub
from taskgate_server.tasks.watch.service import Watches
from tests.support.aws_in_memory import JOB_NAME, RUN_NAME, World
from tests.support.calls import make_call
from tests.support.follower import Response
from tests.support.parents_in_memory import ParentStore, Replica

WATCHERS = 32
SECONDS = 120.0
WARM_UP_SECONDS = 10.0


@dataclass
class Cost:
    """What was measured."""

    calls: int
    median_delay: float
    p99_delay: float


async def measure(replicas: int) -> Cost:
    """Change a task every twelve seconds or so, with watchers of two parents on all replicas."""
    loop = asyncio.get_running_loop()
    world = World(seeded(1))
    steps = [world.add_step() for _ in range(3)]
    tasks = [world.add_task(step, "READY") for step in steps for _ in range(10)]
    world.add_task(RUN_NAME, "RUNNING")
    store = ParentStore(seeded(2))
    hubs = [
        Hub(
            world.backends,
            {"deadline": 8.0, "omics": 8.0},
            clock=loop.time,
            random=seeded(index),
            shared=Replica(store, f"replica {index}") if replicas > 1 else None,
        )
        for index in range(replicas)
    ]
    delays: list[float] = []
    """Since AWS sent the response. When AWS is called does not depend on the replicas."""

    async def follow(index: int) -> None:
        parent = JOB_NAME if index % 4 else RUN_NAME
        request = task_watch_pb2.WatchTasksRequest(parent=parent)
        stream = Watches(hubs[index % replicas], 60.0).watch_tasks(request, make_call())
        async for content in stream:
            change = Response.FromString(content).task_change
            if change.task.name:
                delays.append(loop.time() - change.task.observe_time.ToNanoseconds() / 1e9)

    followers = [asyncio.ensure_future(follow(index)) for index in range(WATCHERS)]
    await asyncio.sleep(WARM_UP_SECONDS)
    world.calls.clear()
    random = seeded(3)
    until = loop.time() + SECONDS
    while loop.time() < until:
        name = random.choice(tasks)
        world.move(name)
        await asyncio.sleep(random.uniform(10.0, 14.0))
    calls = world.calls.total()
    for hub in hubs:
        hub.stop()
    await asyncio.gather(*followers)
    for hub in hubs:
        await hub.close()
    assert len(delays) >= SECONDS / 20 * WATCHERS / 2
    return Cost(calls, median(delays), quantiles(delays, n=100)[98])


@pytest.mark.parametrize("replicas", [4, 16])
def test_many_replicas_cost_what_one_does(replicas: int) -> None:
    one, many = virtually(measure(1)), virtually(measure(replicas))
    assert many.calls <= 1.1 * one.calls
    assert many.median_delay <= one.median_delay + 0.1
    assert many.p99_delay <= one.p99_delay + 0.3
