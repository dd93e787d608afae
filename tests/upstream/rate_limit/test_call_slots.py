"""Calls in flight to an AWS service are bounded, and fair across requesters and operations."""

from __future__ import annotations

import asyncio
import math

import pytest

from benchmarks.simulation.clock import seeded
from taskgate_server.errors import QuotaError, TaskgateError
from taskgate_server.services.deadline.spec import SPEC as DEADLINE
from taskgate_server.upstream.in_flight import Requesters
from taskgate_server.upstream.rate_limit.limiter import RateLimiter
from taskgate_server.upstream.rate_limit.token_bucket import Limits
from tests.support.event_loop import in_virtual_time, now, settle
from tests.upstream.rate_limit.admission import GET, POLLER, A, B, C, end, flood, limiter


def unlimited(max_in_flight: float) -> RateLimiter:
    """A limiter of calls in flight alone."""
    return RateLimiter(DEADLINE, clock=now, random=seeded(1), max_in_flight=max_in_flight)


@in_virtual_time
async def test_calls_in_flight_are_bounded_and_fair() -> None:
    limit = unlimited(max_in_flight=4)
    permits = [await limit.admit(GET, Requesters.single(A, math.inf)) for _ in range(4)]
    queued = [
        asyncio.create_task(limit.admit(operation, Requesters.single(A, math.inf)))
        for operation in ("GetJob", "GetTask", "ListJobs")
        for _ in range(100)
    ]
    await settle()
    pollers = flood(limit, POLLER, 1, operation="GetJob")
    newcomer, other = flood(limit, B, 1, operation="GetJob") + flood(limit, C, 1)
    await settle()
    permits[0].release_slot()
    permits[0].release_slot()  # which ends once
    await settle()
    assert sum(task.done() for task in queued) == 1
    assert not newcomer.done()
    for permit in permits[1:3]:
        permit.release_slot()
    await settle()
    assert newcomer.done(), "after one turn of the flood, whatever it has queued elsewhere"
    assert other.done()
    for _ in range(300):
        next(task.result() for task in queued if task.done()).release_slot()
        queued = [task for task in queued if not task.done() or task.result().has_slot]
        await settle()
        assert not pollers[0].done() or len(queued) <= 3, "it has the last turn of all"
    assert pollers[0].done()


@in_virtual_time
async def test_too_many_calls_that_wait_for_a_slot_are_refused() -> None:
    limit = RateLimiter(DEADLINE, Limits(max_waiting=10), clock=now, max_in_flight=1)
    queued = flood(limit, A, 10)
    await settle()
    refused = [task.exception() for task in queued if task.done()][1:]
    assert [type(error) for error in refused] == [QuotaError] * 3, "5 wait for a turn, 1 has it"
    assert "no connection is free for GetRun and 6 calls are waiting" in str(refused[0])
    assert not flood(limit, B, 1)[0].done()
    await end(*queued)


@in_virtual_time
async def test_cancelled_calls_return_token_and_slot() -> None:
    limit = limiter(max_in_flight=1)
    permit = await limit.admit(GET, Requesters.single(A, math.inf))
    await asyncio.sleep(1)
    waiting, behind = flood(limit, A, 2)
    await settle()
    assert limit.bucket(GET).tokens < 1, "one has a token and waits for the slot"
    await end(waiting)
    permit.release_slot()
    assert await behind == 1.0, "with the token of the first"
    granted = flood(limit, A, 1)[0]
    await settle()
    assert not granted.done()
    limit.slots.release()  # of the admitted call
    await asyncio.sleep(0.2)
    assert granted.done()


@in_virtual_time
async def test_a_throttle_holds_calls_that_wait_for_a_slot() -> None:
    limit = limiter(max_in_flight=1)
    permit = await limit.admit(GET, Requesters.single(A, math.inf))
    await asyncio.sleep(1)
    first, second = flood(limit, A, 2)
    await settle()
    limit.record_throttle(permit, 5.0)
    permit.release_slot()
    assert await first == pytest.approx(6.0)
    assert not second.done()
    await end(second)


@in_virtual_time
async def test_a_call_that_waits_too_long_for_a_slot_is_refused() -> None:
    limit = unlimited(max_in_flight=1)
    permit = await limit.admit(GET, Requesters.single(A, math.inf))
    [late] = flood(limit, A, 1, give_up_at=1.0)
    patient = flood(limit, A, 1)[0]
    await asyncio.sleep(2)
    permit.release_slot()
    with pytest.raises(TaskgateError, match="no connection is free"):
        await late
    assert await patient == 2.0


@in_virtual_time
async def test_another_requester_lets_a_call_bypass_a_paused_line() -> None:
    limit = unlimited(max_in_flight=1)
    permit = await limit.admit(GET, Requesters.single(A, math.inf))
    first, shared = flood(limit, A, 1), Requesters.single(A, math.inf)
    await settle()
    second = asyncio.create_task(limit.admit(GET, shared))
    await settle()
    assert len(limit.slots.queue) == 1
    shared.join(B, math.inf)
    assert len(limit.slots.queue) == 2
    permit.release_slot()
    await settle()
    assert first[0].done()
    assert not second.done()
    limit.slots.release()  # of the first
    await second


@in_virtual_time
async def test_a_call_cancelled_right_after_admission_frees_its_slot() -> None:
    limit = unlimited(max_in_flight=1)
    permit = await limit.admit(GET, Requesters.single(A, math.inf))
    first, second = flood(limit, A, 2)
    await settle()
    permit.release_slot()
    first.cancel()  # before its task has run
    await asyncio.gather(first, return_exceptions=True)
    assert first.cancelled()
    assert await second == 0


@in_virtual_time
async def test_a_call_that_waits_for_a_slot_is_not_overtaken() -> None:
    limit = unlimited(max_in_flight=1)
    permit = await limit.admit(GET, Requesters.single(A, math.inf))
    [late] = flood(limit, A, 1, give_up_at=1.0)
    [patient] = flood(limit, A, 1)
    await settle()
    [other] = flood(limit, B, 1)
    await asyncio.sleep(2)
    permit.release_slot()
    await asyncio.gather(late, return_exceptions=True)
    assert await other == 2.0
    assert not patient.done()
    await end(patient)
