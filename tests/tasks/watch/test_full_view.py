"""TASK_VIEW_FULL of a run: the list says which tasks to read, and each is read by itself."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import grpc
import pytest

from taskgate.v1 import task_pb2
from taskgate_server.errors import TaskgateError
from tests.support.aws_in_memory import RUN_NAME, failure
from tests.support.event_loop import in_virtual_time
from tests.support.follower import Picture
from tests.support.watch_hub import Request, WatchHub

FULL = Request(parent=RUN_NAME, view=task_pb2.TASK_VIEW_FULL)


@pytest.mark.parametrize("is_removed", [False, True])
@in_virtual_time
async def test_a_task_that_changes_back_between_list_and_read(*, is_removed: bool) -> None:
    """Its row is then equal to the one of before, and what was read is another state."""
    place = WatchHub()
    world = place.world
    task = world.add_task(RUN_NAME, "PENDING")
    gateway: Any = world.backends.by_service["omics"].gateway
    read = gateway._getruntask
    as_it_was: list[dict[str, Any]] = []
    has_changed = asyncio.Event()

    def changes_before_it_is_read(params: Mapping[str, Any]) -> Any:
        if world.tasks[task]["status"] == "RUNNING" and not as_it_was:
            as_it_was.append(world.tasks[task])
            has_changed.set()
            if is_removed:
                world.remove(task)
            else:
                world.move(task, "STOPPING")
        return read(params)

    gateway._getruntask = changes_before_it_is_read
    async with place.watchers(1, FULL) as [picture]:
        world.move(task, "RUNNING")
        await has_changed.wait()
        world.tasks[task] = as_it_was[0]
        await asyncio.sleep(60)
        assert picture.tasks[task].native_state == "RUNNING"


class Slow:
    """A run whose tasks take a second each to read, and one watch of it that has just begun."""

    def __init__(self, tasks: int) -> None:
        self.place = WatchHub()
        self.tasks = [self.place.world.add_task(RUN_NAME, "RUNNING") for _ in range(tasks)]
        self.seconds = 1.0
        self.error: Exception | None = None
        gateway: Any = self.place.world.backends.by_service["omics"].gateway
        call = gateway.call

        async def slow(operation: str, *arguments: Any) -> Any:
            if operation == "GetRunTask":
                await asyncio.sleep(self.seconds)
                if self.error is not None:
                    raise self.error
            return await call(operation, *arguments)

        gateway.call = slow
        self.picture = Picture()
        self.following = asyncio.ensure_future(self.place.follow(FULL, self.picture))

    async def end(self) -> None:
        self.following.cancel()
        with suppress(asyncio.CancelledError):
            await self.following
        await self.place.hub.close()


@in_virtual_time
async def test_rows_are_sent_as_they_arrive() -> None:
    slow = Slow(tasks=60)
    picture, world = slow.picture, slow.place.world
    await asyncio.sleep(3)
    assert 1 <= len(picture.tasks) <= 3
    assert picture.in_snapshot
    await asyncio.sleep(27)
    assert 25 <= len(picture.tasks) <= 30
    first, last = slow.tasks[0], slow.tasks[-1]
    world.move(first, "STOPPING")
    world.remove(last)
    slow.place.hub.refresh(first)
    await asyncio.sleep(60)
    assert picture.is_complete
    assert picture.events.count("snapshot_begin") == 1
    assert set(picture.tasks) == {*slow.tasks[:-1]}
    assert picture.tasks[first].native_state == "STOPPING"
    await slow.end()


@in_virtual_time
async def test_heartbeats_come_while_a_snapshot_is_loading() -> None:
    slow = Slow(tasks=3)
    await asyncio.sleep(1.5)
    slow.seconds = 100
    await asyncio.sleep(45)
    beginning = ["snapshot_begin", "snapshot_tasks", "snapshot_tasks"]
    assert slow.picture.events == [*beginning, *["heartbeat"] * 4]
    assert slow.picture.heartbeat is not None
    assert slow.picture.heartbeat.staleness.seconds >= 40
    await asyncio.sleep(200)
    assert slow.picture.is_complete
    await slow.end()


@pytest.mark.parametrize("after", [0, 3])
@in_virtual_time
async def test_an_error_ends_a_watch_whose_snapshot_is_loading(*, after: int) -> None:
    slow = Slow(tasks=60)
    slow.seconds = 0.1
    slow.error = None if after else failure(grpc.StatusCode.PERMISSION_DENIED)
    await asyncio.sleep(after)
    slow.error = failure(grpc.StatusCode.PERMISSION_DENIED)
    with pytest.raises(TaskgateError):
        await slow.following
    assert slow.picture.in_snapshot == bool(after)
    await slow.place.hub.close()
