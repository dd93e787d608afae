"""Calls to AWS that hang: their callers' time bounds them, and AWS's return is noticed at once."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import grpc
import pytest

from taskgate.deadline.v1 import deadline_pb2_grpc
from taskgate_server.config import AwsSettings
from tests.support.failing_upstream import FailingUpstream, read
from tests.support.running_server import REGION, running_server, settings_for

pytestmark = pytest.mark.timed

OUTAGES = [float(text) for text in os.environ.get("OUTAGE_SECONDS", "3,7").split(",")]
CALLERS = 80
"""More than there are threads."""
RECOVERY_SECONDS = 2.0


@pytest.fixture
def upstream() -> Iterator[FailingUpstream]:
    with FailingUpstream() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield server
        server.over.set()
        server.shutdown()
        thread.join()


def settings(upstream: FailingUpstream, **more: object) -> AwsSettings:
    url = f"http://127.0.0.1:{upstream.server_address[1]}"
    return AwsSettings.model_validate({"region": REGION, "endpoint_url": url, **more})


@contextmanager
def serving(aws: AwsSettings) -> Iterator[grpc.Channel]:
    values = settings_for(str(aws.endpoint_url), aws={"deadline": aws, "omics": aws})
    with running_server(values) as address, grpc.insecure_channel(str(address)) as channel:
        yield channel


def hang(upstream: FailingUpstream) -> None:
    upstream.fault, upstream.share = "hang", 1.0


def took(call: Callable[[], object]) -> float:
    began = time.monotonic()
    call()
    return time.monotonic() - began


def until_ok(stub: Any) -> list[str]:
    """How the reads of a new caller end until one succeeds, or the time for it is over."""
    ended = time.monotonic()
    seen: list[str] = []
    while (left := ended + RECOVERY_SECONDS - time.monotonic()) > 0 and seen[-1:] != ["OK"]:
        seen.append(read(stub, CALLERS, left))
    return seen


@pytest.mark.parametrize("caller_seconds", [1.5, 15.0])
@pytest.mark.parametrize("tasks", [CALLERS, 1])
@pytest.mark.parametrize("outage_seconds", OUTAGES)
def test_calls_succeed_soon_after_a_hang_of_aws(
    upstream: FailingUpstream, tasks: int, caller_seconds: float, outage_seconds: float
) -> None:
    """80 callers call all the time; AWS hangs for a while and never answers the calls it had."""
    over = threading.Event()
    with serving(settings(upstream, quotas="off")) as channel:
        stub = deadline_pb2_grpc.DeadlineServiceStub(channel)

        def repeat(number: int) -> None:
            while not over.is_set():
                read(stub, number % tasks, caller_seconds)
                over.wait(0.05)

        with ThreadPoolExecutor(CALLERS) as callers:
            for number in range(CALLERS):
                callers.submit(repeat, number)
            hang(upstream)
            time.sleep(outage_seconds)  # that is how long AWS is out
            upstream.share = 0.0
            seen = until_ok(stub)
            over.set()
            upstream.over.set()
    assert seen[-1] == "OK", seen
