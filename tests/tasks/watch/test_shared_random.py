"""Whatever happens to replicas and their store, every watcher ends with the state of a fresh list.

Watchers change replicas with their resume tokens; replicas are killed, stop and resume, and are cut
off from the store; the store fails and comes back, with its contents or empty.
"""

from __future__ import annotations

import asyncio
import os
from contextlib import aclosing
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
from tests.support.parents_in_memory import ParentStore, Replica
from tests.support.seeds import VOLUME, examples, varied

SEEDS = int(os.environ.get("WATCH_SEEDS") or examples(12)) * VOLUME
CHAOS_SECONDS = 90.0
QUIET_SECONDS = 660.0
"""Longer than the longest interval between full sweeps."""
WATCHERS = 12
REPLICAS = 3


class SharedChaos:
    """One run of the world with several replicas and their watchers."""

    def __init__(self, seed: int) -> None:
        self.random = seeded(seed)
        self.world = World(seeded(seed + 1))
        for _ in range(3):
            step = self.world.add_step()
            for _ in range(self.random.randrange(12)):
                self.world.add_task(step, self.random.choice(["READY", "SUCCEEDED", "RUNNING"]))
        for _ in range(12):
            self.world.add_task(RUN_NAME)
        self.store = ParentStore(seeded(seed + 3))
        self.store.max_changes = self.random.choice([20, 1000])
        self.started = 0
        self.hubs = [self.start() for _ in range(REPLICAS)]
        self.is_on = True
        self.stopping = False

    def start(self) -> Hub:
        self.started += 1
        name = f"replica {self.started}"
        return Hub(
            self.world.backends,
            {"deadline": 8.0, "omics": 8.0},
            clock=asyncio.get_running_loop().time,
            random=seeded(self.started),
            linger=5.0,
            shared=Replica(self.store, name),
        )

    async def run(self) -> None:
        loop = asyncio.get_running_loop()
        followers = [asyncio.ensure_future(self.follow(seeded(n))) for n in range(WATCHERS)]
        until = loop.time() + CHAOS_SECONDS
        while loop.time() < until:
            await asyncio.sleep(self.random.expovariate(4))
            self.world.fault_share = self.random.choice([0.0, 0.0, 0.1, 0.9])
            name = self.world.in_random_motion(self.random)
            if name is not None and self.random.random() < 0.2:
                hub = self.random.choice(self.hubs)
                self.random.choice([hub.refresh, hub.hint])(name)
            if self.random.random() < 0.04:
                await self.disturb()
        self.world.fault_share, self.is_on = 0.0, False
        self.store.is_up, self.store.cut_off, self.store.paused = True, set(), set()
        await asyncio.sleep(QUIET_SECONDS)
        self.stopping = True
        for hub in self.hubs:
            hub.stop()
        await asyncio.gather(*followers)
        for hub in self.hubs:
            await hub.close()
            assert len(hub) == 0
            assert not any(hub._supervision.failures.values())

    async def disturb(self) -> None:
        """Disturb the store or a replica."""
        kind = self.random.randrange(5)
        if kind == 0:
            self.store.is_up = not self.store.is_up
            if self.random.random() < 0.5:
                self.store.restart_empty()
        elif kind == 1:
            name = f"replica {self.random.randrange(self.started) + 1}"
            self.store.cut_off ^= {name}
        elif kind == 2:
            self.store.restart_empty()
        elif kind == 3:
            self.store.paused ^= {f"replica {self.random.randrange(self.started) + 1}"}
        else:
            index = self.random.randrange(REPLICAS)
            old, self.hubs[index] = self.hubs[index], self.start()
            old.stop()
            self.store.paused = set()
            await old.close()

    def request(self, random: Random) -> task_watch_pb2.WatchTasksRequest:
        parent = random.choice([JOB_NAME, RUN_NAME])
        return task_watch_pb2.WatchTasksRequest(parent=parent)

    async def follow(self, random: Random) -> None:
        """Watch one parent, again and again on any replica, and compare in the end."""
        await asyncio.sleep(random.uniform(0, 20))
        request, picture = self.request(random), Picture()
        slowness = random.choice([0.0, 0.0, 0.1, 2.0])
        patience = random.choice([3.0, 30.0, 1000.0])
        while not self.stopping:
            request.resume_token = picture.token if random.random() < 0.8 else b""
            if not request.resume_token:
                picture = Picture()
            picture.connect()
            hub = random.choice(self.hubs)
            try:
                async with asyncio.timeout(random.uniform(0.1, patience) if self.is_on else None):
                    await self.read(hub, request, picture, random, slowness)
            except (TimeoutError, TaskgateError):
                await asyncio.sleep(random.choice([0.0, 0.5, 8.0]))
        assert picture.tasks == self.world.fresh(f"{request.parent}/")

    async def read(
        self,
        hub: Hub,
        request: task_watch_pb2.WatchTasksRequest,
        picture: Picture,
        random: Random,
        slowness: float,
    ) -> None:
        stream = Watches(hub, 60.0).watch_tasks(request, make_call())
        changes: dict[str, task_pb2.Task] = {}
        async with aclosing(stream):  # type: ignore[type-var]  # it is a generator
            async for response in stream:
                received = Response.FromString(response)
                if received.HasField("task_change"):
                    self.check(received.task_change, picture, changes)
                picture.take(received)
                if slowness and self.is_on:
                    await asyncio.sleep(random.uniform(0, slowness))

    def check(
        self, change: task_watch_pb2.TaskChange, picture: Picture, changes: dict[str, task_pb2.Task]
    ) -> None:
        """A task that exists is not removed, none goes back in time, and no change is repeated.

        Args:
            change: to check.
            picture: what the watcher has seen.
            changes: the latest change of each task in the same stream. A stream that resumes may
                repeat changes that were sent after the latest token.
        """
        task = task_pb2.Task()
        task.CopyFrom(change.task)
        task.ClearField("observe_time")
        if change.kind == task_watch_pb2.TASK_CHANGE_KIND_REMOVED:
            assert task.name not in self.world.tasks  # none comes again under its name
            return
        if task.name in picture.tasks:
            assert version(task) >= version(picture.tasks[task.name])
        assert changes.get(task.name) != task, "a change is delivered once"
        changes[task.name] = task


def version(task: task_pb2.Task) -> int:
    """Return a number that grows with each change of a Deadline task."""
    return int(task.deadline.updated_by[1:] or 0)


@pytest.mark.parametrize("seed", range(SEEDS))
def test_watchers_of_replicas_end_with_the_state_of_a_fresh_list(seed: int) -> None:
    async def main() -> None:
        await SharedChaos(varied(seed * 1000)).run()

    virtually(main())
