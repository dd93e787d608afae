"""`make soak`: mixed calls and random faults for a long time; does the server stay as it is?

A real server process on a local AWS. Its memory, threads, files, asyncio tasks, pollers and
watchers are looked at each second; in the end they must be what they were in the second third, and
when the calls have ended, nothing may be left. A status that no fault explains ends it at once.
"""

from __future__ import annotations

import argparse
import os
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import astuple, dataclass, field
from random import Random
from statistics import median
from typing import Any

import grpc

from taskgate.deadline.v1 import deadline_pb2
from taskgate.v1 import (
    task_log_pb2,
    task_pb2,
    task_service_pb2,
    task_update_pb2,
    task_watch_pb2,
)
from taskgate_emulator.control import AddedJob
from taskgate_emulator.seeds import ids as seed
from tests.support.observed_server import ObservedServer, OpenResources, observed_server
from tests.support.polling import becomes_true

CALLERS = 12
OMICS_SHARE = 0.2
FAULTY_SHARE = 0.6
"""Of the seconds."""
TASKS = 300
FAULTS = ("throttle", "internal", "unavailable", "latency", "reset", "cut", "garbage", "hang")
EXPLAINED = {
    grpc.StatusCode.RESOURCE_EXHAUSTED,
    grpc.StatusCode.INTERNAL,
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.DEADLINE_EXCEEDED,
    grpc.StatusCode.UNKNOWN,
    grpc.StatusCode.CANCELLED,
}
"""By the faults; the server's own count of bugs shows that none of them is a bug."""

RSS_SHARE, RSS_BYTES = 0.05, 8 * 2**20
GROWTH = OpenResources(
    threads=4, files=16, tasks=60, rpcs=CALLERS, pollers=4, watchers=CALLERS, waiting=40
)
"""How much more there may be at the end: the load is not the same in each second."""


@dataclass
class Load:
    """What callers do."""

    place: ObservedServer
    job: AddedJob
    over: threading.Event = field(default_factory=threading.Event)
    outcomes: Counter[str] = field(default_factory=Counter)
    strange: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        ids = self.job.ids
        self.parent = f"deadline/farms/{ids['farmId']}/queues/{ids['queueId']}/jobs/{ids['jobId']}"

    def _name(self, random: Random) -> str:
        if random.random() < OMICS_SHARE:
            return f"omics/runs/{seed.RUN_ID}/tasks/{seed.CPU_TASK_ID}"
        return self._deadline_name(random)

    def _deadline_name(self, random: Random) -> str:
        ids = self.job.task(random.randrange(TASKS))
        return f"{self.parent}/steps/{ids['stepId']}/tasks/{ids['taskId']}"

    def run(self, number: int) -> None:
        """Run one caller until the end."""
        random = Random(number)  # noqa: S311  # the same calls each time
        actions: Sequence[Callable[[Random], None]] = (
            *[self._get] * 6,
            *[self._batch] * 2,
            self._list,
            self._aws,
            self._write,
            self._watch_a_while,
            self._wait,
            self._log,
            self._give_up,
            self._read_slowly,
        )
        while not self.over.is_set():
            action = random.choice(actions)
            try:
                action(random)
                self.outcomes["OK"] += 1
            except grpc.RpcError as error:
                self.outcomes[str(error.code().name)] += 1
                if error.code() not in EXPLAINED:
                    self.strange.append(f"{action.__name__}: {error.code()}: {error.details()}")
            self.over.wait(random.uniform(0, 0.05))

    def _get(self, random: Random) -> None:
        request = task_service_pb2.GetTaskRequest(name=self._name(random))
        request.max_age.FromMilliseconds(random.choice((0, 500, 5000)))
        self.place.tasks.GetTask(request, timeout=3)

    def _batch(self, random: Random) -> None:
        names = list({self._name(random) for _ in range(40)})
        request = task_service_pb2.BatchGetTasksRequest(names=names)
        self.place.tasks.BatchGetTasks(request, timeout=3)

    def _list(self, _: Random) -> None:
        request = task_service_pb2.ListTasksRequest(parent=self.parent, page_size=200)
        self.place.tasks.ListTasks(request, timeout=3)

    def _aws(self, _: Random) -> None:
        self.place.deadline.GetFarm(
            deadline_pb2.GetFarmRequest(farm_id=seed.FARM_ID),
            timeout=3,
            metadata=(("taskgate-max-age", "0"),),
        )

    def _write(self, random: Random) -> None:
        update = task_update_pb2.TaskUpdate(
            name=self._deadline_name(random),
            action=task_update_pb2.TASK_ACTION_RETRY,
        )
        request = task_update_pb2.BatchUpdateTasksRequest(updates=[update])
        self.place.tasks.BatchUpdateTasks(request, timeout=3)

    def _watch_a_while(self, random: Random) -> None:
        events = self._watch()
        give_up_at = time.monotonic() + random.uniform(0, 3)
        for _ in events:
            if time.monotonic() > give_up_at or self.over.is_set():
                break
        events.cancel()

    def _read_slowly(self, random: Random) -> None:
        events = self._watch()
        next(events)
        self.over.wait(random.uniform(0, 2))
        events.cancel()

    def _watch(self) -> Any:
        request = task_watch_pb2.WatchTasksRequest(parent=self.parent)
        request.heartbeat_interval.FromSeconds(1)
        return self.place.tasks.WatchTasks(request, timeout=10)

    def _wait(self, random: Random) -> None:
        request = task_watch_pb2.WaitTaskRequest(
            name=self._name(random), states=[task_pb2.TASK_STATE_SUCCEEDED]
        )
        self.place.tasks.WaitTask(request, timeout=random.uniform(0.2, 2))

    def _log(self, _: Random) -> None:
        name = f"omics/runs/{seed.RUN_ID}/tasks/{seed.CPU_TASK_ID}"
        for _line in self.place.tasks.StreamTaskLogs(
            task_log_pb2.StreamTaskLogsRequest(name=name), timeout=3
        ):
            pass

    def _give_up(self, random: Random) -> None:
        request = task_service_pb2.GetTaskRequest(name=self._name(random))
        call = self.place.tasks.GetTask.future(request, timeout=3)
        self.over.wait(random.uniform(0, 0.01))
        call.cancel()

    def disturb(self) -> None:
        """Move tasks, and inject and clear faults."""
        random = Random(0)  # noqa: S311  # the same faults each time
        words = ("READY", "RUNNING", "SUCCEEDED", "FAILED", "CANCELED")
        aws = self.place.aws
        while not self.over.is_set():
            aws.faults.clear()
            if random.random() < FAULTY_SHARE:
                aws.faults.add(
                    kind=random.choice(FAULTS), probability=random.uniform(0.02, 0.3), seconds=0.2
                )
            for _ in range(20):
                aws.jobs.move(self.job.task(random.randrange(TASKS)), random.choice(words))
            self.over.wait(1)
        aws.faults.clear()


@dataclass(frozen=True)
class Sample:
    """A look at the server."""

    rss: float
    left: OpenResources


def look(place: ObservedServer) -> Sample:
    """Return what is open now."""
    return Sample(place.metrics.value("process_resident_memory_bytes"), place.left())


def faults_of(samples: Sequence[Sample]) -> list[str]:
    """Describe what has grown."""
    third = len(samples) // 3
    first, last = samples[third : 2 * third], samples[-third:]
    faults = []
    before, after = (median(each.rss for each in part) for part in (first, last))
    if after > before * (1 + RSS_SHARE) + RSS_BYTES:
        faults.append(f"memory: {before / 2**20:.1f} -> {after / 2**20:.1f} MiB")
    names = list(OpenResources.__dataclass_fields__)
    columns = [
        list(zip(*(astuple(each.left) for each in part), strict=True)) for part in (first, last)
    ]
    for name, allowed, old, new in zip(names, astuple(GROWTH), *columns, strict=True):
        if median(new) > median(old) + allowed:
            faults.append(f"{name}: {median(old)} -> {median(new)}")
    return faults


def soak(minutes: float) -> int:
    """Run the soak; return the exit status."""
    os.environ.setdefault("AWS_ACCESS_KEY_ID", "any")
    os.environ.setdefault("AWS_SECRET_ACCESS_KEY", "any")
    with observed_server(TASKGATE_DEFAULT_MAX_AGE_SECONDS="1") as place:
        place.read()
        load = Load(place, place.aws.jobs.add([TASKS]))
        threads = [threading.Thread(target=load.run, args=(each,)) for each in range(CALLERS)]
        threads.append(threading.Thread(target=load.disturb))
        for thread in threads:
            thread.start()
        samples: list[Sample] = []
        end = time.monotonic() + minutes * 60
        while time.monotonic() < end and not load.strange:
            samples.append(look(place))
            if len(samples) % 30 == 1:
                sys.stdout.write(f"{samples[-1].rss / 2**20:6.1f} MiB  {samples[-1].left}\n")
                sys.stdout.flush()
            time.sleep(1)
        load.over.set()
        for thread in threads:
            thread.join()
        faults = [*load.strange[:10], *faults_of(samples)]
        idle = becomes_true(lambda: (place.left().rpcs, place.left().watchers) == (0, 0))
        if not idle:
            faults.append(f"after the last call there is {place.left()}")
        bugs = place.metrics.value("taskgate_bugs_total")
        if bugs:
            faults.append(f"{bugs:.0f} bugs in the log")
            faults += [line[:4000] for line in place.bugs[:4]]
        sys.stdout.write(f"{dict(load.outcomes)}\n")
        sys.stdout.write("\n".join(faults or ["flat, and nothing is left"]) + "\n")
    return 1 if faults else 0


def main() -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=30)
    return soak(parser.parse_args().minutes)


if __name__ == "__main__":
    sys.exit(main())
