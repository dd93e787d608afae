"""Direct changes of jobs and runs by tests, without AWS's operations.

`Emulator.jobs` and `Emulator.runs` are these. Listeners are notified, so events and log lines
follow as if the change had happened in the simulation.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from taskgate_emulator.core.state import CALLER, Account
from taskgate_emulator.core.timeline import planned
from taskgate_emulator.deadline.fleets import ASSOCIATION, FLEET
from taskgate_emulator.deadline.tasks import (
    FARM,
    JOB,
    QUEUE,
    STEP,
    TASK,
    run_plan,
    update_task,
)
from taskgate_emulator.omics.behaviour import RUN, RUN_TASK
from taskgate_emulator.omics.failures import ANY_RUN, SERVICE_ERROR, schedule_failure
from taskgate_emulator.seeds import deadline as demo
from taskgate_emulator.seeds import ids as demo_ids
from taskgate_emulator.seeds.omics import run_record

__all__ = ["AddedJob", "AddedRun", "JobControl", "RunControl"]

_T = TypeVar("_T")


class Edit(Protocol):
    """Runs a function on the account between two requests."""

    def __call__(self, change: Callable[[Account], _T]) -> _T:
        """Run the function and return its result."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class AddedJob:
    """The ids of an added job."""

    farm: str
    queue: str
    job: str
    steps: tuple[str, ...]

    @property
    def ids(self) -> dict[str, str]:
        """The params that name the job in AWS's operations."""
        return {"farmId": self.farm, "queueId": self.queue, "jobId": self.job}

    def step(self, position: int = 0) -> dict[str, str]:
        """Return the params that name one of its steps."""
        return {**self.ids, "stepId": self.steps[position]}

    def task(self, number: int, step: int = 0) -> dict[str, str]:
        """Return the params that name one of its tasks, by its number in the step."""
        return {**self.step(step), "taskId": f"task-{self.steps[step][5:]}-{number}"}


class JobControl:
    """Jobs of Deadline Cloud.

    Args:
        edit: gives access to the account.
    """

    def __init__(self, edit: Edit) -> None:
        self._edit = edit

    def add(
        self,
        steps: Sequence[int] = (1,),
        *,
        farm: str = demo_ids.FARM_ID,
        queue: str = demo_ids.QUEUE_ID,
        status: str = "READY",
        runs: bool = False,
        members: Mapping[str, Any] | None = None,
    ) -> AddedJob:
        """Add a job, and its farm and queue if they do not exist.

        Args:
            steps: the number of tasks of each step.
            farm: of the job.
            queue: of the job.
            status: the initial status of all tasks.
            runs: whether the tasks progress with time; if not, they keep their status until `move`.
            members: further members of the job's record, such as `name`.
        """

        def add(account: Account) -> AddedJob:
            _make_parents(account, farm, queue)
            job = f"job-{account.new_hex_id()}"
            created = {"createdAt": account.now, "createdBy": CALLER}
            record = {**_JOB, **created, "jobId": job, **(members or {})}
            account.put(JOB, (farm, queue, job), record)
            names = []
            for position, size in enumerate(steps, start=1):
                step = f"step-{account.new_hex_id()}"
                names.append(step)
                key = (farm, queue, job, step)
                record = {**_STEP, **created, "stepId": step, "name": f"Step {position}"}
                account.put(STEP, key, record)
                _add_tasks(account, key, size, status, runs=runs)
            return AddedJob(farm=farm, queue=queue, job=job, steps=tuple(names))

        return self._edit(add)

    def add_tasks(self, step: Mapping[str, str], number: int, *, status: str = "READY") -> None:
        """Add tasks with the next numbers to a step."""
        self._edit(lambda account: _add_tasks(account, _key(step), number, status, runs=False))

    def move(self, task: Mapping[str, str], status: str, **members: Any) -> None:
        """Set the status of a task and drop its scheduled changes."""

        def move(account: Account) -> None:
            key = _key(task)
            record = account.table(TASK).record(key)
            if record is None:
                raise KeyError(key)
            changed = {"runStatus": status, "updatedAt": account.now, **members}
            account.put(TASK, key, {**record, **changed})

        self._edit(move)

    def requeue(self, task: Mapping[str, str]) -> None:
        """Do what UpdateTask with the target PENDING does."""

        def requeue(account: Account) -> None:
            update_task(account, _key(task), "PENDING", account.now)

        self._edit(requeue)

    def simulate(
        self, ids: Mapping[str, str], *, failures: int = 0, seconds: float | None = None
    ) -> None:
        """Set how a task, or each task of a step or job, performs on the simulated workers.

        Args:
            ids: of the task, step or job.
            failures: how often a task fails before it succeeds.
            seconds: how long a task is RUNNING each time.
        """

        def simulate(account: Account) -> None:
            key = _key(ids)
            planned = {"_failures": failures, "_seconds": seconds}
            account.update(_BY_LENGTH[len(key)], key, **planned)

        self._edit(simulate)

    def remove(self, ids: Mapping[str, str]) -> None:
        """Remove a task, or a step or job with its contents."""
        self._edit(lambda account: _remove(account, _key(ids)))


@dataclass(frozen=True, slots=True, kw_only=True)
class AddedRun:
    """The ids of an added run."""

    run: str
    tasks: tuple[str, ...]

    def task(self, position: int) -> dict[str, str]:
        """Return the params that name one of its tasks."""
        return {"id": self.run, "taskId": self.tasks[position]}


class RunControl:
    """Runs of HealthOmics.

    Args:
        edit: gives access to the account.
    """

    def __init__(self, edit: Edit) -> None:
        self._edit = edit

    def add(self, tasks: int = 1, *, status: str = "RUNNING", **members: Any) -> AddedRun:
        """Add a run whose tasks keep a status until `move`."""

        def add(account: Account) -> AddedRun:
            run = str(account.random.randrange(10**6, 10**8))
            record = {**run_record(run, "load", account), "creationTime": account.now}
            account.put(RUN, (run,), {**record, "status": "RUNNING", **members})
            return AddedRun(run=run, tasks=tuple(_add_run_tasks(account, run, tasks, status)))

        return self._edit(add)

    def add_tasks(self, run: str, number: int, *, status: str = "PENDING") -> list[str]:
        """Add tasks to a run; return their ids."""
        return self._edit(lambda account: _add_run_tasks(account, run, number, status))

    def fail(
        self,
        task: str,
        *,
        run: str | None = None,
        reason: str = SERVICE_ERROR,
        message: str | None = None,
        times: int = 1,
    ) -> None:
        """Make attempts at tasks fail that start from now on.

        Args:
            task: the name of the tasks, with `*` and `?`.
            run: only in this run.
            reason: AWS's `failureReason`. `SERVICE_ERROR` makes HealthOmics retry with a new task;
                any other ends the run.
            message: becomes `statusMessage`.
            times: the number of attempts.
        """
        scope = run or ANY_RUN
        self._edit(
            lambda account: schedule_failure(
                account, task, run_id=scope, reason=reason, message=message, times=times
            )
        )

    def move(self, ids: Mapping[str, str], status: str, **members: Any) -> None:
        """Set the status of a run or of a task of a run, and drop its scheduled changes."""

        def move(account: Account) -> None:
            key = tuple(ids.values())
            kind = RUN if len(key) == 1 else RUN_TASK
            record = account.table(kind).record(key)
            if record is None:
                raise KeyError(key)
            account.put(kind, key, {**record, "status": status, **members})

        self._edit(move)

    def remove(self, ids: Mapping[str, str]) -> None:
        """Remove a task, or a run with its tasks."""

        def remove(account: Account) -> None:
            key = tuple(ids.values())
            if len(key) == 1:
                for task in account.table(RUN_TASK).ids(*key):
                    account.delete(RUN_TASK, (*key, task))
            account.delete(RUN if len(key) == 1 else RUN_TASK, key)

        self._edit(remove)


_JOB: Mapping[str, Any] = {
    "name": "Load",
    "lifecycleStatus": "CREATE_COMPLETE",
    "lifecycleStatusMessage": "Job creation completed successfully",
    "priority": 50,
    "maxFailedTasksCount": 20,
    "maxRetriesPerTask": 5,
}
_STEP: Mapping[str, Any] = {"lifecycleStatus": "CREATE_COMPLETE", "_dependsOn": ()}
_INSIDE = {JOB: STEP, STEP: TASK}
_BY_LENGTH = {3: JOB, 4: STEP, 5: TASK}


def _key(ids: Mapping[str, str]) -> tuple[str, ...]:
    """Return the key from params, which must be in AWS's order, outermost first."""
    return tuple(ids.values())


def _make_parents(account: Account, farm: str, queue: str) -> None:
    if account.table(FARM).record((farm,)) is None:
        account.put(FARM, (farm,), {**demo.farm_record(account.now), "farmId": farm})
    if account.table(QUEUE).record((farm, queue)) is None:
        record = demo.queue_record(account.now)
        account.put(QUEUE, (farm, queue), {**record, "farmId": farm, "queueId": queue})
    fleet = demo_ids.FLEET_ID
    link = (farm, f"{queue}/{fleet}")
    if account.table(ASSOCIATION).record(link) is None:
        if account.table(FLEET).record((farm, fleet)) is None:
            account.put(FLEET, (farm, fleet), {**demo.fleet_record(account.now), "farmId": farm})
        account.put(ASSOCIATION, link, {**demo.association_record(account.now), "queueId": queue})


def _add_tasks(
    account: Account, step: tuple[str, ...], number: int, status: str, *, runs: bool
) -> None:
    table = account.table(TASK)
    first = table.size(*step)
    for position in range(first, first + number):
        task = f"task-{step[-1][5:]}-{position}"
        record = {
            "taskId": task,
            "runStatus": status,
            "createdAt": account.now,
            "createdBy": CALLER,
            "parameters": {"Frame": {"int": str(position)}},
        }
        plan = run_plan(f"sessionaction-{account.new_hex_id()}-0", waits=position) if runs else ()
        account.put(TASK, (*step, task), record, planned(account.now, account.speed, plan))


def _remove(account: Account, key: tuple[str, ...]) -> None:
    kind = _BY_LENGTH[len(key)]
    inside = _INSIDE.get(kind)
    if inside is not None:
        for name in account.table(inside).ids(*key):
            _remove(account, (*key, name))
    account.delete(kind, key)


def _add_run_tasks(account: Account, run: str, number: int, status: str) -> list[str]:
    table = account.table(RUN_TASK)
    first = int(run) * 10**5 + table.size(run)
    ids = [str(first + position) for position in range(number)]
    for task in ids:
        record = {
            "taskId": task,
            "status": status,
            "name": f"Task{task[-5:]}",
            "creationTime": account.now,
            "cpus": 2,
            "memory": 8,
        }
        account.put(RUN_TASK, (run, task), record)
    return ids
