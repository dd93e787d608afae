"""Memory of caches whose entries callers choose, filled with the largest that they can choose.

Each is measured with its bound and, as a control, without one.
"""

from __future__ import annotations

import asyncio
import gc
import tracemalloc
from collections.abc import Callable
from typing import Any, Final, cast
from unittest.mock import Mock

import pytest

from taskgate.v1 import task_watch_pb2
from taskgate_server.calls import Rpc
from taskgate_server.rpc import handlers
from taskgate_server.services.deadline.spec import SPEC as DEADLINE
from taskgate_server.tasks import backend as backends
from taskgate_server.tasks.backend import TaskBackend, load_backend
from taskgate_server.tasks.watch.named_poller import NamedPoller
from taskgate_server.tasks.watch.poller import Poller
from taskgate_server.upstream.aws_client.sender import AwsResponse
from taskgate_server.upstream.cache import Entry, ResponseCache, WriteLog, entry_bytes
from taskgate_server.upstream.request import (
    key_bytes,
    make_aws_request,
    plan_operation,
    request_key,
)
from tests.support.calls import make_call
from tests.support.event_loop import in_virtual_time
from tests.support.watch_hub import WatchHub

pytestmark = pytest.mark.long

MIB: Final = 1024 * 1024
TOLERANCE: Final = 1.5
"""Sizes are estimates."""
NO_BOUND: Final = 2**40


def grown(fill: Callable[[], object]) -> int:
    """The bytes that filling a cache has allocated, and that are still in use."""
    gc.collect()
    tracemalloc.start()
    filled = fill()
    gc.collect()
    size, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    del filled
    return size


class KnowsAll:
    """In the place of a gateway: has every response in its cache."""

    spec = DEADLINE

    def make_request(self, operation: str, params: Any) -> Any:
        return make_aws_request(operation, params, plan_operation(DEADLINE, operation))

    def cached_response(self, *_: object) -> AwsResponse:
        return AwsResponse(value={}, request_id="", observe_time=0.0)


# --- Requests that are converted once -------------------------------------------------------------

SEARCHES: Final = ("SearchJobs", "SearchSteps", "SearchTasks", "SearchWorkers")


def search(operation: str, request_class: Any, number: int) -> bytes:
    """The largest request that is cached: of many small values."""
    request = request_class(farm_id=f"farm-{number:032x}", item_offset=0)
    parents = request.fleet_ids if operation == "SearchWorkers" else request.queue_ids
    prefix = "fleet" if operation == "SearchWorkers" else "queue"
    parents.extend([f"{prefix}-{index:032x}" for index in range(10)])
    request.filter_expressions.operator = 1
    for index in range(3):
        added = request.filter_expressions.filters.add().search_term_filter
        added.search_term = f"{number}-{index}-{'x' * 80}"
    data: bytes = request.SerializeToString()
    assert len(data) <= handlers.MAX_CACHED_REQUEST_BYTES
    return data


def convert_many() -> list[Rpc]:
    operations = handlers.load_operations(DEADLINE)
    gateway: Any = KnowsAll()
    limits: Any = None
    rpcs = {
        rpc.method.rpartition("/")[2]: rpc
        for rpc in handlers.make_rpcs(DEADLINE, operations, gateway, limits)
    }

    async def serve() -> None:
        for number in range(200):
            for name in SEARCHES:
                data = search(name, operations[name].request_class, number)
                call = make_call(name)
                await rpcs[name].behaviour(data, call)

    asyncio.run(serve())
    return list(rpcs.values())


def test_converted_requests_of_all_operations_share_a_bound(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    convert_many()  # loads the models, which is not what is measured
    monkeypatch.setattr(handlers, "MAX_CACHE_BYTES", MIB // 2)
    assert grown(convert_many) < TOLERANCE * MIB // 2
    monkeypatch.setattr(handlers, "MAX_CACHE_BYTES", NO_BOUND)
    assert grown(convert_many) > TOLERANCE * MIB // 2


# --- Names of tasks -------------------------------------------------------------------------------


def parse_many() -> TaskBackend:
    tasks = load_backend(DEADLINE)(cast("Any", KnowsAll()), Mock())

    for number in range(1_500):
        ids = {name: f"{name.removesuffix('Id')}-{number:032x}" for name in tasks.names.parameters}
        tasks.aws_request(tasks.names.format(ids | {"taskId": f"task-{number:032x}-4294967295"}))
    return tasks


def test_names_of_tasks_have_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    parse_many()
    monkeypatch.setattr(backends, "MAX_CACHE_BYTES", MIB // 2)
    assert grown(parse_many) < TOLERANCE * MIB // 2
    monkeypatch.setattr(backends, "MAX_CACHE_BYTES", NO_BOUND)
    assert grown(parse_many) > TOLERANCE * MIB // 2


# --- Responses ------------------------------------------------------------------------------------


def remember_many(key_counts: int) -> ResponseCache[AwsResponse]:
    cache: ResponseCache[AwsResponse] = ResponseCache(
        max_entries=10_000, max_bytes=8 * MIB, max_age=60
    )
    for number in range(300):
        filters = {"filters": [{"value": f"{number}{'x' * 100_000}"}]}
        for key in (
            request_key("SearchJobs", filters),
            request_key("GetFarm", {"farmId": f"{number}{'x' * 4000}"}),
        ):
            answer = AwsResponse(value={"a": "b"}, request_id="r", observe_time=0.0, size=9)
            size = entry_bytes(answer.size, key_counts * key_bytes(key))
            cache.put(key, Entry(answer, 0.0, size), 0.0)
    return cache


def test_cached_responses_count_the_requests_that_they_are_for() -> None:
    assert grown(lambda: remember_many(1)) < TOLERANCE * 8 * MIB
    assert grown(lambda: remember_many(0)) > TOLERANCE * 8 * MIB


# --- Writes ---------------------------------------------------------------------------------------


def note_many(max_bytes: int) -> WriteLog:
    log = WriteLog(60.0, max_bytes)
    for number in range(4000):
        log.record(("annotationStore", f"{number}{'x' * 4000}"), 1.0)
        log.record(("farms", f"farm-{number}", "queues", "q", "jobs", "j", "steps", "s"), 1.0)
    return log


def test_the_log_of_writes_has_a_bound() -> None:
    assert grown(lambda: note_many(8 * MIB)) < TOLERANCE * 8 * MIB
    assert grown(lambda: note_many(NO_BOUND)) > TOLERANCE * 8 * MIB


def test_no_write_is_forgotten_when_the_log_is_full() -> None:
    log = WriteLog(60.0, 10_000)
    written = [("run", str(number)) for number in range(100)]

    for moment, resource in enumerate(written):
        log.record(resource, float(moment))

    assert all(log.latest(resource) >= moment for moment, resource in enumerate(written))
    assert log.latest(("run", "never written")) < 99, "the log began anew, and goes on"


# --- Watches --------------------------------------------------------------------------------------


async def watch_and_leave(place: WatchHub, **request: Any) -> None:
    """Begin a watch, and leave while AWS is being called."""
    call = make_call("WatchTasks")
    stream: Any = place.watches.watch_tasks(task_watch_pb2.WatchTasksRequest(**request), call)
    reading = asyncio.ensure_future(anext(stream))
    await asyncio.sleep(0.001)
    reading.cancel()
    await asyncio.gather(reading, return_exceptions=True)
    await stream.aclose()


async def pollers_left() -> int:
    """How many pollers there are after watches of many names and parents have been left."""
    place = WatchHub()
    for number in range(5):
        runs = [f"omics/runs/{number}{index:06}" for index in range(100)]
        await watch_and_leave(place, names=[f"{run}/tasks/1" for run in runs])
        for run in runs:
            await watch_and_leave(place, parent=run)
    await asyncio.sleep(0.001)
    left = len(place.hub)
    await place.hub.close()
    return left


@in_virtual_time
async def test_cancelled_watches_stop_their_pollers() -> None:
    assert await pollers_left() == 0


@in_virtual_time
async def test_without_the_defence_pollers_of_left_parents_stay(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Poller, "_end_if_unused", lambda poller: poller._awake.set())

    assert await pollers_left() > 0


@in_virtual_time
async def test_without_the_defence_pollers_of_left_names_stay(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(NamedPoller, "is_loaded", True)

    assert await pollers_left() > 0
