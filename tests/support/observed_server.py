"""A server process on an emulator, its calls, and what it has open."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc

from taskgate.deadline.v1 import deadline_pb2, deadline_pb2_grpc
from taskgate.v1 import task_log_pb2, task_service_pb2, task_service_pb2_grpc, task_watch_pb2
from taskgate_emulator import Emulator
from taskgate_emulator.seeds import ids as seed
from tests.support.demo_names import JOB, RUNNING
from tests.support.metered_server import MeteredServer
from tests.support.server_process import ServerProcess, running_process

SECONDS = 4.0
SETTINGS = {
    "TASKGATE_ADMIN_PORT": "0",
    # A hang ends before the caller's deadline, and each attempt reaches AWS.
    "TASKGATE_AWS__DEADLINE__READ_TIMEOUT_SECONDS": "1",
    "TASKGATE_AWS__DEADLINE__CIRCUIT_BREAKER": "false",
    "TASKGATE_AWS__DEADLINE__QUOTAS": "off",
    "TASKGATE_DRAIN_SECONDS": "2",
}


POOLS = 6
"""Threads and connections that may be there for the next calls to AWS."""


@dataclass(frozen=True)
class OpenResources:
    """What a server process has open, which a fault must not leave behind."""

    threads: int
    files: int
    tasks: int
    rpcs: int
    pollers: int
    watchers: int
    waiting: int


class ObservedServer:
    """A server process, with stubs for it and access to its metrics."""

    def __init__(self, aws: Emulator, server: ServerProcess, address: str, metrics: str) -> None:
        self.aws, self.server, self.address = aws, server, address
        self.bugs: list[str] = []
        """Lines of the server's log that report a bug."""
        self.metrics = MeteredServer(address, metrics)
        self.channel = grpc.insecure_channel(address, (("grpc.use_local_subchannel_pool", 1),))
        self.tasks: Any = task_service_pb2_grpc.TaskServiceStub(self.channel)
        self.deadline: Any = deadline_pb2_grpc.DeadlineServiceStub(self.channel)

    def read(self, seconds: float = SECONDS) -> None:
        self.tasks.GetTask(task_service_pb2.GetTaskRequest(name=RUNNING), timeout=seconds)

    def write(self, seconds: float = SECONDS) -> None:
        """Write without a client token in AWS's model, so that it must not be repeated."""
        request = deadline_pb2.UpdateFarmRequest(farm_id=seed.FARM_ID, description="x")
        self.deadline.UpdateFarm(request, timeout=seconds)

    def log(self, seconds: float = SECONDS) -> None:
        request = task_log_pb2.StreamTaskLogsRequest(name=RUNNING)
        for _ in self.tasks.StreamTaskLogs(request, timeout=seconds):
            pass

    def watch(self, seconds: float) -> Any:
        return self.watch_parent(JOB, seconds)

    def watch_parent(self, parent: str, seconds: float = 30.0) -> Any:
        request = task_watch_pb2.WatchTasksRequest(parent=parent)
        request.heartbeat_interval.FromSeconds(1)
        return self.tasks.WatchTasks(request, timeout=seconds)

    def left(self) -> OpenResources:
        pid = self.server.process.pid
        families = self.metrics.families()

        def value(name: str) -> int:
            return int(sum(sample.value for sample in families[name].samples))

        return OpenResources(
            threads=len(list(Path(f"/proc/{pid}/task").iterdir())),
            files=len(list(Path(f"/proc/{pid}/fd").iterdir())),
            tasks=value("taskgate_event_loop_tasks"),
            rpcs=value("taskgate_rpcs_in_flight"),
            pollers=value("taskgate_pollers"),
            watchers=value("taskgate_watchers"),
            waiting=value("taskgate_quota_waiting") + value("taskgate_batch_waiting"),
        )


@contextmanager
def observed_server(**more: str) -> Iterator[ObservedServer]:
    with Emulator() as aws, ExitStack() as stack:
        logs = {"TASKGATE_AWS__DEADLINE__LOGS_ENDPOINT_URL": aws.endpoint_url}
        server = stack.enter_context(running_process(aws, **{**SETTINGS, **logs, **more}))
        metrics = f"http://{server.line('listening for admin')[0]['address']}/metrics"
        address: str = server.line("listening")[0]["address"]
        assert server.process.stderr is not None
        observed = ObservedServer(aws, server, address, metrics)
        log = server.process.stderr
        # A pipe that is not read would block the server.
        reader = threading.Thread(
            target=lambda: observed.bugs.extend(line for line in log if '"message": "bug"' in line)
        )
        reader.start()
        yield observed
        observed.channel.close()
        server.process.kill()
        reader.join()


def quiet(observed: ObservedServer) -> bool:
    """Return whether no call, watch or other work is left; a poller stays for a minute."""
    left = observed.left()
    return (left.rpcs, left.watchers, left.waiting) == (0, 0, 0)


def leaks(before: OpenResources, after: OpenResources) -> list[str]:
    """Describe what a fault has left behind."""
    exact = ["rpcs", "pollers", "watchers", "waiting", "tasks"]
    pooled = ["threads", "files"]
    return [
        *(name for name in exact if getattr(after, name) > getattr(before, name)),
        *(name for name in pooled if getattr(after, name) > getattr(before, name) + POOLS),
    ]
