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
PATIENT_SECONDS = 1.0
"""Longer than any response takes that does not hang, on a busy machine too."""


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
    given: dict[str, Any] = {"read_timeout_seconds": HANG_SECONDS, **more}
    aws = AwsSettings(region=REGION, endpoint_url=url, **given)
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
def test_callers_see_only_the_expected_errors_in_an_outage(
    upstream: FailingUpstream, fault: str, share: float
) -> None:
    before = server_threads()
    patience = HANG_SECONDS if share == 1.0 else PATIENT_SECONDS
    with channel_to(upstream, quotas="off", read_timeout_seconds=patience) as channel:
        stub = deadline_pb2_grpc.DeadlineServiceStub(channel)
        assert read(stub, 0) == "OK"
        upstream.fault, upstream.share = fault, share
        outcomes = read_many(stub)
        assert set(outcomes) <= ALLOWED[fault], outcomes
        if share < 1:  # retries hide nearly all of it
            assert outcomes["OK"] >= 0.9 * CALLS, outcomes
        else:
            assert outcomes["OK"] == 0, outcomes
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
def test_callers_see_only_throttles_while_aws_throttles(
    upstream: FailingUpstream, share: float
) -> None:
    before = server_threads()
    with channel_to(upstream) as channel:
        stub = deadline_pb2_grpc.DeadlineServiceStub(channel)
        upstream.fault, upstream.share = "throttle", share
        outcomes = read_many(stub, CALLERS)
        assert set(outcomes) <= ALLOWED["throttle"], outcomes
        assert (outcomes["OK"] > 0) is (share < 1), outcomes
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
def test_a_poisoned_item_fails_only_its_own_callers(upstream: FailingUpstream) -> None:
    with channel_to(upstream, quotas="off") as channel:
        stub = deadline_pb2_grpc.DeadlineServiceStub(channel)

        def one(number: int) -> str:
            return read(stub, number if number % 10 else MISSING + number)

        with ThreadPoolExecutor(CALLERS) as threads:
            outcomes = list(threads.map(one, range(CALLS)))
    assert {each for n, each in enumerate(outcomes) if n % 10} == {"OK"}
    poisoned = {each for n, each in enumerate(outcomes) if not n % 10}
    assert poisoned == {"NOT_FOUND RESOURCE_NOT_FOUND_EXCEPTION"}


@pytest.mark.timed
def test_cancelled_callers_do_not_affect_others(upstream: FailingUpstream) -> None:
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
            outcomes = list(threads.map(one, range(CALLS)))
    assert {each for n, each in enumerate(outcomes) if n % 4 >= 2} == {"OK"}


def resident_bytes() -> int:
    with open("/proc/self/statm", encoding="ascii") as statm:  # noqa: PTH123  # procfs
        return int(statm.read().split()[1]) * 4096


MANY = 10_000


@pytest.mark.alone
def test_ten_thousand_concurrent_callers_all_get_a_response(upstream: FailingUpstream) -> None:
    async def run(address: str, count: int) -> Counter[str]:
        async with grpc.aio.insecure_channel(address) as channel:
            stub: Any = deadline_pb2_grpc.DeadlineServiceStub(channel)

            async def one(number: int) -> str:
                request = deadline_pb2.GetTaskRequest(task_id=task_id(number), **STEP)
                try:
                    response = await stub.GetTask(request, timeout=60)
                except grpc.RpcError as error:
                    return f"{error.code().name} {CallError.of(error).reason}"
                return "OK" if response.task_id == task_id(number) else "WRONG"

            return Counter(await asyncio.gather(*(one(number) for number in range(count))))

    url = f"http://127.0.0.1:{upstream.server_address[1]}"
    with running_server(settings_for(url)) as address:
        asyncio.run(run(str(address), MANY // 10))  # what is loaded once
        before = resident_bytes()
        outcomes = asyncio.run(run(str(address), MANY))
        grown = resident_bytes() - before
    assert outcomes["OK"] == MANY, outcomes
    # Clients and server are one process here: 20 KiB for a caller that waits, and as much again
    # for the client's own side of the call.
    assert grown < MANY * 40 * 1024
