"""Authorized callers: the cost of one request, and the effect of many on other callers."""

from __future__ import annotations

import asyncio

import pytest

from tests.attack.attacker import ROUNDS, attacked, check_others, cost_of, is_noticed
from tests.attack.attacks import ATTACKS, CONTROL, IDENTIFIED
from tests.attack.conftest import Sites
from tests.support.guarded_process import Experience, GuardedServer, experience

pytestmark = pytest.mark.alone

CPU_SECONDS = 0.250


@pytest.fixture(scope="module")
def site(sites: Sites) -> GuardedServer:
    return sites()


@pytest.fixture(scope="module")
def quiet(site: GuardedServer) -> Experience:
    """Return what a caller experiences without any attack."""
    return asyncio.run(experience(site, site.token("bob")))


@pytest.mark.parametrize("name", ATTACKS)
def test_a_request_costs_little(site: GuardedServer, name: str) -> None:
    costs = []
    for _ in range(ROUNDS):
        costs.append(cost_of(site, ATTACKS[name], site.token("mallory", "all"), calls=3))
        if costs[-1].cpu < CPU_SECONDS:
            return
    raise AssertionError(costs)


@pytest.mark.parametrize("name", IDENTIFIED)
def test_attack_hardly_affects_other_callers(
    site: GuardedServer, quiet: Experience, name: str
) -> None:
    check_others(site, quiet, name, site.issuer.sign("mallory", "all"))


def test_without_the_defence_the_attack_affects_other_callers(sites: Sites) -> None:
    site = sites(weakness="work_before_permission")
    quiet = asyncio.run(experience(site, site.token("bob")))
    with attacked(site, CONTROL, site.issuer.sign("mallory", "all"), seconds=20):
        during = asyncio.run(experience(site, site.token("bob"), calls=3))
    assert is_noticed(quiet, during), (quiet, during)
