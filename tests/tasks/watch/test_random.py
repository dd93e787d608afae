"""Whatever happens, every watcher ends with exactly the state that a fresh list gives.

Slow readers, reconnects with and without tokens, failures upstream, pages that shift, and tasks
that move, come, go and are queued again; on a virtual clock, so that minutes take a second.
"""

from __future__ import annotations

import asyncio
import os
from random import Random

import pytest

from benchmarks.simulation.clock import seeded, virtually
from taskgate.v1 import task_pb2, task_watch_pb2
from taskgate_server.errors import TaskgateError
from taskgate_server.tasks.watch.hub import Hub
from taskgate_server.tasks.watch.service import Watches
from tests.support.aws_in_memory import JOB_NAME, RUN_NAME, World
from tests.support.calls import make_call
from tests.support.follower import Picture, Response
from tests.support.seeds import VOLUME, examples, varied

SEEDS = int(os.environ.get("WATCH_SEEDS") or examples(24)) * VOLUME
CHAOS_SECONDS = 90.0
QUIET_SECONDS = 300.0
WATCHERS = 14


class Chaos:
    """One run of the world with its watchers."""

    def __init__(self, seed: int) -> None:
        self.random = seeded(seed)
        self.world = World(seeded(seed + 1))
        for _ in range(3):
            step = self.world.add_step()
            for _ in range(self.random.randrange(12)):
                self.world.add_task(step, self.random.choice(["READY", "SUCCEEDED", "RUNNING"]))
        for _ in range(12):
            self.world.add_task(RUN_NAME)
        self.hub = Hub(
            self.world.backends,
            {"deadline": 8.0, "omics": 8.0},
            clock=asyncio.get_running_loop().time,
            random=seeded(seed + 2),
            linger=5.0,
        )
        self.watches = Watches(self.hub, 60.0)
        self.is_on = True

    async def run(self) -> None:
        loop = asyncio.get_running_loop()
        followers = [asyncio.ensure_future(self.follow(seeded(n))) for n in range(WATCHERS)]
        until = loop.time() + CHAOS_SECONDS
        while loop.time() < until:
            await asyncio.sleep(self.random.expovariate(4))
            self.world.fault_share = self.random.choice([0.0, 0.0, 0.1, 0.9])
            name = self.world.in_random_motion(self.random)
            if name is not None and self.random.random() < 0.2:
                self.random.choice([self.hub.refresh, self.hub.hint])(name)
        self.world.fault_share, self.is_on = 0.0, False
        await asyncio.sleep(QUIET_SECONDS)
        self.hub.stop()
        await asyncio.gather(*followers)
        await self.hub.close()
        assert len(self.hub) == 0
        assert len(asyncio.all_tasks()) == 1

    def request(self, random: Random) -> task_watch_pb2.WatchTasksRequest:
        view = random.choice([task_pb2.TASK_VIEW_BASIC, task_pb2.TASK_VIEW_UNSPECIFIED])
        kind = random.randrange(4)
        if kind == 3:
            names = list(self.world.tasks)
            names = random.sample(names, random.randrange(1, len(names)))
            return task_watch_pb2.WatchTasksRequest(names=names, view=view)
        parent = [JOB_NAME, RUN_NAME, next(iter(self.world.steps))][kind]
        return task_watch_pb2.WatchTasksRequest(parent=parent, view=view)

    async def follow(self, random: Random) -> None:
        """Watches one thing, again and again, and compares in the end."""
        await asyncio.sleep(random.uniform(0, 20))
        request, picture = self.request(random), Picture()
        slowness = random.choice([0.0, 0.0, 0.1, 2.0])
        patience = random.choice([3.0, 30.0, 1000.0])
        while not self.hub.stopping and request.parent in {
            "",
            *self.world.parents,
            *self.world.steps,
        }:
            request.resume_token = picture.token if random.random() < 0.8 else b""
            if not request.resume_token:
                picture = Picture()
            picture.connect()
            try:
                async with asyncio.timeout(random.uniform(0.1, patience) if self.is_on else None):
                    await self.read(request, picture, random, slowness)
            except (TimeoutError, TaskgateError):
                await asyncio.sleep(random.choice([0.0, 0.5, 8.0]))
            if (
                picture.end is not None
                and picture.end.reason == task_watch_pb2.WATCH_END_REASON_GONE
            ):
                break
        self.compare(request, picture)

    async def read(
        self,
        request: task_watch_pb2.WatchTasksRequest,
        picture: Picture,
        random: Random,
        slowness: float,
    ) -> None:
        call = make_call()
        stream = self.watches.watch_tasks(request, call)
        try:
            async for response in stream:
                received = Response.FromString(response)
                self.object_to_lies(received.task_change, picture)
                picture.take(received)
                if slowness and self.is_on:
                    await asyncio.sleep(random.uniform(0, slowness))
        finally:
            await stream.aclose()  # type: ignore[attr-defined]  # it is a generator

    def object_to_lies(self, change: task_watch_pb2.TaskChange, picture: Picture) -> None:
        """A task that is there is not reported as removed, and none goes back in time."""
        name = change.task.name
        if change.kind == task_watch_pb2.TASK_CHANGE_KIND_REMOVED:
            assert name not in self.world.tasks  # none comes again under its name
        elif name in picture.tasks:
            assert version(change.task) >= version(picture.tasks[name])

    def compare(self, request: task_watch_pb2.WatchTasksRequest, picture: Picture) -> None:
        is_gone = (
            picture.end is not None and picture.end.reason == task_watch_pb2.WATCH_END_REASON_GONE
        )
        if request.parent:
            there = request.parent in {*self.world.parents, *self.world.steps}
            assert there or not picture.tasks or picture.end is None or not is_gone
            expected = self.world.fresh(f"{request.parent}/") if there else {}
        else:
            everything = self.world.fresh("")
            expected = {name: everything[name] for name in request.names if name in everything}
        if is_gone:
            assert not picture.tasks
        elif picture.end is not None:
            assert picture.tasks == expected
            assert picture.end.counts.total == len(expected)


def version(task: task_pb2.Task) -> int:
    """Grows with each change of a Deadline task."""
    return int(task.deadline.updated_by[1:] or 0)


@pytest.mark.parametrize("seed", range(SEEDS))
def test_every_watcher_ends_with_the_state_of_a_fresh_list(seed: int) -> None:
    async def main() -> None:
        await Chaos(varied(seed * 1000)).run()

    virtually(main())
