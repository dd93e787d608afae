"""What runs against replicas while they restart: a job whose tasks change, reads and a write."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import grpc

from taskgate.v1 import task_service_pb2, task_service_pb2_grpc, task_update_pb2
from taskgate_emulator import Emulator
from taskgate_server.services.deadline import tasks as deadline
from tests.support.background_callers import Background

CHANGE_SECONDS = 0.25
TASKS = 150


class ChangingJob(Background):
    """A job whose tasks change one after the other, and two tasks to read and to write."""

    def __init__(self, aws: Emulator) -> None:
        self._aws = aws
        self.job = aws.jobs.add(steps=(TASKS,), status="READY")
        other = aws.jobs.add(steps=(4,), status="READY")
        self.parent = deadline.NAMES.format(self.job.task(0)).rpartition("/steps/")[0]
        self.read, self.written = (deadline.NAMES.format(other.task(each)) for each in (0, 1))
        self.changes: list[tuple[str, str]] = []
        super().__init__()

    def _run(self) -> None:
        for number in range(TASKS):
            if self._stop.wait(CHANGE_SECONDS):
                return
            self._aws.jobs.move(self.job.task(number), "RUNNING")
            self.changes.append((deadline.NAMES.format(self.job.task(number)), "RUNNING"))


WITHOUT_RETRIES = ("grpc.enable_retries", 0)
OWN_CONNECTION = ("grpc.use_local_subchannel_pool", 1)


def task_calls(channel: grpc.Channel, job: ChangingJob) -> dict[str, Callable[[], object]]:
    """Return calls: a read that reaches AWS, a read that may be shared, and a write."""
    stub: Any = task_service_pb2_grpc.TaskServiceStub(channel)
    fresh = task_service_pb2.GetTaskRequest(name=job.read)
    fresh.max_age.FromSeconds(0)
    shared = task_service_pb2.GetTaskRequest(name=job.read)
    write = task_update_pb2.SuspendTaskRequest(name=job.written)
    return {
        "fresh": lambda: stub.GetTask(fresh, timeout=10),
        "shared": lambda: stub.GetTask(shared, timeout=10),
        "write": lambda: stub.SuspendTask(write, timeout=10),
    }
