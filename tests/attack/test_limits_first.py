"""Caches and the log filled by callers: limits come before work, and lines are short and few."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from taskgate.v1 import task_service_pb2, task_service_pb2_grpc, task_update_pb2
from tests.attack.conftest import Sites
from tests.support.demo_names import RUNNING, STEP
from tests.support.guarded_process import GuardedServer, Metadata, ended
from tests.support.polling import wait_until

pytestmark = pytest.mark.alone

CALLS = 300
SLOW = {"caller_calls_per_second": "1"}
MAX_LINE = 2048


def codes_of(
    site: GuardedServer, make: Callable[[int], tuple[Any, Metadata]], calls: int
) -> Counter[str]:
    """Return how some reads end, sent one after the other on one connection."""
    codes: Counter[str] = Counter()
    with site.channel() as channel:
        stub: Any = task_service_pb2_grpc.TaskServiceStub(channel)
        for number in range(calls):
            request, metadata = make(number)
            codes[ended(partial(stub.GetTask, request, metadata=metadata, timeout=20))] += 1
    return codes


def long_targets(site: GuardedServer) -> tuple[Counter[str], int, int]:
    """Return the codes of calls for targets with long names, and the growth of memory and log."""
    token = site.token("mallory")
    request = task_service_pb2.GetTaskRequest(name=RUNNING)

    def make(number: int) -> tuple[Any, Metadata]:
        return request, (*token, ("taskgate-target", f"{number:05}" + "t" * 28_000))

    rss, logged = site.rss(), site.log_bytes()
    codes = codes_of(site, make, CALLS)
    return codes, site.rss() - rss, site.log_bytes() - logged


def test_a_long_target_is_limited_and_not_logged(sites: Sites) -> None:
    site = sites(**SLOW)
    first = long_targets(site)[1]
    codes, again, logged = long_targets(site)
    assert codes["RESOURCE_EXHAUSTED"] > 0.8 * CALLS
    assert min(first, again) < 8 * 1024 * 1024  # what is retained once is not retained again
    assert logged < 400 * CALLS
    assert max(map(len, site.lines)) <= MAX_LINE


def test_without_the_defence_a_long_target_is_logged(sites: Sites) -> None:
    site = sites(weakness="work_before_limits", **SLOW)
    codes, _, logged = long_targets(site)
    assert codes["RESOURCE_EXHAUSTED"] == 0
    assert logged > 20_000 * CALLS


def invalid_tokens(site: GuardedServer) -> tuple[Counter[str], int]:
    """Return the codes of calls with distinct invalid tokens, and the growth of the log."""
    request = task_service_pb2.GetTaskRequest(name=RUNNING)
    tokens = [site.token(f"mallory-{number}", aud="another") for number in range(CALLS)]
    logged = site.log_bytes()
    codes = codes_of(site, lambda number: (request, tokens[number]), CALLS)
    return codes, site.log_bytes() - logged


def test_few_invalid_tokens_of_an_address_are_verified(sites: Sites) -> None:
    site = sites()
    known = site.token("alice")
    assert site.get(known) == "OK"
    began = time.monotonic()
    codes, logged = invalid_tokens(site)
    allowed = 50 * (time.monotonic() - began + 1) + 5
    assert codes["UNAUTHENTICATED"] <= min(allowed, CALLS - 1), codes
    assert codes["UNAUTHENTICATED"] + codes["RESOURCE_EXHAUSTED"] == CALLS
    assert logged < 800 * 60
    assert site.get(known) == "OK", "a caller that is known is served from the same address"


def test_without_the_defence_all_are_verified(sites: Sites) -> None:
    site = sites(weakness="unlimited_failures")
    assert invalid_tokens(site)[0] == {"UNAUTHENTICATED": CALLS}


def audit_of(site: GuardedServer) -> list[str]:
    return [line for line in site.lines if '"taskgate.audit"' in line]


def test_the_audit_of_a_large_batch_is_complete_in_short_lines(sites: Sites) -> None:
    names = [f"{STEP}/tasks/task-{number:032x}-0" for number in range(200)]
    updates = [
        task_update_pb2.TaskUpdate(name=name, action=task_update_pb2.TASK_ACTION_CANCEL)
        for name in names
    ]
    request = task_update_pb2.BatchUpdateTasksRequest(updates=updates, reason="\x1b\u2028" * 2000)
    site = sites()
    with site.channel() as channel:
        stub: Any = task_service_pb2_grpc.TaskServiceStub(channel)
        stub.BatchUpdateTasks(request, metadata=site.token("alice", "all"), timeout=20)
    ids = [name.rpartition("/")[2] for name in names]
    wait_until(lambda: all(any(each in line for line in audit_of(site)) for each in ids))
    assert max(map(len, audit_of(site))) <= MAX_LINE
