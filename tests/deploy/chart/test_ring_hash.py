"""One replica for one job: three behind the chart's Envoy, watched, and one of them killed."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from taskgate.v1 import task_service_pb2_grpc, task_watch_pb2
from taskgate_emulator import Emulator, ManualClock
from taskgate_server.services.deadline import tasks as deadline
from tests.deploy.chart.cluster import Cluster, running_cluster
from tests.support.background_callers import Background, Watcher
from tests.support.polling import wait_until
from tests.support.replicas import SECONDS

pytestmark = [pytest.mark.chart, pytest.mark.alone]

JOBS = 12
WATCHERS = 3
"""Of each job."""
TASKS = 20
CHANGE_SECONDS = 0.02


class Jobs(Background):
    """Jobs whose tasks change in turn until stopped."""

    def __init__(self, aws: Emulator) -> None:
        self._aws = aws
        self._jobs = [aws.jobs.add(steps=(TASKS,), status="READY") for _ in range(JOBS)]
        self.names = [
            deadline.NAMES.format(job.task(0)).rpartition("/steps/")[0] for job in self._jobs
        ]
        self.changes: dict[str, list[tuple[str, str]]] = {name: [] for name in self.names}
        super().__init__()

    def _run(self) -> None:
        for number in range(TASKS):
            for name, job in zip(self.names, self._jobs, strict=True):
                if self._stop.wait(CHANGE_SECONDS):
                    return
                self._aws.jobs.move(job.task(number), "RUNNING")
                self.changes[name].append((deadline.NAMES.format(job.task(number)), "RUNNING"))


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    """One for each test: pollers stay for a minute after the last of their watchers."""
    with Emulator(clock=ManualClock()) as aws, running_cluster(aws, tmp_path) as cluster:
        yield cluster


def watch(cluster: Cluster, jobs: Jobs, count: int, stack: ExitStack) -> dict[str, list[Watcher]]:
    """So many watchers of each job, each with a connection of its own."""
    return {
        name: [stack.enter_context(Watcher(cluster.client(), name)) for _ in range(count)]
        for name in jobs.names
    }


def settled(cluster: Cluster, watchers: int) -> tuple[list[int], list[int]]:
    """How many pollers and watchers each replica has, once there are so many of the latter."""
    wait_until(lambda: sum(cluster.count("taskgate_watchers")) == watchers)
    return cluster.count("taskgate_pollers"), cluster.count("taskgate_watchers")


def assert_each_job_is_at_one_replica(cluster: Cluster) -> None:
    """Watches new jobs: each is polled once, so all of its watchers are where that is."""
    jobs = Jobs(cluster.aws)
    wait_until(lambda: sum(cluster.count("taskgate_watchers")) == 0)
    there = cluster.count("taskgate_pollers")
    with ExitStack() as stack:
        watch(cluster, jobs, WATCHERS, stack)
        all_pollers, watchers = settled(cluster, JOBS * WATCHERS)
    pollers = [now - then for then, now in zip(there, all_pollers, strict=True)]
    assert sum(pollers) == JOBS
    assert watchers == [WATCHERS * count for count in pollers]
    assert max(pollers) < JOBS, "the ring has all jobs at one replica"


def test_watchers_of_a_job_share_a_replica(cluster: Cluster) -> None:
    assert_each_job_is_at_one_replica(cluster)


def test_calls_without_a_parent_are_spread(cluster: Cluster) -> None:
    jobs = Jobs(cluster.aws)
    stub: Any = task_service_pb2_grpc.TaskServiceStub(cluster.channel())
    request = task_watch_pb2.WatchTasksRequest(parent=jobs.names[0])
    calls = [stub.WatchTasks(request) for _ in range(JOBS)]
    pollers, watchers = settled(cluster, JOBS)
    for call in calls:
        call.cancel()
    assert sum(1 for count in pollers if count) > 1
    assert sum(watchers) == JOBS


def test_watchers_of_a_killed_replica_resume_without_losing_changes(cluster: Cluster) -> None:
    jobs = Jobs(cluster.aws)
    with ExitStack() as stack:
        watchers = watch(cluster, jobs, WATCHERS, stack)
        before, watched = settled(cluster, JOBS * WATCHERS)
        victim = before.index(max(before))
        with jobs:
            time.sleep(1)
            cluster.servers[victim].send_signal(signal.SIGKILL)
            assert cluster.servers[victim].wait() == -signal.SIGKILL
            wait_until(lambda: cluster.known() == len(cluster.servers) - 1)
            after, _ = settled(cluster, JOBS * WATCHERS)
            time.sleep(1)
        assert_all_is_seen(watchers, jobs)
    everyone = [each for some in watchers.values() for each in some]
    assert [each.error for each in everyone] == [None] * len(everyone)
    # Those of the others did not notice.
    assert sum(1 for each in everyone if each.breaks) == watched[victim]
    assert after[victim] == 0
    # In the second until Envoy knew, its retries may have put watchers of a job at either of both.
    assert JOBS <= sum(after) <= JOBS + before[victim]
    assert_each_job_is_at_one_replica(cluster)
    # It has its jobs again when it is back: the ring is of addresses, and this one has its own.
    cluster.servers[victim] = cluster.start(victim)
    cluster.wait(victim)
    wait_until(lambda: cluster.known() == len(cluster.servers))
    with ExitStack() as stack:
        watch(cluster, jobs, WATCHERS, stack)
        assert settled(cluster, JOBS * WATCHERS)[1] == watched


def assert_all_is_seen(watchers: dict[str, list[Watcher]], jobs: Jobs) -> None:
    """Wait until each watch has reported all changes of its job."""
    limit = time.monotonic() + SECONDS

    def lacking() -> list[Any]:
        return [
            (each.error, each.breaks, lacks)
            for name, some in watchers.items()
            for each in some
            if (lacks := each.lacks(jobs.changes[name]))
        ]

    while lacking() and time.monotonic() < limit:
        time.sleep(0.05)
    assert lacking() == []
    assert min(map(len, jobs.changes.values())) > 5
