"""Replicas that do not know of each other share one quota of AWS's, on a virtual clock.

Run with `-s` to see the figures.
"""

from __future__ import annotations

import asyncio
import itertools
import math
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from random import Random

import pytest

from benchmarks.simulation.clock import seeded, virtually
from taskgate_server.services.deadline.spec import SPEC as DEADLINE
from taskgate_server.services.omics.spec import SPEC as OMICS
from taskgate_server.services.spec import ServiceSpec
from taskgate_server.upstream.in_flight import Requesters
from taskgate_server.upstream.options import Priority, Share
from taskgate_server.upstream.rate_limit.limiter import RateLimiter
from taskgate_server.upstream.rate_limit.token_bucket import Limits

OPERATION = "GetRunTask"


@dataclass(slots=True)
class Quota:
    """AWS's side: one token bucket for all, with a burst of one second, at least of two calls.

    (The way to AWS takes 10 to 60 ms, and no pace keeps two calls apart on it.)
    """

    per_second: Callable[[float], float]
    tokens: float = 0.0
    at: float = 0.0
    served: list[tuple[float, int]] = field(default_factory=list)
    throttled: list[tuple[float, int]] = field(default_factory=list)

    def take(self, now: float, replica: int) -> bool:
        rate = self.per_second(now)
        self.tokens = min(self.tokens + (now - self.at) * rate, max(rate, 2.0))
        self.at = now
        taken = self.tokens >= 1
        self.tokens -= taken
        (self.served if taken else self.throttled).append((now, replica))
        return taken


@dataclass(frozen=True, slots=True)
class Figures:
    shares: list[float]
    throttled: float
    used: float

    def __str__(self) -> str:
        shares = " ".join(f"{share:.1%}" for share in self.shares)
        return f"shares {shares}; throttled {self.throttled:.2%}; used {self.used:.1%}"


@dataclass(slots=True)
class Fleet:
    """Some replicas under more demand than they can serve."""

    spec: ServiceSpec
    quota: Quota
    seed: int
    joins: list[float]
    """When each replica starts; the number of replicas with it."""
    learned: dict[int, float] = field(default_factory=dict)
    """Replicas that start with another rate than the full one."""
    workers: int = 5
    """Calls that each replica wants to make at any time: more than the quota has."""
    limiters: list[RateLimiter] = field(default_factory=list)

    def run(self, seconds: float) -> None:
        virtually(self._run(seconds))

    async def _run(self, seconds: float) -> None:
        clock = asyncio.get_running_loop().time
        random = seeded(self.seed)
        self.quota.tokens = max(self.quota.per_second(0), 2.0)
        tasks = []
        for replica, joins in enumerate(self.joins):
            limiter = RateLimiter(self.spec, Limits(), clock=clock, random=random)
            if replica in self.learned:
                bucket = limiter.bucket(OPERATION)
                bucket._decreased_rate, bucket._throttled_at = self.learned[replica], clock()
            self.limiters.append(limiter)
            start = joins + random.random()
            tasks += [
                asyncio.create_task(self._work(replica, limiter, random, start))
                for _ in range(self.workers)
            ]
        await asyncio.sleep(seconds)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _work(self, replica: int, limiter: RateLimiter, random: Random, start: float) -> None:
        clock = asyncio.get_running_loop().time
        await asyncio.sleep(start)
        while True:
            requesters = Requesters.single(Share(Priority.INTERACTIVE, ""), math.inf)
            permit = await limiter.admit(OPERATION, requesters)
            await asyncio.sleep(random.uniform(0.01, 0.06))
            taken = self.quota.take(clock(), replica)
            await asyncio.sleep(random.uniform(0.01, 0.06))
            if taken:
                limiter.record_response(permit)
            else:
                limiter.record_throttle(permit, None)

    def figures(self, since: float, until: float) -> Figures:
        served = [replica for at, replica in self.quota.served if since <= at < until]
        throttled = sum(since <= at < until for at, _ in self.quota.throttled)
        capacity = sum(self.quota.per_second(at) for at in range(int(since), int(until)))
        counts = Counter(served)
        return Figures(
            [counts[replica] / len(served) for replica in range(len(self.joins))],
            throttled / (len(served) + throttled),
            len(served) / capacity,
        )


def published(per_second: float = 10.0) -> ServiceSpec:
    return replace(OMICS, request_rates={OPERATION: per_second})


def always(per_second: float) -> Quota:
    return Quota(lambda _: per_second)


@pytest.mark.parametrize("seed", range(3))
def test_five_replicas_share_a_published_quota(seed: int) -> None:
    fleet = Fleet(published(), always(10), seed, [0, 0, 0, 0, 30], {0: 9.0, 1: 4.0, 2: 1.0, 3: 0.3})
    fleet.run(390)
    figures = fleet.figures(90, 390)
    print(f"\n5 replicas, seed {seed}: {figures}")  # noqa: T201  # see the module's docstring
    assert all(0.12 <= share <= 0.28 for share in figures.shares)
    assert figures.throttled < 0.02
    assert figures.used > 0.85


def test_two_replicas_share_a_published_quota() -> None:
    fleet = Fleet(published(), always(10), 1, [0, 0], {1: 0.5})
    fleet.run(420)
    figures = fleet.figures(60, 420)
    print(f"\n2 replicas: {figures}")  # noqa: T201  # see the module's docstring
    assert all(0.35 <= share <= 0.65 for share in figures.shares)
    assert figures.throttled < 0.01
    assert figures.used > 0.85


@pytest.mark.parametrize("per_second", [0.1, 1.0, 5.0, 10.0, 50.0])
def test_a_replica_alone_has_the_quota_and_no_throttle(per_second: float) -> None:
    fleet = Fleet(published(per_second), always(per_second), 1, [0])
    seconds = 3000 / per_second
    fleet.run(seconds)
    assert not fleet.quota.throttled
    assert len(fleet.quota.served) > 0.95 * per_second * (seconds - 1)


def test_no_second_has_more_calls_than_the_published_rate() -> None:
    fleet = Fleet(published(), always(1000), 1, [0])
    fleet.run(60)
    sent = [at for at, _ in fleet.quota.served]
    # The way to AWS takes each call 10 to 60 ms, so that two may arrive closer than they left.
    most = max(sum(at <= other < at + 0.95 for other in sent) for at in sent)
    assert most <= 10


def test_many_replicas_still_share() -> None:
    fleet = Fleet(published(), always(10), 1, [0.0] * 10)
    fleet.run(360)
    figures = fleet.figures(60, 360)
    print(f"\n10 replicas: {figures}")  # noqa: T201  # see the module's docstring
    assert all(0.05 <= share <= 0.15 for share in figures.shares)
    assert figures.throttled < 0.12


@pytest.mark.parametrize("replicas", [1, 5])
def test_an_unknown_quota_is_learned(replicas: int) -> None:
    fleet = Fleet(DEADLINE, always(25), 2, [0.0] * replicas)
    fleet.run(420)
    figures = fleet.figures(60, 420)
    print(f"\nunknown 25/s, {replicas} replicas: {figures}")  # noqa: T201  # see the docstring
    assert all(0.5 / replicas <= share <= 1.5 / replicas for share in figures.shares)
    assert figures.throttled < 0.02
    assert figures.used > 0.85


def test_a_large_unknown_quota_is_not_left_unused() -> None:
    fleet = Fleet(DEADLINE, always(200), 2, [0.0], {0: 20.0}, workers=30)
    fleet.run(300)
    figures = fleet.figures(200, 300)
    print(f"\nunknown 200/s from 20/s: {figures}")  # noqa: T201  # see the module's docstring
    assert figures.throttled < 0.02
    assert figures.used > 0.7


def test_the_rate_follows_a_quota_that_halves_and_recovers() -> None:
    fleet = Fleet(published(), Quota(lambda at: 5.0 if 120 <= at < 360 else 10.0), 3, [0, 0])
    fleet.run(700)
    for since, until in itertools.pairwise([20, 120, 360, 480, 700]):
        print(f"\n{since}-{until} s: {fleet.figures(since, until)}")  # noqa: T201  # the same
    halved, back = fleet.figures(150, 360), fleet.figures(480, 700)
    assert halved.throttled < 0.03
    assert halved.used > 0.85
    assert back.throttled < 0.02
    assert back.used > 0.85


def test_a_learned_rate_is_forgotten_without_throttles() -> None:
    fleet = Fleet(published(), Quota(lambda at: 2.0 if at < 60 else 10.0), 3, [0])
    fleet.run(60)
    limiter = fleet.limiters[0]
    assert limiter.bucket(OPERATION).rate < 3
    bucket = limiter.bucket(OPERATION)
    bucket._throttled_at -= 601
    assert limiter.bucket(OPERATION).rate == pytest.approx(9.6)
