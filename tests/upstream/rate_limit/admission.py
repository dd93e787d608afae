"""A rate limiter of 9.6 calls per second, and requesters that wait for its permits."""

from __future__ import annotations

import asyncio
import math
from typing import Any

from benchmarks.simulation.clock import seeded
from taskgate_server.services.omics.spec import SPEC as OMICS
from taskgate_server.upstream.in_flight import Requesters
from taskgate_server.upstream.options import Priority, Share
from taskgate_server.upstream.rate_limit.limiter import RateLimiter
from taskgate_server.upstream.rate_limit.token_bucket import Limits
from tests.support.event_loop import now

GET = "GetRun"
SPACING = 1 / 9.6
A, B, C = (Share(Priority.INTERACTIVE, name) for name in "abc")
POLLER = Share(Priority.POLLER, "p")
SHARES = [A, B, C, POLLER]


def limiter(*, max_in_flight: float = math.inf, **limits: Any) -> RateLimiter:
    """A limiter of 9.6 calls per second."""
    return RateLimiter(
        OMICS, Limits(**limits), clock=now, random=seeded(1), max_in_flight=max_in_flight
    )


async def admitted(
    limit: RateLimiter, share: Share, give_up_at: float = math.inf, operation: str = GET
) -> float:
    """Wait for a permit; return when it came."""
    await limit.admit(operation, Requesters.single(share, give_up_at))
    return now()


def flood(limit: RateLimiter, share: Share, count: int, **more: Any) -> list[asyncio.Task[float]]:
    return [asyncio.create_task(admitted(limit, share, **more)) for _ in range(count)]


async def end(*tasks: asyncio.Task[Any]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
