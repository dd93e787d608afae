"""What there is to be read: runs and jobs whose tasks start and end at moments drawn beforehand.

What AWS returns is a function of the time alone, so nothing has to happen between calls. The
operations are those that the server uses; their answers have AWS's members.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any, Final

PAGE: Final = 100
"""Rows in a page, the most that either service gives."""

FIRST_RUN: Final = 1_000_000
FIRST_TASK: Final = 5_000_000
WORDS: Final = {
    "omics": ("PENDING", "RUNNING", "COMPLETED"),
    "deadline": ("READY", "RUNNING", "SUCCEEDED"),
}
MEAN_RUN_SECONDS: Final = 60.0
_EPOCH: Final = datetime(2026, 3, 2, 9, 30, tzinfo=UTC)
_FARM: Final = {"farmId": f"farm-{1:032x}", "queueId": f"queue-{1:032x}"}


class NotThereError(Exception):
    """AWS has no such thing."""


def _iso(seconds: float) -> str:
    return (_EPOCH + timedelta(seconds=seconds)).isoformat(timespec="milliseconds")


@dataclass(slots=True)
class Task:
    """A task that waits, runs from `begins` to `ends`, and has then succeeded."""

    number: int
    begins: float
    ends: float
    rows: dict[int, dict[str, Any]] = field(default_factory=dict)
    """AWS's JSON by how far the task is, made once."""

    def stage(self, now: float) -> int:
        """Return the stage: 0, 1 or 2."""
        return (now >= self.begins) + (now >= self.ends)


@dataclass(slots=True)
class Parent:
    """A run of HealthOmics, or a job of Deadline Cloud with one step."""

    service: str
    number: int
    tasks: list[Task]
    begins: list[float]
    ends: list[float]

    @property
    def name(self) -> str:
        """Return the name, as in the names of its tasks."""
        if self.service == "omics":
            return f"omics/runs/{FIRST_RUN + self.number}"
        farm, queue = _FARM.values()
        return f"deadline/farms/{farm}/queues/{queue}/jobs/{_job_id(self.number)}"

    def counts(self, now: float) -> dict[str, int]:
        """Return the number of tasks in each state."""
        begun, ended = bisect_right(self.begins, now), bisect_right(self.ends, now)
        words = WORDS[self.service]
        return dict(zip(words, (len(self.tasks) - begun, begun - ended, ended), strict=True))

    def task_name(self, task: Task) -> str:
        """Return the task's name."""
        if self.service == "omics":
            return f"{self.name}/tasks/{FIRST_TASK + task.number}"
        return f"{self.name}/steps/{_step_id(self.number)}/tasks/{_task_id(task.number)}"

    def params(self, task: Task) -> dict[str, str]:
        """Return the parameters of a request for the task."""
        if self.service == "omics":
            return {"id": str(FIRST_RUN + self.number), "taskId": str(FIRST_TASK + task.number)}
        return {
            **_FARM,
            "jobId": _job_id(self.number),
            "stepId": _step_id(self.number),
            "taskId": _task_id(task.number),
        }


class World:
    """All runs or jobs of one AWS service.

    Args:
        service: `omics` or `deadline`.
        parents: how many.
        tasks: of each.
        seconds: over which the tasks start, so that there is change all the time.
        random: when they do.
    """

    def __init__(
        self, service: str, parents: int, tasks: int, seconds: float, random: Random
    ) -> None:
        self.service = service
        self.parents = [_draw(service, number, tasks, seconds, random) for number in range(parents)]
        self._by_id = {_own_id(service, number): each for number, each in enumerate(self.parents)}

    def changed_at(self, name: str, word: str) -> float:
        """Return when a task entered a native state."""
        parts = name.split("/")
        parent_id = parts[2] if self.service == "omics" else parts[6]
        task = self._task(self._parent(parent_id), parts[-1])
        moments = (0.0, task.begins, task.ends)
        return moments[WORDS[self.service].index(word)]

    def answer(self, operation: str, params: Mapping[str, Any], now: float) -> dict[str, Any]:
        """Return AWS's response at that time.

        Raises:
            NotThereError: it has no such thing.
        """
        if operation == "BatchGetTask":
            return self._batch(params["identifiers"], now)
        parent = self._parent(params.get("id") or params["jobId"])
        match operation:
            case "GetTask" | "GetRunTask":
                value = self._row(self._task(parent, params["taskId"]), now)
            case "ListRunTasks":
                value = self._page("items", parent, params.get("startingToken"), now)
            case "ListTasks":
                value = self._page("tasks", parent, params.get("nextToken"), now)
            case "ListSteps":
                value = {"steps": [self._step(parent, now)]}
            case "GetStep":
                value = self._step(parent, now)
            case _:  # GetRun, GetJob
                value = {"status": "RUNNING", "taskRunStatus": "RUNNING"}
        return value

    def _parent(self, own_id: str) -> Parent:
        parent = self._by_id.get(own_id)
        if parent is None:
            raise NotThereError
        return parent

    def _task(self, parent: Parent, task_id: str) -> Task:
        if self.service == "omics":
            return parent.tasks[int(task_id) - FIRST_TASK]
        return parent.tasks[int(task_id.rpartition("-")[2])]

    def _row(self, task: Task, now: float) -> dict[str, Any]:
        stage = task.stage(now)
        row = task.rows.get(stage)
        if row is None:
            make = _run_task if self.service == "omics" else _job_task
            row = task.rows[stage] = make(task, stage)
        return row

    def _batch(self, items: Sequence[Mapping[str, Any]], now: float) -> dict[str, Any]:
        rows = []
        for item in items:
            parent = self._parent(item["jobId"])
            rows.append({**item, **self._row(self._task(parent, item["taskId"]), now)})
        return {"tasks": rows, "errors": []}

    def _page(self, member: str, parent: Parent, token: str | None, now: float) -> dict[str, Any]:
        start = int(token or 0)
        rows = [self._row(task, now) for task in parent.tasks[start : start + PAGE]]
        is_last = start + PAGE >= len(parent.tasks)
        return {member: rows, **({} if is_last else {"nextToken": str(start + PAGE)})}

    def _step(self, parent: Parent, now: float) -> dict[str, Any]:
        return {
            "stepId": _step_id(parent.number),
            "name": "render",
            "lifecycleStatus": "CREATE_COMPLETE",
            "taskRunStatus": "RUNNING",
            "taskRunStatusCounts": parent.counts(now),
            "createdAt": _iso(0),
            "createdBy": "someone",
        }


def _draw(service: str, number: int, tasks: int, seconds: float, random: Random) -> Parent:
    drawn = []
    for each in range(tasks):
        begins = random.uniform(-MEAN_RUN_SECONDS, seconds)
        drawn.append(Task(each, begins, begins + random.expovariate(1 / MEAN_RUN_SECONDS)))
    return Parent(
        service,
        number,
        drawn,
        sorted(task.begins for task in drawn),
        sorted(task.ends for task in drawn),
    )


def _own_id(service: str, number: int) -> str:
    return str(FIRST_RUN + number) if service == "omics" else _job_id(number)


def _job_id(number: int) -> str:
    return f"job-{number:032x}"


def _step_id(number: int) -> str:
    return f"step-{number:032x}"


def _task_id(number: int) -> str:
    return f"task-{1:032x}-{number}"


def _run_task(task: Task, stage: int) -> dict[str, Any]:
    row: dict[str, Any] = {
        "taskId": str(FIRST_TASK + task.number),
        "status": WORDS["omics"][stage],
        "name": f"align-{task.number}",
        "cpus": 4,
        "memory": 16,
        "creationTime": _iso(0),
    }
    if stage:
        row["startTime"] = _iso(task.begins)
    if stage > 1:
        row["stopTime"] = _iso(task.ends)
    return row


def _job_task(task: Task, stage: int) -> dict[str, Any]:
    row: dict[str, Any] = {
        "taskId": _task_id(task.number),
        "runStatus": WORDS["deadline"][stage],
        "createdAt": _iso(0),
        "createdBy": "someone",
        "failureRetryCount": 0,
        "parameters": {"Frame": {"int": str(task.number)}},
    }
    if stage:
        row["startedAt"] = row["updatedAt"] = _iso(task.begins)
    if stage > 1:
        row["endedAt"] = row["updatedAt"] = _iso(task.ends)
    return row
