"""An attack from another process, and what others experience meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, Final

from tests.attack import attacks
from tests.attack.attacks import Attack
from tests.support.forked import forked
from tests.support.guarded_process import (
    Cost,
    Experience,
    GuardedServer,
    Metadata,
    experience,
    measure,
)
from tests.support.machine_speed import slowness

CALLS: Final = 10
ROUNDS: Final = 8


@contextmanager
def attacked(
    site: GuardedServer,
    name: str,
    token: str = "",
    seconds: float = 3.0,
    transport: str = "grpc",
) -> Iterator[None]:
    """Send an attack from another process until the block ends.

    Args:
        site: what is attacked.
        name: of `attacks.EVERY_ATTACK`.
        token: of the attacker; empty for a stranger.
        seconds: after which the attack ends by itself.
        transport: `grpc` or `http`, the port that is attacked.
    """
    address = site.address_of(transport)
    with forked(attacks.run, address, transport, seconds, name, token) as messages:
        assert messages.recv() == "begun"
        yield


def is_noticed(quiet: Experience, during: Experience) -> bool:
    """Return whether another caller is served later than the bar: 5 times quiet, and 20 ms."""
    return during.p99 >= 5 * quiet.p99 + 0.020 * slowness()


def check_others(
    site: GuardedServer, quiet: Experience, name: str, token: str = "", transport: str = "grpc"
) -> None:
    """Assert that another caller and the liveness probe hardly notice an attack.

    On a busy machine a round may be slow without any attack, so one of some rounds decides.
    """
    metadata = site.token("bob")
    seen = []
    for _ in range(ROUNDS):
        with attacked(site, name, token, transport=transport):
            during = asyncio.run(experience(site, metadata, transport=transport))
        assert (during.failures, during.dead) == (0, 0), during
        if not is_noticed(quiet, during):
            return
        seen.append((quiet, during))
        # The machine may be busier than before.
        quiet = asyncio.run(experience(site, metadata, transport=transport))
    raise AssertionError(seen)


def cost_of(
    site: GuardedServer, attack: Attack, metadata: Metadata = (), calls: int = CALLS
) -> Cost:
    """Return what an attack costs the server by the call."""
    with site.channel() as channel:
        call: Any = channel.unary_unary(attack.method)
        request = partial(call, attack.make(), metadata=(*attack.metadata, *metadata), timeout=20)
        measure(site, [request] * 2)  # what is loaded once
        return measure(site, [request] * calls)
