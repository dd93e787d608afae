"""Replicas that share a poller through a real Valkey or Redis server, on AWS in memory."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager

import pytest

from benchmarks.simulation.clock import seeded
from taskgate.v1 import task_watch_pb2
from taskgate_server.shared_state.parents import ValkeyParents
from taskgate_server.tasks.watch.hub import Hub
from taskgate_server.tasks.watch.service import Watches
from taskgate_server.tasks.watch.shared_parents import Change, Interest, News, Role, SharedParent
from taskgate_server.tasks.watch.shared_poller import SharedPoller
from tests.support.aws_in_memory import JOB_NAME, World
from tests.support.calls import make_call
from tests.support.follower import Picture, Response
from tests.support.valkey_process import AesGcm, RespStore, ValkeyProcess, request, response

KEY = bytes(32)
SECONDS = 10.0
TASKS = 20
RESUMED = "resumed"


class Place:
    """Replicas, each with a watcher."""

    def __init__(self, server: ValkeyProcess, count: int) -> None:
        self.server = server
        self.world = World(seeded(1), latency=0.01)
        step = self.world.add_step()
        self.tasks = [self.world.add_task(step, "READY") for _ in range(TASKS)]
        self.stores = [RespStore(server.port) for _ in range(count)]
        self.hubs = [self.hub(index, store) for index, store in enumerate(self.stores)]
        self.pictures = [Picture() for _ in range(count)]
        self.running = [
            asyncio.ensure_future(self.follow(hub, picture))
            for hub, picture in zip(self.hubs, self.pictures, strict=True)
        ]

    def hub(self, index: int, store: RespStore) -> Hub:
        name = f"replica-{index}"
        shared = ValkeyParents(store=store, cipher=AesGcm(KEY), replica=name, scope="test")
        rates = {"deadline": 50.0, "omics": 50.0}
        return Hub(self.world.backends, rates, random=seeded(index), shared=shared)

    async def follow(self, hub: Hub, picture: Picture) -> None:
        picture.connect()
        watch = task_watch_pb2.WatchTasksRequest(parent=JOB_NAME, resume_token=picture.token)
        async for each in Watches(hub, 60.0).watch_tasks(watch, make_call()):
            picture.take(Response.FromString(each))

    def poller(self, index: int) -> SharedPoller:
        (poller,) = self.hubs[index]._whole.values()
        assert isinstance(poller, SharedPoller)
        return poller

    def with_role(self, role: Role) -> list[int]:
        return [index for index, _ in enumerate(self.hubs) if self.poller(index).role is role]

    def is_current(self) -> bool:
        fresh = self.world.fresh(JOB_NAME)
        return all(picture.is_complete and picture.tasks == fresh for picture in self.pictures)

    async def settle(self, condition: Callable[[], object]) -> float:
        """Wait until a condition is true; return how long that took."""
        began = time.monotonic()
        while not condition():
            for each in self.running:
                if each.done() and not each.cancelled():
                    each.result()
            assert time.monotonic() - began < SECONDS
            await asyncio.sleep(0.005)
        return time.monotonic() - began

    async def move_all(self) -> None:
        """Change each task, and wait until all watchers know."""
        for name in self.tasks:
            self.world.move(name)
        self.hubs[-1].hint(JOB_NAME)
        await self.settle(self.is_current)


@asynccontextmanager
async def running(server: ValkeyProcess, count: int = 2) -> AsyncIterator[Place]:
    place = Place(server, count)
    await place.settle(place.is_current)
    yield place
    for hub in place.hubs:
        hub.stop()
        await hub.close()
    for each in place.running:
        each.cancel()
    await asyncio.gather(*place.running, return_exceptions=True)
    for store in place.stores:
        await store.aclose()


@pytest.fixture
def server() -> Iterator[ValkeyProcess]:
    process = ValkeyProcess()
    yield process
    process.resume()
    process.kill()


async def test_one_replica_polls_and_all_deliver(server: ValkeyProcess) -> None:
    async with running(server, 3) as place:
        assert len(place.with_role(Role.LEADING)) == 1
        assert len(place.with_role(Role.FOLLOWING)) == 2
        place.world.calls.clear()
        began = time.monotonic()
        await place.move_all()
        await place.move_all()
        seconds = time.monotonic() - began
        # One replica sweeps at most five times a second, even if watchers request it.
        assert place.world.calls["ListSteps"] <= 2 + seconds / 0.2
        epochs = {place.poller(index).change_log.revisions.epoch_at(2**62) for index in range(3)}
        assert len(epochs) == 1
        revisions = {place.poller(index).change_log.latest_revision for index in range(3)}
        assert len(revisions) == 1


async def test_values_and_names_are_stored_encrypted(server: ValkeyProcess) -> None:
    async with running(server):
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)

        async def command(*words: str | bytes) -> object:
            writer.write(request(*words))
            return await response(reader)

        keys = await command("KEYS", "*")
        assert isinstance(keys, list)
        contents = [await command("DUMP", key) for key in keys]
        writer.close()
        stored = b"".join([*keys, *(each for each in contents if isinstance(each, bytes))])
        assert len(keys) >= 4
        for text in ("READY", "createdBy", "farm-", "job-", "task-0", "deadline"):
            assert text.encode() not in stored


async def test_a_follower_takes_over_from_a_replica_that_stops(server: ValkeyProcess) -> None:
    async with running(server) as place:
        (leader,) = place.with_role(Role.LEADING)
        other = 1 - leader
        token = place.pictures[leader].token
        # Like kill -9: its loops end without releasing the lease.
        await place.stores[leader].aclose()
        place.running[leader].cancel()
        await place.hubs[leader].close()
        seconds = await place.settle(lambda: place.poller(other).role is Role.LEADING)
        assert seconds < 3.0
        picture = place.pictures[leader]
        assert picture.token == token
        place.world.move(place.tasks[0])
        place.running[leader] = asyncio.ensure_future(place.follow(place.hubs[other], picture))
        await place.settle(place.is_current)
        assert picture.events[0] == RESUMED


async def test_the_lease_is_handed_over_when_the_leader_has_no_watchers(
    server: ValkeyProcess,
) -> None:
    async with running(server) as place:
        (leader,) = place.with_role(Role.LEADING)
        other = 1 - leader
        place.running[leader].cancel()
        seconds = await place.settle(lambda: place.poller(other).role is Role.LEADING)
        assert seconds < 1.0
        picture = place.pictures[leader]
        place.running[leader] = asyncio.ensure_future(place.follow(place.hubs[leader], picture))
        await place.move_all()
        assert picture.events[0] == RESUMED
        assert place.with_role(Role.LEADING) == [other]


@pytest.mark.parametrize("fault", ["kill", "stop"])
async def test_replicas_poll_alone_without_the_store(server: ValkeyProcess, fault: str) -> None:
    async with running(server) as place:
        getattr(server, fault)()
        await place.settle(lambda: len(place.with_role(Role.ALONE)) == 2)
        for name in place.tasks:
            place.world.move(name)
        await place.settle(place.is_current)
        if fault == "kill":
            server.start()
        else:
            server.resume()
        await place.settle(
            lambda: place.with_role(Role.LEADING) and place.with_role(Role.FOLLOWING)
        )
        await place.move_all()
        for picture in place.pictures:
            assert picture.events.count("snapshot_begin") == 1


async def test_a_write_through_a_replica_without_watchers_is_read_at_once(
    server: ValkeyProcess,
) -> None:
    async with running(server) as place:
        (leader,) = place.with_role(Role.LEADING)
        store = RespStore(server.port)
        place.stores.append(store)
        third = place.hub(2, store)
        place.hubs.append(third)
        poller = place.poller(leader)
        await place.settle(lambda: poller.next_at > poller._clock() + 1.0)
        place.world.calls.clear()
        place.world.move(place.tasks[0])
        third.refresh(place.tasks[0])
        assert await place.settle(place.is_current) < 0.5
        assert not place.world.calls["ListSteps"], "it was read by name"


async def test_a_replica_that_lost_the_lease_without_noticing_it_changes_nothing(
    server: ValkeyProcess,
) -> None:
    async with running(server) as place:
        parents = [
            ValkeyParents(store=store, cipher=AesGcm(KEY), replica=f"other-{index}", scope="test")
            for index, store in enumerate(place.stores)
        ]
        old, new = (each.parent("another parent", full_view=False) for each in parents)
        epoch = b"\1" * 8
        first = await exchange(old, epoch)
        assert first.leads
        assert await old.reset(first.fence, epoch)
        assert await old.add(first.fence, epoch, [CHANGE], b"status")
        assert not (await exchange(new, epoch)).leads
        await asyncio.sleep(2.1)  # the lease expires by the clock of the server
        second = await exchange(new, epoch)
        assert second.leads
        assert second.fence > first.fence
        before = await new.load()
        assert await old.add(first.fence, epoch, [CHANGE], b"another status") is None
        assert await old.reset(first.fence, b"\2" * 8) is None
        assert await new.load() == before


CHANGE = Change(name="a task", removed=False, content=b"content")


async def exchange(parent: SharedParent, epoch: bytes) -> News:
    return await parent.exchange(
        wants_lease=True, interest=Interest.CHANGES, epoch=epoch, revision=0
    )
