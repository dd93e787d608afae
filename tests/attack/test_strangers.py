"""Anonymous callers: the cost of one request, and the effect of many on other callers."""

from __future__ import annotations

import asyncio
import os
import random
from typing import Any

import grpc
import pytest

from tests.attack.attacker import ROUNDS, attacked, check_others, cost_of, is_noticed
from tests.attack.attacks import ATTACKS, CONTROL, EVERY_ATTACK
from tests.attack.conftest import Sites
from tests.support.guarded_process import Experience, GuardedServer, experience
from tests.support.seeds import seeded

pytestmark = pytest.mark.alone

CPU_SECONDS = 0.050
RETAINED_BYTES = 1024 * 1024
REQUESTS = int(os.environ.get("ATTACK_REQUESTS", "5000"))
"""Mutated requests; `make attack` sends 100,000."""
FLAT_BYTES = 20 * 1024 * 1024


@pytest.fixture(scope="module")
def site(sites: Sites) -> GuardedServer:
    return sites()


@pytest.mark.parametrize("name", ATTACKS)
def test_anonymous_request_costs_little(site: GuardedServer, name: str) -> None:
    costs = []
    for _ in range(ROUNDS):  # what the allocator retains once, it does not retain again
        costs.append(cost_of(site, ATTACKS[name]))
        assert "OK" not in costs[-1].codes
        if costs[-1].cpu < CPU_SECONDS and costs[-1].retained < RETAINED_BYTES:
            return
    raise AssertionError(costs)


def test_without_the_defence_it_costs_too_much(sites: Sites) -> None:
    site = sites(weakness="work_before_permission")
    assert cost_of(site, EVERY_ATTACK[CONTROL], calls=3).cpu > CPU_SECONDS


@pytest.fixture(scope="module")
def quiet(site: GuardedServer) -> Experience:
    """Return what a caller experiences without any attack."""
    return asyncio.run(experience(site, site.token("bob")))


@pytest.mark.parametrize("name", ATTACKS)
def test_attack_hardly_affects_other_callers(
    site: GuardedServer, quiet: Experience, name: str
) -> None:
    check_others(site, quiet, name)


def test_without_the_defence_the_attack_affects_other_callers(sites: Sites) -> None:
    site = sites(weakness="work_before_permission")
    metadata = site.token("bob")
    quiet = asyncio.run(experience(site, metadata))
    with attacked(site, CONTROL, seconds=20):
        during = asyncio.run(experience(site, metadata, calls=3))
    assert is_noticed(quiet, during), (quiet, during)


def mutated(random_: random.Random) -> tuple[str, bytes, tuple[tuple[str, str], ...]]:
    """Return one of the attacks with some of its bytes changed, mostly short."""
    attack = random_.choice(list(ATTACKS.values()))
    whole = WHOLE[attack.method]
    data = bytearray(whole[: random_.choice((10, 100, 1000, 30_000))])
    for _ in range(random_.randrange(5)):
        if data:
            data[random_.randrange(len(data))] = random_.randrange(256)
    metadata = ((key, value[: random_.randrange(1, 300)]) for key, value in attack.metadata)
    return attack.method, bytes(data), tuple(metadata)


WHOLE = {attack.method: attack.make() for attack in ATTACKS.values()}


async def send(site: GuardedServer, count: int, seed: int) -> dict[str, int]:
    random_, codes = seeded("strangers", seed), dict[str, int]()
    async with grpc.aio.insecure_channel(site.address) as channel:
        left = iter(range(count))

        async def repeat() -> None:
            for _ in left:
                method, data, metadata = mutated(random_)
                call: Any = channel.unary_unary(method)
                try:
                    await call(data, metadata=metadata, timeout=20)
                    code = "OK"
                except grpc.RpcError as error:
                    code = str(error.code().name)
                # Health checks are for strangers, too.
                assert code != "OK" or method.startswith("/grpc.health."), method
                codes[code] = codes.get(code, 0) + 1

        await asyncio.gather(*(repeat() for _ in range(256)))
    return codes


def test_memory_stays_flat_under_mutated_requests(site: GuardedServer) -> None:
    asyncio.run(send(site, 2000, seed=1))
    before, logged = site.rss(), site.log_bytes()
    codes = asyncio.run(send(site, REQUESTS, seed=2))
    assert sum(codes.values()) == REQUESTS
    assert not {"INTERNAL", "UNKNOWN", "UNAVAILABLE"} & set(codes), codes
    assert site.rss() - before < FLAT_BYTES, codes
    assert site.log_bytes() - logged < 200 * REQUESTS
    assert max(map(len, site.lines)) <= 2048
