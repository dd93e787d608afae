"""The AWS calls of pollers, for any number of watchers and during outages."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest
from google.protobuf.duration_pb2 import Duration
from grpc import StatusCode

from taskgate.v1 import task_pb2
from taskgate_server.errors import TaskgateError
from taskgate_server.tasks.watch.parent_end import CHECK_SECONDS
from taskgate_server.tasks.watch.poller import Poller
from tests.support.aws_in_memory import JOB_NAME, RUN_NAME
from tests.support.event_loop import in_virtual_time
from tests.support.follower import Picture
from tests.support.watch_hub import Request, WatchHub


async def calls_of(watchers: int) -> Counter[str]:
    place = WatchHub(1_000)
    async with place.watchers(watchers, Request(parent=JOB_NAME)) as pictures:
        for name in place.tasks[:20]:
            await asyncio.sleep(3)
            place.world.move(name, "RUNNING")
        await asyncio.sleep(30)
        for picture in pictures:
            assert picture.tasks == place.world.fresh(JOB_NAME)
    return place.world.calls


@in_virtual_time
async def test_many_watchers_take_as_many_calls_as_one() -> None:
    one, many = await calls_of(1), await calls_of(60)
    assert many.total() <= one.total() * 1.1
    assert many["ListTasks"] == one["ListTasks"] == 10, "only the beginning lists the tasks"


@in_virtual_time
async def test_waiters_on_as_many_tasks_stay_within_the_budget() -> None:
    place = WatchHub(2_000)
    waiting = [asyncio.ensure_future(place.wait(name, 60)) for name in place.tasks]
    await asyncio.sleep(10)
    place.world.calls.clear()
    for name in place.tasks[:100]:
        place.world.move(name, "SUCCEEDED")
    await asyncio.sleep(30)
    # The gateway makes one call of a hundred.
    assert place.world.calls["GetTask"] / 100 / 30 < 10
    assert set(place.world.calls) == {"GetTask", "GetJob"}
    assert place.world.calls["GetJob"] <= 30 / CHECK_SECONDS + 1, "one job, whose end would end all"
    assert all(each.done() for each in waiting[:100])
    answers = await asyncio.gather(*waiting)
    assert sum(answer.done for answer in answers) == 100
    await place.hub.close()


async def calls_of_waiters(max_wait: int | None) -> Counter[str]:
    place = WatchHub(300)

    async def wait(name: str, delay: float) -> None:
        await asyncio.sleep(delay)
        while not (await place.wait(name, 600, max_wait)).done:
            pass

    delays = (number / 30 for number in range(300))
    waiting = [asyncio.ensure_future(wait(*each)) for each in zip(place.tasks, delays, strict=True)]
    await asyncio.sleep(30)
    place.world.calls.clear()
    await asyncio.sleep(120)
    calls = Counter(place.world.calls)
    for each in waiting:
        each.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
    await place.hub.close()
    return calls


@in_virtual_time
async def test_renewed_waits_take_no_more_calls_than_long_ones() -> None:
    long, renewed = await calls_of_waiters(None), await calls_of_waiters(20)
    assert renewed.total() <= long.total() * 1.05


@in_virtual_time
async def test_parents_are_checked_at_intervals() -> None:
    place = WatchHub()
    for _ in range(3):
        place.world.add_task(RUN_NAME, "RUNNING")
    async with place.watchers(5, Request(parent=RUN_NAME, until_settled=True)):
        await asyncio.sleep(60)
        assert 4 <= place.world.calls["GetRun"] <= 60 / CHECK_SECONDS + 1
    place = WatchHub()
    place.world.add_task(RUN_NAME, "RUNNING")
    async with place.watchers(5, Request(parent=RUN_NAME)):
        await asyncio.sleep(60)
        assert not place.world.calls["GetRun"], "no watcher wants to know"


@in_virtual_time
async def test_pollers_pause_without_watchers_and_end() -> None:
    place = WatchHub(5)
    running = asyncio.ensure_future(place.follow(Request(parent=JOB_NAME), Picture()))
    await asyncio.sleep(5)
    running.cancel()
    await asyncio.sleep(1)
    before = place.world.calls.total()
    assert len(place.hub) == 1
    await asyncio.sleep(50)
    assert place.world.calls.total() == before
    await asyncio.sleep(20)
    assert len(place.hub) == 0
    assert len(asyncio.all_tasks()) == 1


@in_virtual_time
async def test_interval_grows_without_changes() -> None:
    place = WatchHub(2_000)
    for name in place.tasks:
        place.world.tasks[name]["runStatus"] = "SUCCEEDED"
    async with place.watchers(1, Request(parent=JOB_NAME)):
        await asyncio.sleep(100)
        place.world.calls.clear()
        await asyncio.sleep(300)
        assert 8 <= place.world.calls["ListSteps"] <= 14
        assert place.world.calls.total() == place.world.calls["ListSteps"]


@in_virtual_time
async def test_tasks_that_exchange_states_are_found() -> None:
    place = WatchHub(300)
    place.world.move(place.tasks[7], "SUCCEEDED")
    async with place.watchers(1, Request(parent=JOB_NAME)) as pictures:
        step = dict(place.world.steps[place.step])
        place.world.move(place.tasks[7], "READY")
        place.world.move(place.tasks[250], "SUCCEEDED")
        place.world.steps[place.step] = step  # AWS may omit the earlier counts
        await asyncio.sleep(700)
        assert pictures[0].tasks == place.world.fresh(JOB_NAME)


@in_virtual_time
async def test_full_view_reads_each_task_that_changes() -> None:
    place = WatchHub()
    names = [place.world.add_task(RUN_NAME, "RUNNING") for _ in range(150)]
    request = Request(parent=RUN_NAME, view=task_pb2.TASK_VIEW_FULL)
    async with place.watchers(5, request) as pictures:
        assert place.world.calls["GetRunTask"] == 150
        place.world.move(names[3], "STOPPING")
        await asyncio.sleep(30)
        assert place.world.calls["GetRunTask"] == 151
        assert pictures[0].tasks[names[3]].status_message == "is STOPPING"
        basic = Picture()
        running = asyncio.ensure_future(place.follow(Request(parent=RUN_NAME), basic))
        await asyncio.sleep(5)
        assert not basic.tasks[names[3]].HasField("status_message")
        running.cancel()


@in_virtual_time
async def test_named_task_is_the_same_however_it_is_read() -> None:
    place = WatchHub()
    names = [place.world.add_task(RUN_NAME, "RUNNING") for _ in range(9)]
    async with (
        place.watchers(1, Request(names=names)) as many,
        place.watchers(1, Request(names=names[:1])) as one,
    ):
        assert one[0].tasks[names[0]] == many[0].tasks[names[0]]
        await asyncio.sleep(20)
        assert "task_change" not in [*one[0].events, *many[0].events]


@in_virtual_time
async def test_interval_grows_during_an_outage() -> None:
    place = WatchHub(10)
    request = Request(parent=JOB_NAME, heartbeat_interval=Duration(seconds=1))
    async with place.watchers(1, request) as pictures:
        place.world.fault_share = 1.0
        await asyncio.sleep(60)
        place.world.calls.clear()
        await asyncio.sleep(120)
        assert place.world.calls.total() <= 16
        beat = pictures[0].heartbeat
        assert beat is not None
        assert beat.HasField("upstream_error")
        assert beat.staleness.seconds >= 120
        place.world.fault_share = 0.0
        await asyncio.sleep(40)
        beat = pictures[0].heartbeat
        assert beat is not None
        assert not beat.HasField("upstream_error")


@in_virtual_time
async def test_wait_survives_a_short_outage_and_reports_a_long_one() -> None:
    place = WatchHub(1)
    place.world.fault_share = 1.0
    waiting = asyncio.ensure_future(place.wait(place.tasks[0], 40))
    await asyncio.sleep(5)
    place.world.fault_share = 0.0
    place.world.move(place.tasks[0], "SUCCEEDED")
    assert (await waiting).done
    place.world.fault_share = 1.0
    other = place.world.add_task(place.step)
    with pytest.raises(TaskgateError) as raised:
        await place.wait(other, 20)
    assert raised.value.code in {
        StatusCode.UNAVAILABLE,
        StatusCode.RESOURCE_EXHAUSTED,
        StatusCode.INTERNAL,
    }
    await place.hub.close()


@in_virtual_time
async def test_event_wakes_only_the_poller_that_it_concerns() -> None:
    place = WatchHub(2_000)
    place.world.add_task(RUN_NAME, "COMPLETED")
    async with (
        place.watchers(1, Request(parent=RUN_NAME)),
        place.watchers(1, Request(parent=JOB_NAME)) as pictures,
    ):
        await asyncio.sleep(60)
        place.world.calls.clear()
        place.world.move(place.tasks[1_999], "RUNNING")
        place.hub.hint(place.tasks[1_999])
        await asyncio.sleep(0.3)
        assert place.world.calls == {"GetTask": 1}
        assert pictures[0].tasks == place.world.fresh(JOB_NAME)
        place.world.calls.clear()
        place.hub.hint(JOB_NAME)
        place.hub.hint("omics/runs/1")
        await asyncio.sleep(0.15)
        assert place.world.calls["ListSteps"] == 1
        assert not place.world.calls["ListRunTasks"]
        place.hub.hint("nonsense")
        place.hub.hint(f"{JOB_NAME}/steps/x/tasks/none")


@pytest.mark.bug
@pytest.mark.parametrize("loop", ["_wait_until_due", "_serve_urgent"])
@in_virtual_time
async def test_a_poller_that_fails_is_restarted_for_the_same_watchers(loop: str) -> None:
    place, failures = WatchHub(5), 0
    with pytest.MonkeyPatch.context() as patch:
        whole = getattr(Poller, loop)

        async def fails_twice(poller: Poller) -> None:
            nonlocal failures
            if failures < 2:
                failures += 1
                raise ZeroDivisionError
            await whole(poller)

        patch.setattr(Poller, loop, fails_twice)
        async with place.watchers(3, Request(parent=JOB_NAME)) as pictures:
            place.world.move(place.tasks[0], "RUNNING")
            await asyncio.sleep(30)
            assert len(place.hub) == 1
            for picture in pictures:
                assert picture.tasks == place.world.fresh(JOB_NAME)
    assert place.supervision.failures == {"poller": 2}
