"""A watch that ends with its run has the last states of all tasks, however the run ends."""

from __future__ import annotations

import asyncio

import pytest

from benchmarks.simulation.clock import seeded, virtually
from taskgate.v1 import task_pb2, task_watch_pb2
from taskgate_server.tasks.watch.hub import Hub
from taskgate_server.tasks.watch.parent_end import TASK_LAG_SECONDS
from taskgate_server.tasks.watch.service import Watches
from tests.support.aws_in_memory import RUN_NAME, World
from tests.support.follower import Picture, Response
from tests.support.seeds import varied
from tests.support.watch_hub import call

MOVING = {"PENDING", "STARTING", "RUNNING", "STOPPING"}


class Story:
    """A run that fails while its tasks move, and watchers that want to know how it ends."""

    def __init__(self, seed: int) -> None:
        self.random = seeded(seed)
        self.world = World(seeded(seed + 1))
        self.world.run_status = "RUNNING"
        self.tasks = [self.world.add_task(RUN_NAME) for _ in range(24)]
        clock = asyncio.get_running_loop().time
        rates = {"deadline": 8.0, "omics": 8.0}
        self.hub = Hub(self.world.backends, rates, clock=clock, random=seeded(seed + 2))
        self.watches = Watches(self.hub, 600.0)

    async def run(self) -> None:
        await asyncio.sleep(2)  # a watch that cannot begin ends with AWS's error
        for _ in range(60):
            await asyncio.sleep(self.random.expovariate(4))
            self.world.fault_share = self.random.choice([0.0, 0.0, 0.1, 0.5])
            self.world.move(self.random.choice(self.tasks))
        self.world.fault_share = 0.0
        self.tasks.append(self.world.add_task(RUN_NAME))
        self.world.run_status = "FAILED"
        # AWS reports some of the tasks a moment after their run, and some of them never.
        left = [name for name in self.tasks if self.world.tasks[name]["status"] in MOVING]
        ended_at = asyncio.get_running_loop().time()
        for name in self.random.sample(left, len(left) // 2):
            await asyncio.sleep(self.random.uniform(0, TASK_LAG_SECONDS / 6))
            if asyncio.get_running_loop().time() < ended_at + TASK_LAG_SECONDS - 0.5:
                self.world.move(name, "CANCELLED")

    async def watch(self) -> task_watch_pb2.WatchEnd:
        request = task_watch_pb2.WatchTasksRequest(parent=RUN_NAME, until_settled=True)
        picture = Picture()
        picture.connect()
        async for response in self.watches.watch_tasks(request, call()):
            picture.take(Response.FromString(response))
        assert picture.tasks == self.world.fresh(RUN_NAME)
        assert picture.end is not None
        return picture.end

    async def wait(self, name: str) -> task_watch_pb2.WaitTaskResponse:
        request = task_watch_pb2.WaitTaskRequest(name=name)
        return await self.watches.wait_task(request, call(300))


@pytest.mark.parametrize("seed", range(12))
def test_every_watcher_ends_with_the_last_states_and_the_reason(seed: int) -> None:
    async def main() -> None:
        story = Story(varied(seed * 1000))
        watching = [asyncio.ensure_future(story.watch()) for _ in range(5)]
        waiting = {name: asyncio.ensure_future(story.wait(name)) for name in story.tasks}
        await story.run()
        for end in await asyncio.gather(*watching):
            assert end.reason == task_watch_pb2.WATCH_END_REASON_SETTLED
            assert end.parent_status.state == task_pb2.TASK_STATE_FAILED
            assert end.counts.settled
        for name, wait in waiting.items():
            response = await wait
            stuck = story.world.tasks[name]["status"] in MOVING
            assert response.done
            assert response.HasField("parent_status") is stuck
            assert response.task.native_state == story.world.tasks[name]["status"]
        await story.hub.close()

    virtually(main())
