"""TASK_VIEW_FULL of a run: the list says which tasks to read, and each is read by itself."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest

from taskgate.v1 import task_pb2
from tests.watch.test_costs import Place, Request, in_virtual_time
from tests.watch.world import RUN_NAME


@pytest.mark.parametrize("is_removed", [False, True])
@in_virtual_time
async def test_a_task_that_changes_back_between_list_and_read(*, is_removed: bool) -> None:
    """Its row is then equal to the one of before, and what was read is another state."""
    place = Place()
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
    request = Request(parent=RUN_NAME, view=task_pb2.TASK_VIEW_FULL)
    async with place.watchers(1, request) as [picture]:
        world.move(task, "RUNNING")
        await has_changed.wait()
        world.tasks[task] = as_it_was[0]
        await asyncio.sleep(60)
        assert picture.tasks[task].native_state == "RUNNING"
