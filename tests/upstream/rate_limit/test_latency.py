"""Under overload the calls that are sent still have time for their responses."""

from __future__ import annotations

import asyncio
import math

import pytest

from benchmarks.simulation.clock import seeded, virtually
from taskgate_server import errors
from taskgate_server.services.omics.spec import SPEC as OMICS
from taskgate_server.upstream.in_flight import Requesters
from taskgate_server.upstream.options import Priority, Share
from taskgate_server.upstream.rate_limit.limiter import RateLimiter
from taskgate_server.upstream.rate_limit.policy import LatencyEstimator

LIMIT_SECONDS = 5.0


async def _overload(calls_per_second: float) -> tuple[int, int, int]:
    """Return how many calls were sent, had a late response and were refused under overload."""
    now = asyncio.get_running_loop().time
    random = seeded(1)
    limiter = RateLimiter(OMICS, clock=now, random=random)
    sent = late = refused = 0

    async def call() -> None:
        nonlocal sent, late, refused
        give_up_at = now() + LIMIT_SECONDS
        try:
            requesters = Requesters.single(Share(Priority.INTERACTIVE, ""), give_up_at)
            permit = await limiter.admit("GetRun", requesters)
        except errors.TaskgateError:
            refused += 1
            return
        sent += 1
        await asyncio.sleep(random.uniform(0.02, 0.06))
        limiter.record_response(permit)
        late += now() > give_up_at

    calls = []
    while now() < 120:
        calls.append(asyncio.create_task(call()))
        await asyncio.sleep(random.expovariate(calls_per_second))
    await asyncio.gather(*calls)
    return sent, late, refused


def test_an_overloaded_limiter_sends_no_call_too_late() -> None:
    sent, late, refused = virtually(_overload(100))
    assert refused > 5 * sent  # it was full
    assert sent > 0.95 * 9.6 * 120, "and the quota was used"
    assert late < 0.01 * sent


def test_the_upper_bound_holds_for_nearly_all_calls() -> None:
    random, latency = seeded(2), LatencyEstimator()
    assert latency.upper_bound == 0
    within = 0
    for _ in range(1_000):
        took = random.uniform(0.02, 0.06)
        within += took <= latency.upper_bound
        latency.record(took)
    assert within > 950
    assert latency.upper_bound < 0.1
    for _ in range(100):
        latency.record(1.0)
    assert latency.upper_bound == pytest.approx(1.0, abs=0.05)
    assert math.isfinite(latency.upper_bound)
