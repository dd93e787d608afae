"""AWS in memory, for pollers on a virtual clock: a job and a run whose tasks move, come and go.

Calls take time, their responses are of a moment in between, pages shift while they are read, and
a share of the calls fails.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping
from random import Random
from typing import Any

from grpc import StatusCode

from taskgate.v1 import task_pb2
from taskgate_server.errors import TaskgateError
from taskgate_server.rpc import handlers
from taskgate_server.services.deadline.spec import SPEC as DEADLINE
from taskgate_server.services.omics.spec import SPEC as OMICS
from taskgate_server.services.spec import ServiceSpec
from taskgate_server.tasks.backend import Backends, load_backend
from taskgate_server.upstream.aws_client.sender import AwsResponse
from taskgate_server.upstream.options import CallOptions

FARM, QUEUE, JOB = (f"{kind}-{'0' * 31}1" for kind in ("farm", "queue", "job"))
JOB_NAME = f"deadline/farms/{FARM}/queues/{QUEUE}/jobs/{JOB}"
RUN_NAME = "omics/runs/1001"
TO_NATIVE = {
    spec.name: handlers.load_operations(spec)[load_backend(spec).names.operation].to_message
    for spec in (DEADLINE, OMICS)
}
SETTLED = {"SUCCEEDED", "FAILED", "CANCELED", "COMPLETED", "CANCELLED"}
NEXT = {
    "deadline": {
        "PENDING": ["READY"],
        "READY": ["STARTING", "RUNNING", "CANCELED"],
        "STARTING": ["RUNNING"],
        "RUNNING": ["SUCCEEDED", "FAILED", "READY", "INTERRUPTING"],
        "INTERRUPTING": ["CANCELED"],
        "SUCCEEDED": ["READY", "PENDING"],
        "FAILED": ["READY"],
        "CANCELED": ["READY"],
    },
    "omics": {
        "PENDING": ["STARTING"],
        "STARTING": ["RUNNING"],
        "RUNNING": ["STOPPING"],
        "STOPPING": ["COMPLETED", "FAILED", "CANCELLED"],
        "COMPLETED": [],
        "FAILED": [],
        "CANCELLED": [],
    },
}


def failure(code: StatusCode, reason: str = "TEST") -> TaskgateError:
    return TaskgateError(code=code, message="caused by a test", reason=reason)


def step_id(number: int) -> str:
    return f"step-{number:032x}"


class World:
    """Tasks by name: AWS's JSON of each."""

    def __init__(self, random: Random, latency: float = 0.05, page: int = 5) -> None:
        self.random = random
        self.latency = latency
        self.page = page
        self.tasks: dict[str, dict[str, Any]] = {}
        self.steps: dict[str, dict[str, Any]] = {}
        self.parents = {JOB_NAME, RUN_NAME}
        self.fault_share = 0.0
        self.run_status: str | None = None
        """The status of the run itself; None if it follows from its tasks."""
        self.calls: Counter[str] = Counter()
        self.numbers = 0
        self.backends = Backends(
            {
                spec.name: load_backend(spec)(Gateway(self, spec), TO_NATIVE[spec.name])  # type: ignore[arg-type]  # a fake
                for spec in (DEADLINE, OMICS)
            }
        )

    # --- Changes ---------------------------------------------------------------------------

    def add_step(self) -> str:
        self.numbers += 1
        name = f"{JOB_NAME}/steps/{step_id(self.numbers)}"
        self.steps[name] = {"stepId": step_id(self.numbers), "updatedAt": self._now()}
        return name

    def add_task(self, parent: str, state: str = "PENDING") -> str:
        self.numbers += 1
        if parent.startswith("omics"):
            task_id, extra = str(self.numbers), {"status": state, "name": f"t{self.numbers}"}
        else:
            task_id, extra = f"task-{self.numbers:032x}-0", {"runStatus": state, "createdBy": "me"}
        name = f"{parent}/tasks/{task_id}"
        self.tasks[name] = {"taskId": task_id, **extra, self._created(name): self._now()}
        self._touch(name)
        return name

    def move(self, name: str, state: str | None = None) -> None:
        task, member = self.tasks[name], self.member(name)
        choices = NEXT[name.partition("/")[0]][task[member]]
        if state is None and not choices:
            return
        changed = {member: state or self.random.choice(choices)}
        if not name.startswith("omics"):
            self.numbers += 1
            changed["updatedBy"] = f"u{self.numbers}"
        self.tasks[name] = {**task, **changed}
        self._touch(name)

    def remove(self, name: str) -> None:
        del self.tasks[name]
        self._touch(name)

    def remove_step(self, step: str) -> None:
        del self.steps[step]
        for name in [name for name in self.tasks if name.startswith(step)]:
            del self.tasks[name]

    def in_random_motion(self, random: Random) -> str | None:
        """Change something at random; return the name of the task that changed."""
        kind = random.random()
        names = list(self.tasks)
        parents = [*self.steps, RUN_NAME]
        if kind < 0.12 or not names:
            return self.add_task(random.choice(parents))
        name = random.choice(names)
        if kind < 0.2:
            self.remove(name)
        elif kind < 0.21:
            self.add_step()
        elif kind < 0.22 and len(self.steps) > 1:
            self.remove_step(random.choice(list(self.steps)))
            return None
        elif kind < 0.3 and "deadline" in name:  # a whole life between two polls
            self.move(name, "READY")
            self.move(name, "SUCCEEDED")
        else:
            self.move(name)
        return name

    # --- State -----------------------------------------------------------------------------

    @staticmethod
    def member(name: str) -> str:
        return "status" if name.startswith("omics") else "runStatus"

    def fresh(self, prefix: str) -> dict[str, task_pb2.Task]:
        """Return what a fresh list of a parent contains, by name, without the observe times."""
        found = {}
        for name, answer in self.tasks.items():
            if name.startswith(prefix):
                task = self.backends.of(name, "name").task(name, answer, 0.0)
                task.ClearField("observe_time")
                found[name] = task
        return found

    def counts(self, prefix: str) -> Counter[str]:
        return Counter(
            task[self.member(name)] for name, task in self.tasks.items() if name.startswith(prefix)
        )

    def _now(self) -> str:
        return f"2026-03-02T09:30:00.{self.numbers:06d}Z"

    @staticmethod
    def _created(name: str) -> str:
        return "creationTime" if name.startswith("omics") else "createdAt"

    def _touch(self, name: str) -> None:
        """Half the time, update the step's `updatedAt`."""
        step = self.steps.get(name.partition("/tasks/")[0])
        if step is not None and self.random.random() < 0.5:
            step["updatedAt"] = self._now()


class Gateway:
    """The gateway of one service, with a `World` in place of AWS."""

    def __init__(self, world: World, spec: ServiceSpec) -> None:
        self.world = world
        self.spec = spec

    async def call(self, operation: str, params: Mapping[str, Any], _: CallOptions) -> AwsResponse:
        world = self.world
        world.calls[operation] += 1
        await asyncio.sleep(world.random.uniform(0, world.latency))
        if world.random.random() < world.fault_share:
            codes = [StatusCode.UNAVAILABLE, StatusCode.RESOURCE_EXHAUSTED, StatusCode.INTERNAL]
            raise failure(world.random.choice(codes))
        value = getattr(self, f"_{operation.lower()}")(params)
        await asyncio.sleep(world.random.uniform(0, world.latency))
        return AwsResponse(
            value=value, request_id="", observe_time=asyncio.get_running_loop().time()
        )

    def _exists(self, name: str) -> None:
        if name not in self.world.parents and name not in self.world.steps:
            raise failure(StatusCode.NOT_FOUND)

    def _job(self, params: Mapping[str, Any]) -> str:
        name = (
            f"deadline/farms/{params['farmId']}/queues/{params['queueId']}/jobs/{params['jobId']}"
        )
        self._exists(name)
        return name

    def _gettask(self, params: Mapping[str, Any]) -> dict[str, Any]:
        return self._task(self._job(params) + f"/steps/{params['stepId']}/tasks/{params['taskId']}")

    def _getruntask(self, params: Mapping[str, Any]) -> dict[str, Any]:
        task = self._task(f"omics/runs/{params['id']}/tasks/{params['taskId']}")
        return {**task, "statusMessage": f"is {task['status']}"}

    def _task(self, name: str) -> dict[str, Any]:
        if name not in self.world.tasks:
            raise failure(StatusCode.NOT_FOUND)
        return dict(self.world.tasks[name])

    def _listtasks(self, params: Mapping[str, Any]) -> dict[str, Any]:
        step = self._job(params) + f"/steps/{params['stepId']}"
        self._exists(step)
        return self._page("tasks", self._rows(step), params.get("nextToken"))

    def _listruntasks(self, params: Mapping[str, Any]) -> dict[str, Any]:
        run = f"omics/runs/{params['id']}"
        self._exists(run)
        return self._page("items", self._rows(run), params.get("startingToken"))

    def _liststeps(self, params: Mapping[str, Any]) -> dict[str, Any]:
        self._job(params)
        return self._page("steps", list(map(self._step, self.world.steps)), params.get("nextToken"))

    def _getstep(self, params: Mapping[str, Any]) -> dict[str, Any]:
        step = self._job(params) + f"/steps/{params['stepId']}"
        self._exists(step)
        return {**self._step(step), "description": "not in a list"}

    def _getjob(self, params: Mapping[str, Any]) -> dict[str, Any]:
        return {"taskRunStatus": self._status(self._job(params))}

    def _getrun(self, params: Mapping[str, Any]) -> dict[str, Any]:
        self._exists(f"omics/runs/{params['id']}")
        if self.world.run_status is not None:
            return {"status": self.world.run_status}
        is_over = self._status(f"omics/runs/{params['id']}") == "SUCCEEDED"
        return {"status": "COMPLETED" if is_over else "RUNNING"}

    def _step(self, name: str) -> dict[str, Any]:
        counts = {"READY": 0, **self.world.counts(name)}
        return {
            **self.world.steps[name],
            "taskRunStatus": self._status(name),
            "taskRunStatusCounts": counts,
            "lifecycleStatus": "CREATE_COMPLETE",
        }

    def _status(self, prefix: str) -> str:
        return "SUCCEEDED" if set(self.world.counts(prefix)) <= SETTLED else "RUNNING"

    def _rows(self, parent: str) -> list[dict[str, Any]]:
        tasks = self.world.tasks.items()
        return [dict(task) for name, task in tasks if name.startswith(f"{parent}/")]

    def _page(self, member: str, rows: list[dict[str, Any]], token: str | None) -> dict[str, Any]:
        start = int(token or 0)
        end = start + self.world.page
        more = {"nextToken": str(end)} if end < len(rows) else {}
        return {member: rows[start:end], **more}
