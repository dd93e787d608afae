"""AWS failing now and then, or all the time: what callers see, and how soon it is over."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import grpc
import pytest

from taskgate.deadline.v1 import deadline_pb2, deadline_pb2_grpc
from taskgate_client import CallError
from taskgate_server.config import AwsSettings
from tests.support.failing_upstream import MISSING, STEP, FailingUpstream, read, task_id
from tests.support.running_server import REGION, running_server, settings_for

CALLERS = 16
CALLS = 96
RECOVERY_SECONDS = 2.0
HANG_SECONDS = 0.2


@pytest.fixture
def upstream() -> Iterator[FailingUpstream]:
    with FailingUpstream() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield server
        server.over.set()
        server.shutdown()
        thread.join()


@contextmanager
def channel_to(upstream: FailingUpstream, **more: Any) -> Iterator[grpc.Channel]:
    url = f"http://127.0.0.1:{upstream.server_address[1]}"
    aws = AwsSettings(region=REGION, endpoint_url=url, read_timeout_seconds=HANG_SECONDS, **more)
    settings = settings_for(url, aws={"deadline": aws, "omics": aws})
    with running_server(settings) as address, grpc.insecure_channel(str(address)) as channel:
        yield channel


def read_many(stub: Any, count: int = CALLS) -> Counter[str]:
    with ThreadPoolExecutor(CALLERS) as threads:
        return Counter(threads.map(lambda number: read(stub, number), range(count)))


ALLOWED = {
    "throttle": {
        "OK",
        "RESOURCE_EXHAUSTED THROTTLING_EXCEPTION",
        "RESOURCE_EXHAUSTED UPSTREAM_QUOTA",
        # Waits with others for a batch that leaves too late for it.
        "DEADLINE_EXCEEDED TIME_LIMIT_EXCEEDED",
        "DEADLINE_EXCEEDED ",
    },
    "500": {"OK", "INTERNAL INTERNAL_SERVER_ERROR_EXCEPTION", "UNAVAILABLE UPSTREAM_CIRCUIT_OPEN"},
    "hang": {
        "OK",
        "UNAVAILABLE UPSTREAM_UNREACHABLE",
        "UNAVAILABLE UPSTREAM_CIRCUIT_OPEN",
        # The caller's time is shorter than all attempts together.
        "DEADLINE_EXCEEDED TIME_LIMIT_EXCEEDED",
        "DEADLINE_EXCEEDED ",
    },
    "reset": {"OK", "UNAVAILABLE UPSTREAM_UNREACHABLE", "UNAVAILABLE UPSTREAM_CIRCUIT_OPEN"},
}


@pytest.mark.timed
@pytest.mark.parametrize("share", [0.1, 1.0])
@pytest.mark.parametrize("fault", ["500", "hang", "reset"])
def test_an_outage(upstream: FailingUpstream, fault: str, share: float) -> None:
    before = server_threads()
    with channel_to(upstream, quotas="off") as channel:
        stub = deadline_pb2_grpc.DeadlineServiceStub(channel)
        assert read(stub, 0) == "OK"
        upstream.fault, upstream.share = fault, share
        seen = read_many(stub)
        assert set(seen) <= ALLOWED[fault], seen
        if share < 1:  # retries hide nearly all of it
            assert seen["OK"] >= 0.9 * CALLS, seen
        else:
            assert seen["OK"] == 0, seen
        upstream.share = 0.0
        upstream.over.set()
        ended = time.monotonic()
        while read(stub, 0) != "OK":
            assert time.monotonic() - ended < RECOVERY_SECONDS + HANG_SECONDS
        assert set(read_many(stub, CALLERS)) == {"OK"}
    assert_nothing_left(before)


# A learned rate falls to one call in two seconds at worst, and a call may be a batch of many reads.
THROTTLE_RECOVERY_SECONDS = 8.0


@pytest.mark.timed
@pytest.mark.parametrize("share", [0.1, 1.0])
def test_throttles(upstream: FailingUpstream, share: float) -> None:
    before = server_threads()
    with channel_to(upstream) as channel:
        stub = deadline_pb2_grpc.DeadlineServiceStub(channel)
        upstream.fault, upstream.share = "throttle", share
        seen = read_many(stub, CALLERS)
        assert set(seen) <= ALLOWED["throttle"], seen
        assert (seen["OK"] > 0) is (share < 1), seen
        upstream.share = 0.0
        ended = time.monotonic()
        while read(stub, 0, time_limit=3) != "OK":
            assert time.monotonic() - ended < THROTTLE_RECOVERY_SECONDS
    assert_nothing_left(before)


def server_threads() -> set[threading.Thread]:
    """The threads of the servers that run in this process: their loops, and their calls of AWS."""
    names = ("taskgate-server", "deadline", "omics")
    return {thread for thread in threading.enumerate() if thread.name.startswith(names)}


def assert_nothing_left(before: set[threading.Thread]) -> None:
    """All threads of the server have ended, those of calls that hung too."""
    left = server_threads() - before
    for thread in left:
        thread.join(10)
    assert not server_threads() - before


@pytest.mark.timed
def test_a_poisoned_item_is_its_own_callers_alone(upstream: FailingUpstream) -> None:
    with channel_to(upstream, quotas="off") as channel:
        stub = deadline_pb2_grpc.DeadlineServiceStub(channel)

        def one(number: int) -> str:
            return read(stub, number if number % 10 else MISSING + number)

        with ThreadPoolExecutor(CALLERS) as threads:
            seen = list(threads.map(one, range(CALLS)))
    assert {each for n, each in enumerate(seen) if n % 10} == {"OK"}
    poisoned = {each for n, each in enumerate(seen) if not n % 10}
    assert poisoned == {"NOT_FOUND RESOURCE_NOT_FOUND_EXCEPTION"}


@pytest.mark.timed
def test_callers_that_go_do_not_harm_those_that_stay(upstream: FailingUpstream) -> None:
    with channel_to(upstream, quotas="off") as channel:
        stub = deadline_pb2_grpc.DeadlineServiceStub(channel)
        request = deadline_pb2.GetTaskRequest(task_id=task_id(1), **STEP)

        def one(number: int) -> str:
            if number % 4 == 0:
                call = stub.GetTask.future(request)
                call.cancel()
                return "cancelled"
            if number % 4 == 1:
                return read(stub, 1, time_limit=0.001)  # expires, or just makes it
            return read(stub, 1)

        with ThreadPoolExecutor(CALLERS) as threads:
            seen = list(threads.map(one, range(CALLS)))
    assert {each for n, each in enumerate(seen) if n % 4 >= 2} == {"OK"}


def resident_bytes() -> int:
    with open("/proc/self/statm", encoding="ascii") as statm:  # noqa: PTH123  # procfs
        return int(statm.read().split()[1]) * 4096


MANY = 10_000


@pytest.mark.alone
def test_ten_thousand_callers_at_once_all_get_an_answer(upstream: FailingUpstream) -> None:
    async def run(address: str) -> Counter[str]:
        async with grpc.aio.insecure_channel(address) as channel:
            stub: Any = deadline_pb2_grpc.DeadlineServiceStub(channel)

            async def one(number: int) -> str:
                request = deadline_pb2.GetTaskRequest(task_id=task_id(number), **STEP)
                try:
                    answer = await stub.GetTask(request, timeout=60)
                except grpc.RpcError as error:
                    return f"{error.code().name} {CallError.of(error).reason}"
                return "OK" if answer.task_id == task_id(number) else "WRONG"

            return Counter(await asyncio.gather(*(one(number) for number in range(MANY))))

    url = f"http://127.0.0.1:{upstream.server_address[1]}"
    with running_server(settings_for(url)) as address:
        asyncio.run(run(str(address)))  # once, so that what stays is there
        before = resident_bytes()
        seen = asyncio.run(run(str(address)))
        grown = resident_bytes() - before
    assert seen["OK"] == MANY, seen
    # Clients and server are one process here: 20 KiB for a caller that waits, and as much again
    # for the client's own side of the call.
    assert grown < MANY * 40 * 1024
