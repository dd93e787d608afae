"""Where more is asked than AWS has room for, what is sent still has time for its answer."""

from __future__ import annotations

import asyncio
import math

import pytest

from benchmarks.simulation.clock import seeded, virtually
from taskgate_server import errors
from taskgate_server.services.omics.spec import SPEC as OMICS
from taskgate_server.upstream.options import Priority
from taskgate_server.upstream.rate_limit.latency import LatencyEstimator
from taskgate_server.upstream.rate_limit.limiter import RateLimiter
from taskgate_server.upstream.requesters import Requesters, Share

LIMIT_SECONDS = 5.0


async def _crowd(asked_per_second: float) -> tuple[int, int, int]:
    """What became of the calls of callers who keep the queue full: sent, answered late, refused."""
    now = asyncio.get_running_loop().time
    random = seeded(1)
    limiter = RateLimiter(OMICS, clock=now, random=random)
    sent = late = refused = 0

    async def ask() -> None:
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

    asking = []
    while now() < 120:
        asking.append(asyncio.create_task(ask()))
        await asyncio.sleep(random.expovariate(asked_per_second))
    await asyncio.gather(*asking)
    return sent, late, refused


def test_a_full_queue_sends_nothing_that_comes_too_late() -> None:
    sent, late, refused = virtually(_crowd(100))
    assert refused > 5 * sent  # it was full
    assert sent > 0.95 * 9.6 * 120, "and the quota was used"
    assert late < 0.01 * sent


def test_a_duration_is_one_that_nearly_all_keep_to() -> None:
    random, duration = seeded(2), LatencyEstimator()
    assert duration.upper_bound == 0
    kept = 0
    for _ in range(1_000):
        took = random.uniform(0.02, 0.06)
        kept += took <= duration.upper_bound
        duration.record(took)
    assert kept > 950
    assert duration.upper_bound < 0.1
    for _ in range(100):
        duration.record(1.0)
    assert duration.upper_bound == pytest.approx(1.0, abs=0.05)
    assert math.isfinite(duration.upper_bound)
