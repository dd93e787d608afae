"""While one operation, task, caller or target fails, all others succeed, and as fast as before.

Each row of `failures.FAILURES` is a failure on one running server. The bar for all other calls:
100 % succeed, and their p99 stays within twice the quiet value plus 20 ms.
"""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import pytest

from taskgate_emulator import Emulator
from taskgate_emulator.core.clock import ManualClock
from taskgate_emulator.core.state import Account
from taskgate_emulator.seeds import ids as seed
from tests.isolation.bystanders import Experience, experience
from tests.isolation.failures import FAILURES, Failure, run
from tests.support.forked import forked
from tests.support.guarded_process import GuardedServer, guarded_server
from tests.support.ports import free_port
from tests.support.running_server import REGION

pytestmark = pytest.mark.alone

ROUNDS: Final = 40
"""Calls of each bystander in a measurement."""
TRIES: Final = 8
"""On a busy machine a measurement may be slow without any failure."""
TRANSPORTS: Final = ("grpc", "http")
"""Ports of the server. The failing calls and all others have the same one."""
OVER_HTTP: Final = (
    FAILURES
    if os.environ.get("ATTACKS") == "all"
    else ("operation: hangs", "caller: flooding", "caller: reading slowly")
)
ROWS: Final = [
    *((name, "grpc") for name in FAILURES),
    *((name, "http") for name in OVER_HTTP),
]
RULES: Final = """
permit (principal, action in [Action::"read", Action::"write"], resource);
permit (principal, action == Action::"targets/Use", resource);
"""


@pytest.fixture(scope="module")
def aws() -> Iterator[Emulator]:
    """Yield an AWS with one task that has a number where the model says string."""
    with Emulator(clock=ManualClock()) as emulator:
        emulator.edit(make_odd)
        yield emulator


def make_odd(account: Account) -> None:
    key = (seed.FARM_ID, seed.QUEUE_ID, seed.JOB_ID, seed.RENDER_STEP_ID, seed.FAILED_TASK_ID)
    record: Any = account.table("deadline.Task").record(key)
    record["createdBy"] = 7


@pytest.fixture(scope="module")
def site(aws: Emulator, tmp_path_factory: pytest.TempPathFactory) -> Iterator[GuardedServer]:
    """Yield a server with three targets, of which one is unreachable and one is refused by AWS."""
    with Emulator() as refusing:
        for operation in ("GetTask", "BatchGetTask", "ListFarms", "ListMonitors"):
            refusing.respond(
                "deadline",
                operation,
                status=403,
                headers={"x-amzn-ErrorType": "UnrecognizedClientException"},
                body={"message": "the security token is invalid"},
                times=100_000,
            )
        targets = {
            "nowhere": f"http://127.0.0.1:{free_port()}",
            "refusing": refusing.endpoint_url,
        }
        settings = {
            "targets": json.dumps(
                {
                    name: {
                        "aws": {
                            service: {"region": REGION, "endpoint_url": url}
                            for service in ("deadline", "omics")
                        }
                    }
                    for name, url in targets.items()
                }
            ),
            # The bystanders call more often than HealthOmics allows.
            "aws__omics__quotas": "off",
            "aws__deadline__quotas": "off",
            "http_port": "0",
            # HTTP/1.1 has one call at a time on a connection.
            "max_connections_per_address": "1000",
        }
        folder = tmp_path_factory.mktemp("site")
        with guarded_server(aws, folder, rules=RULES, **settings) as site:
            yield site


def measure(site: GuardedServer, transport: str) -> Experience:
    address = site.address_of(transport)
    return asyncio.run(experience(address, transport, site.token("alice"), ROUNDS))


@pytest.fixture(scope="module")
def quiet(site: GuardedServer) -> dict[str, Experience]:
    """Return how calls go without any failure, by transport."""
    for transport in TRANSPORTS:
        measure(site, transport)  # what is loaded once
    return {transport: measure(site, transport) for transport in TRANSPORTS}


@contextmanager
def failing(site: GuardedServer, aws: Emulator, name: str, transport: str) -> Iterator[set[str]]:
    """Let calls of another caller fail until the block ends; yield the codes they end with.

    The codes are complete when the block has ended.
    """
    failure, codes = FAILURES[name], set[str]()
    claims = {"exp": int(time.time()) - 3600} if failure.is_expired else {}
    metadata = site.token("mallory", **claims)
    failure.begin(aws)
    address = site.address_of(transport)
    with forked(run, address, transport, metadata, name) as messages:
        try:
            codes |= messages.recv()  # the first call has ended
            yield codes
        finally:
            while messages.poll():
                codes |= messages.recv()
            failure.end(aws)


@pytest.mark.parametrize(("name", "transport"), ROWS)
def test_failure_does_not_slow_or_fail_other_calls(
    site: GuardedServer, aws: Emulator, quiet: dict[str, Experience], name: str, transport: str
) -> None:
    failure: Failure = FAILURES[name]
    before = quiet[transport]
    slow: list[str] = []
    for _ in range(TRIES):
        with failing(site, aws, name, transport) as codes:
            during = measure(site, transport)
        assert during.failures == []
        assert codes, "the failing calls have not ended"
        assert codes <= failure.codes
        slow = during.slower_than(before)
        if not slow:
            return
        before = measure(site, transport)  # the machine may have become slower
    raise AssertionError(slow)
