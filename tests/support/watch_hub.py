"""A watch hub on AWS in memory, for tests on a virtual clock."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from benchmarks.simulation.clock import seeded
from taskgate.v1 import task_watch_pb2
from taskgate_server.background_tasks import Supervision
from taskgate_server.calls import CallContext
from taskgate_server.tasks.watch.hub import Hub
from taskgate_server.tasks.watch.service import Watches
from tests.support.aws_in_memory import World
from tests.support.calls import make_call
from tests.support.follower import Picture, Response

Request = task_watch_pb2.WatchTasksRequest


RATE = 6.0


class WatchHub:
    """A watch hub on AWS in memory, with watchers of it."""

    def __init__(self, tasks: int = 0, page: int = 100) -> None:
        self.world = World(seeded(1), page=page)
        self.step = self.world.add_step()
        self.tasks = [self.world.add_task(self.step, "READY") for _ in range(tasks)]
        loop = asyncio.get_running_loop()
        self.supervision = Supervision(clock=loop.time)
        self.hub = Hub(
            self.world.backends,
            {"deadline": RATE, "omics": RATE},
            clock=loop.time,
            random=seeded(2),
            supervision=self.supervision,
        )
        self.watches = Watches(self.hub, 60.0)

    async def follow(self, request: Request, picture: Picture) -> None:
        picture.connect()
        async for response in self.watches.watch_tasks(request, call()):
            picture.take(Response.FromString(response))

    @asynccontextmanager
    async def watchers(self, count: int, request: Request) -> AsyncIterator[list[Picture]]:
        pictures = [Picture() for _ in range(count)]
        running = [asyncio.ensure_future(self.follow(request, picture)) for picture in pictures]
        while not all(picture.is_complete for picture in pictures):
            await asyncio.sleep(0.01)
            for each in running:
                if each.done():
                    each.result()
        yield pictures
        for each in running:
            each.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        await self.hub.close()

    async def wait(
        self, name: str, seconds: float, max_wait: int | None = None
    ) -> task_watch_pb2.WaitTaskResponse:
        request = task_watch_pb2.WaitTaskRequest(name=name)
        if max_wait is not None:
            request.max_wait.FromSeconds(max_wait)
        return await self.watches.wait_task(request, call(seconds))


def call(seconds: float | None = None) -> CallContext:
    return make_call(seconds=seconds)
