"""The same as `test_random` over the wire: a real server and emulator, few rounds."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from random import Random
from typing import Any

import grpc
import pytest

from taskgate.v1 import task_pb2, task_service_pb2_grpc, task_watch_pb2
from taskgate_emulator import Emulator
from taskgate_emulator.control import AddedJob, AddedRun
from taskgate_emulator.core.clock import ManualClock
from taskgate_server.services.deadline import tasks as deadline
from taskgate_server.services.omics import tasks as omics
from tests.support.follower import Picture
from tests.support.running_server import running_server, settings_for
from tests.support.seeds import seeded

ROUNDS = 60
WATCHERS = 10
DEADLINE_WORDS = ["READY", "RUNNING", "SUCCEEDED", "FAILED", "INTERRUPTING", "CANCELED"]
OMICS_WORDS = ["STARTING", "RUNNING", "STOPPING", "COMPLETED", "FAILED", "CANCELLED"]
FAULTS = [
    ("deadline", "ListSteps", "InternalServerErrorException"),
    ("deadline", "ListTasks", "ThrottlingException"),
    ("deadline", "GetStep", "InternalServerErrorException"),
    ("deadline", "BatchGetTask", "InternalServerErrorException"),
    ("omics", "ListRunTasks", "ThrottlingException"),
    ("omics", "GetRunTask", "InternalServerException"),
]


class Truth:
    """What the emulator was instructed to have."""

    def __init__(self, aws: Emulator, random: Random) -> None:
        self.aws = aws
        self.random = random
        self.job: AddedJob = aws.jobs.add(steps=(30, 8))
        self.run: AddedRun = aws.runs.add(12)
        self.words: dict[str, str] = {}
        self.ids: dict[str, Mapping[str, str]] = {}
        for step, size in enumerate((30, 8)):
            for number in range(size):
                self._know(deadline.NAMES.format(self.job.task(number, step)), "READY")
                self.ids[deadline.NAMES.format(self.job.task(number, step))] = self.job.task(
                    number, step
                )
        for number in range(12):
            name = omics.NAMES.format(self.run.task(number))
            self._know(name, "RUNNING")
            self.ids[name] = self.run.task(number)
        self.job_name = next(iter(self.words)).rpartition("/steps/")[0]
        self.run_name = f"omics/runs/{self.run.run}"

    def _know(self, name: str, word: str) -> None:
        self.words[name] = word

    def happen(self) -> None:
        """One thing happens."""
        chance = self.random.random()
        if chance < 0.1:
            for task in self.aws.runs.add_tasks(self.run.run, 1):
                ids = {"id": self.run.run, "taskId": task}
                self.ids[omics.NAMES.format(ids)] = ids
                self._know(omics.NAMES.format(ids), "PENDING")
            return
        name = self.random.choice(list(self.words))
        is_omics = name.startswith("omics")
        control: Any = self.aws.runs if is_omics else self.aws.jobs
        if chance < 0.2:
            control.remove(self.ids[name])
            del self.words[name]
            return
        word = self.random.choice(OMICS_WORDS if is_omics else DEADLINE_WORDS)
        control.move(self.ids[name], word)
        self._know(name, word)

    def expected(self, request: task_watch_pb2.WatchTasksRequest) -> dict[str, str]:
        if request.parent:
            return {
                name: word
                for name, word in self.words.items()
                if name.startswith(f"{request.parent}/")
            }
        return {name: self.words[name] for name in request.names if name in self.words}

    def wrong(self, follower: Follower) -> dict[str, tuple[str | None, str | None]]:
        """Return the tasks that a follower sees otherwise than they are: its state, then theirs."""
        seen, expected = follower.words(), self.expected(follower.request)
        return {
            name: (seen.get(name), expected.get(name))
            for name in seen.keys() | expected.keys()
            if seen.get(name) != expected.get(name)
        }


class Follower:
    """Watches again and again, until it is right and nothing more is to come."""

    def __init__(
        self, stub: Any, request: task_watch_pb2.WatchTasksRequest, random: Random
    ) -> None:
        self.stub = stub
        self.request = request
        self.random = random
        self.picture = Picture()
        self.is_chaos = True
        self.streams = 0

    async def run(self) -> None:
        slowness = self.random.choice([0.0, 0.0, 0.05])
        while True:
            if self.random.random() < 0.3:
                self.picture = Picture()
            self.request.resume_token = self.picture.token
            self.picture.connect()
            self.streams += 1
            limit = self.random.uniform(0.2, 6) if self.is_chaos else 60
            try:
                async for response in self.stub.WatchTasks(self.request, timeout=limit):
                    self.picture.take(response)
                    await asyncio.sleep(slowness)
            except grpc.RpcError:
                await asyncio.sleep(0.05)

    def words(self) -> dict[str, str]:
        return {name: task.native_state for name, task in self.picture.tasks.items()}


@pytest.mark.parametrize("seed", [1, 2])
async def test_every_watcher_ends_with_the_actual_state(seed: int) -> None:
    random = seeded("watch", seed)
    with (
        Emulator(clock=ManualClock(), seed="empty") as aws,
        running_server(settings_for(aws.endpoint_url)) as address,
    ):
        truth = Truth(aws, random)
        async with grpc.aio.insecure_channel(str(address)) as channel:
            stub: Any = task_service_pb2_grpc.TaskServiceStub(channel)
            names = list(truth.words)
            requests = [
                task_watch_pb2.WatchTasksRequest(parent=truth.job_name),
                task_watch_pb2.WatchTasksRequest(parent=truth.run_name),
                task_watch_pb2.WatchTasksRequest(
                    parent=truth.run_name, view=task_pb2.TASK_VIEW_FULL
                ),
                task_watch_pb2.WatchTasksRequest(parent=names[0].rpartition("/tasks/")[0]),
                task_watch_pb2.WatchTasksRequest(names=random.sample(names, 20)),
            ]
            followers = [
                Follower(stub, requests[number % len(requests)], seeded("follower", number))
                for number in range(WATCHERS)
            ]
            running = [asyncio.ensure_future(follower.run()) for follower in followers]
            for _ in range(ROUNDS):
                await asyncio.sleep(random.uniform(0, 0.15))
                await asyncio.to_thread(truth.happen)
                if random.random() < 0.3:
                    aws.fail(*random.choice(FAULTS))
            for follower in followers:
                follower.is_chaos = False
            for service, operation, _ in FAULTS:
                aws.discard(service, operation)
            for _ in range(600):
                await asyncio.sleep(0.1)
                wrong = {str(each.request): truth.wrong(each) for each in followers}
                if not any(wrong.values()):
                    break
            for each in running:
                each.cancel()
            outcomes = await asyncio.gather(*running, return_exceptions=True)
        assert all(isinstance(each, asyncio.CancelledError) for each in outcomes), outcomes
        assert not any(wrong.values()), wrong
        assert sum(follower.streams for follower in followers) > 2 * WATCHERS
