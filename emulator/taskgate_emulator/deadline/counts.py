"""Task counts and times of steps and jobs, updated with each task that changes.

A job may have 10,000 tasks, and each changes its status five times: no change of one task causes a
recount of the others.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable
from datetime import datetime
from functools import cache
from typing import Any

from taskgate_emulator.core.state import Account, Key, Record, Transition
from taskgate_emulator.deadline.tasks import SETTLED, TASK
from taskgate_server.aws.model import enum_values, load_service

__all__ = ["TaskCountIndex", "TaskCounts", "step_outcome", "summarize_tasks"]

_STATUS_PRECEDENCE = (
    "RUNNING",
    "INTERRUPTING",
    "STARTING",
    "SCHEDULED",
    "ASSIGNED",
    "READY",
    "PENDING",
    "SUSPENDED",
    "FAILED",
    "NOT_COMPATIBLE",
    "CANCELED",
    "SUCCEEDED",
)
"""The status of a step or job is the first of these that one of its tasks has.

AWS does not publish its rule. With this one, a step is active while any task is, and SUCCEEDED only
when all tasks are.
"""

_ACTIVE = frozenset({"READY", "ASSIGNED", "SCHEDULED", "STARTING", "RUNNING", "INTERRUPTING"})


class _Extreme:
    """The earliest or latest of many times, each of which may change.

    Args:
        choose: `min` or `max`.
    """

    __slots__ = ("choose", "is_stale", "value")

    def __init__(self, choose: Callable[[datetime, datetime], datetime]) -> None:
        self.choose = choose
        self.value: datetime | None = None
        self.is_stale = False
        """Whether the extreme time was replaced, so that it must be computed from all times."""

    def replace(self, before: datetime | None, after: datetime | None) -> None:
        if before == after:
            return
        if after is not None and (self.value is None or self.choose(self.value, after) == after):
            self.value, self.is_stale = after, False
        elif before is not None and before == self.value:
            self.is_stale = True

    def recompute(self, times: list[datetime]) -> None:
        self.value, self.is_stale = None, False
        for time in times:
            self.replace(None, time)


class TaskCounts:
    """The counts of the tasks of one step or of one job; only a step has times and task lists."""

    __slots__ = ("by_status", "ended", "pending", "ready", "retries", "started", "updated")

    def __init__(self) -> None:
        self.by_status: Counter[str] = Counter()
        self.retries = 0
        self.started, self.ended, self.updated = _Extreme(min), _Extreme(max), _Extreme(max)
        self.pending: dict[str, None] = {}
        """The PENDING tasks of a step, in the order in which they became so."""
        self.ready: dict[str, None] = {}
        """The READY tasks of a step that any worker may take."""

    @property
    def status(self) -> str:
        """The combined status."""
        return _combined_status(self.by_status)

    def status_before(self, transition: Transition) -> str:
        """Return the combined status before a change of one task that is already counted."""
        counts = self.by_status.copy()
        for record, sign in ((transition.after, -1), (transition.before, 1)):
            if record is not None:
                counts[record["runStatus"]] += sign
        return _combined_status(counts)

    def all_statuses(self) -> dict[str, int]:
        """Return the count of every status, zeros included."""
        return {status: self.by_status[status] for status in _run_statuses()}

    @property
    def is_settled(self) -> bool:
        """Whether no task changes without a request."""
        return all(status in SETTLED for status in +self.by_status)

    def add(self, record: Record | None, sign: int) -> None:
        """Add a task to the counts, or remove it with sign -1."""
        if record is not None:
            self.by_status[record["runStatus"]] += sign
            self.retries += sign * (record.get("failureRetryCount") or 0)


class TaskCountIndex:
    """The counts of all steps and jobs of an account: an index of the tasks."""

    def __init__(self) -> None:
        self._steps: defaultdict[Key, TaskCounts] = defaultdict(TaskCounts)
        self._jobs: defaultdict[Key, TaskCounts] = defaultdict(TaskCounts)
        self._ready_steps: defaultdict[Key, dict[Key, None]] = defaultdict(dict)
        self._active: Counter[Key] = Counter()

    def step(self, key: Key) -> TaskCounts:
        """Return the counts of a step."""
        return self._steps.get(key) or TaskCounts()

    def job(self, key: Key) -> TaskCounts:
        """Return the counts of a job."""
        return self._jobs.get(key) or TaskCounts()

    def ready_steps(self, queue: Key) -> list[Key]:
        """Return the steps of a queue that have tasks for a worker."""
        return list(self._ready_steps.get(queue, ()))

    def has_active_tasks(self, queue: Key) -> bool:
        """Return whether a queue has tasks that wait for a worker or are on one."""
        return self._active[queue] > 0

    def update(self, key: Key, before: Record | None, after: Record | None) -> None:
        """Apply the creation, change or deletion of a task."""
        step_key, task = key[:-1], key[-1]
        step, job = self._steps[step_key], self._jobs[key[:3]]
        for counts in (step, job):
            counts.add(before, -1)
            counts.add(after, 1)
        old, new = before or {}, after or {}
        self._active[key[:2]] += _is_active(new) - _is_active(old)
        step.started.replace(old.get("startedAt"), new.get("startedAt"))
        step.ended.replace(old.get("endedAt"), new.get("endedAt"))
        step.updated.replace(old.get("updatedAt"), new.get("updatedAt"))
        _set_member(step.pending, task, is_member=new.get("runStatus") == "PENDING")
        is_ready = new.get("runStatus") == "READY" and bool(new.get("_queued"))
        _set_member(step.ready, task, is_member=is_ready)
        _set_member(self._ready_steps[key[:2]], step_key, is_member=bool(step.ready))


def _is_active(task: Record) -> bool:
    return task.get("runStatus") in _ACTIVE


def _set_member(members: dict[Any, None], name: Any, *, is_member: bool) -> None:
    if is_member:
        members[name] = None
    else:
        members.pop(name, None)


def summarize_tasks(account: Account, key: Key, steps: list[Key]) -> dict[str, Any]:
    """Return the members of a step or job that summarize its tasks.

    Args:
        account: that has them.
        key: of the step or job.
        steps: the steps of the job, or the step itself.
    """
    parts = [_up_to_date_counts(account, step) for step in steps]
    counts = parts[0] if steps == [key] else account.index(TaskCountIndex).job(key)
    ended = bool(+counts.by_status) and counts.is_settled
    return {
        "taskRunStatus": counts.status,
        "taskRunStatusCounts": counts.all_statuses(),
        "taskFailureRetryCount": counts.retries,
        "startedAt": min(_times([part.started for part in parts]), default=None),
        "endedAt": max(_times([part.ended for part in parts]), default=None) if ended else None,
        "updatedAt": max(_times([part.updated for part in parts]), default=None),
    }


def step_outcome(account: Account, step: Key) -> str | None:
    """Return SUCCEEDED or FAILED for the consumers of a step, or None while it is undecided.

    A SUSPENDED task keeps the step undecided, because it may be resumed.
    """
    counts = +account.index(TaskCountIndex).step(step).by_status
    if counts.keys() <= {"SUCCEEDED"}:
        return "SUCCEEDED"
    return "FAILED" if counts.keys() <= SETTLED - {"SUSPENDED"} else None


def _up_to_date_counts(account: Account, step: Key) -> TaskCounts:
    counts = account.index(TaskCountIndex).step(step)
    extremes = {"startedAt": counts.started, "endedAt": counts.ended, "updatedAt": counts.updated}
    for member, extreme in extremes.items():
        if extreme.is_stale:
            tasks = account.table(TASK).records(*step)
            times = [time for _, task in tasks if (time := task.get(member)) is not None]
            extreme.recompute(times)
    return counts


def _times(extremes: list[_Extreme]) -> list[datetime]:
    return [extreme.value for extreme in extremes if extreme.value is not None]


def _combined_status(counts: Counter[str]) -> str:
    return next((status for status in _STATUS_PRECEDENCE if counts[status] > 0), "PENDING")


@cache
def _run_statuses() -> tuple[str, ...]:
    return tuple(enum_values(load_service("deadline").shape_for("TaskRunStatus")))
