"""A step that vanishes while its job is read takes its tasks along, and nothing else."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from taskgate.v1 import task_watch_pb2
from tests.support.aws_in_memory import FARM, JOB, JOB_NAME, QUEUE
from tests.support.event_loop import in_virtual_time
from tests.support.watch_hub import Request, WatchHub

IDS = {"farmId": FARM, "queueId": QUEUE, "jobId": JOB}


@in_virtual_time
async def test_deleted_step_that_is_still_listed() -> None:
    place = WatchHub(tasks=3)
    other = place.world.add_step()
    lost = [place.world.add_task(other, "RUNNING") for _ in range(2)]
    gateway: Any = place.world.backends.by_service["deadline"].gateway
    whole: dict[str, Any] = gateway._liststeps(IDS)

    def lagging(_: Mapping[str, Any]) -> dict[str, Any]:
        """Two answers of AWS need not be of one moment."""
        return whole

    async with place.watchers(1, Request(parent=JOB_NAME)) as [picture]:
        assert set(picture.tasks) == {*place.tasks, *lost}
        gateway._liststeps = lagging
        place.world.remove_step(other)
        await asyncio.sleep(60)  # many polls
        assert set(picture.tasks) == set(place.tasks)
        assert picture.end is None, "the job is there"
        place.world.move(place.tasks[0], "RUNNING")
        await asyncio.sleep(60)
        assert picture.tasks[place.tasks[0]].native_state == "RUNNING"


@in_virtual_time
async def test_watch_of_a_deleted_job_ends() -> None:
    place = WatchHub(tasks=3)
    async with place.watchers(1, Request(parent=JOB_NAME)) as [picture]:
        place.world.remove_step(place.step)
        place.world.parents.discard(JOB_NAME)
        await asyncio.sleep(120)
        assert not picture.tasks
        assert picture.end is not None
        assert picture.end.reason == task_watch_pb2.WATCH_END_REASON_GONE
