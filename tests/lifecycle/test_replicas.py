"""Three replicas under load, behind Envoy and behind gRPC's own round robin: none is missed."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from typing import Any

import grpc
import pytest

from taskgate_client import Client, connect
from taskgate_client.service_config import service_config
from taskgate_emulator import Emulator, ManualClock
from tests.support.background_callers import Caller, Watcher
from tests.support.replica_load import OWN_CONNECTION, WITHOUT_RETRIES, ChangingJob, task_calls
from tests.support.replicas import SECONDS, Replicas, running_replicas

pytestmark = pytest.mark.timed


@pytest.fixture(scope="module")
def replicas(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Replicas]:
    with (
        Emulator(clock=ManualClock()) as aws,
        running_replicas(aws, tmp_path_factory.mktemp("replicas")) as replicas,
    ):
        yield replicas


def channels(replicas: Replicas, stack: ExitStack, *options: Any) -> dict[str, grpc.Channel]:
    """A way through Envoy and one to all replicas in turn."""
    config = ("grpc.service_config", service_config(balance=True))
    return {
        "Envoy": stack.enter_context(
            grpc.insecure_channel(replicas.envoy, options=(OWN_CONNECTION, *options))
        ),
        "round robin": stack.enter_context(
            grpc.insecure_channel(replicas.addresses, options=(OWN_CONNECTION, config, *options))
        ),
    }


def clients(replicas: Replicas, stack: ExitStack) -> dict[str, Client]:
    return {
        "Envoy": stack.enter_context(connect(replicas.envoy)),
        "round robin": stack.enter_context(connect(replicas.addresses, balance=True)),
    }


def assert_all_is_seen(watchers: list[Watcher], farm: ChangingJob) -> None:
    """Wait until each watch has received all changes."""
    limit = time.monotonic() + SECONDS
    while any(each.lacks(farm.changes) for each in watchers) and time.monotonic() < limit:
        time.sleep(0.05)
    for each in watchers:
        assert not each.lacks(farm.changes), (each.error, each.breaks, each.lacks(farm.changes))


def test_a_rolling_restart_fails_no_call_and_loses_no_change(replicas: Replicas) -> None:
    with ExitStack() as stack:
        farm = ChangingJob(replicas.aws)
        callers = [
            stack.enter_context(Caller(f"{way} {what}", call))
            for way, channel in channels(replicas, stack, WITHOUT_RETRIES).items()
            for what, call in task_calls(channel, farm).items()
        ]
        watchers = [
            stack.enter_context(Watcher(client, farm.parent))
            for client in clients(replicas, stack).values()
            for _ in range(2)
        ]
        with farm:
            for index in range(3):
                assert replicas.served[index].stop() == 0
                stopped = replicas.served[index].lines("stopped")
                assert [line["cut"] for line in stopped] == [0]
                replicas.served[index].close()
                replicas.served[index] = replicas.start(index)
                replicas.wait(index)
        assert_all_is_seen(watchers, farm)
    assert [each.failures for each in callers] == [[] for _ in callers]
    assert min(each.calls for each in callers) > 100
    assert len(farm.changes) > 20
    assert [each.error for each in watchers] == [None] * len(watchers)
    # Each replica was restarted, so each watch had to move.
    assert all(each.breaks for each in watchers)
    assert {each.reason for watcher in watchers for each in watcher.breaks} == {"SERVER_STOPPING"}


def test_killed_replica_fails_only_its_own_calls(replicas: Replicas) -> None:
    with ExitStack() as stack:
        farm = ChangingJob(replicas.aws)
        bare = [
            stack.enter_context(Caller(f"{way} {what}", call, pause=0))
            for way, channel in channels(replicas, stack, WITHOUT_RETRIES).items()
            for what, call in task_calls(channel, farm).items()
        ]
        reads = [
            stack.enter_context(Caller(way, partial(client.get_task, farm.read, max_age=0)))
            for way, client in clients(replicas, stack).items()
        ]
        watchers = [
            stack.enter_context(Watcher(client, farm.parent))
            for client in clients(replicas, stack).values()
        ]
        with farm:
            time.sleep(0.5)
            replicas.served[1].stop(signal.SIGKILL)
            gone = time.monotonic()
            time.sleep(1.5)
        assert_all_is_seen(watchers, farm)
    replicas.served[1].close()
    replicas.served[1] = replicas.start(1)
    replicas.wait(1)
    assert [each.failures for each in reads] == [[], []]
    failures = [failure for each in bare for failure in each.failures]
    # Some were in the air, and perhaps some more before word of the end had come.
    assert [each for each in failures if each.began > gone + 0.1] == []
    assert [each.error for each in watchers] == [None] * len(watchers)
