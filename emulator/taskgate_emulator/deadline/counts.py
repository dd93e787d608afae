"""What steps and jobs say of their tasks, kept up to date with each task that changes.

A job may have 10,000 tasks, and each of them changes five times in its life: nothing here counts
tasks again because one of them changed.
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

__all__ = ["TaskCountIndex", "TaskCounts", "outcome", "summarize_tasks"]

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

AWS does not publish its rule. This one says of a step that something is going on while there is,
and that it succeeded only when all of it did.
"""


class _Edge:
    """The earliest or latest of many moments, of which single ones change.

    Args:
        choose: `min` or `max`.
    """

    __slots__ = ("best", "choose", "lost")

    def __init__(self, choose: Callable[[datetime, datetime], datetime]) -> None:
        self.choose = choose
        self.best: datetime | None = None
        self.lost = False
        """Whether the best one has gone, so that all must be looked at again."""

    def replace(self, before: datetime | None, after: datetime | None) -> None:
        if before == after:
            return
        if after is not None and (self.best is None or self.choose(self.best, after) == after):
            self.best, self.lost = after, False
        elif before is not None and before == self.best:
            self.lost = True

    def find_again(self, moments: list[datetime]) -> None:
        self.best, self.lost = None, False
        for moment in moments:
            self.replace(None, moment)


class TaskCounts:
    """The sums of the tasks of one step, or of all steps of one job."""

    __slots__ = ("counts", "ended", "pending", "retries", "started", "updated", "waiting")

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.retries = 0
        self.started, self.ended, self.updated = _Edge(min), _Edge(max), _Edge(max)
        self.pending: dict[str, None] = {}
        """The tasks of a step that are PENDING, in the order in which they became so."""
        self.waiting: dict[str, None] = {}
        """The tasks of a step that are READY for the first worker that comes."""

    @property
    def status(self) -> str:
        """The combined status."""
        return _combined(self.counts)

    def status_before(self, transition: Transition) -> str:
        """The combined status before a change of one task that is counted in already."""
        counts = self.counts.copy()
        for record, sign in ((transition.after, -1), (transition.before, 1)):
            if record is not None:
                counts[record["runStatus"]] += sign
        return _combined(counts)

    def by_status(self) -> dict[str, int]:
        """The counts, with those that are 0."""
        return {word: self.counts[word] for word in _run_statuses()}

    @property
    def settled(self) -> bool:
        """Whether no task goes on by itself."""
        return all(word in SETTLED for word in +self.counts)

    def add(self, record: Record | None, sign: int) -> None:
        """Count a task in, or out with sign -1."""
        if record is not None:
            self.counts[record["runStatus"]] += sign
            self.retries += sign * (record.get("failureRetryCount") or 0)


class TaskCountIndex:
    """The tallies of all steps and jobs of an account: an index of the tasks."""

    def __init__(self) -> None:
        self._steps: defaultdict[Key, TaskCounts] = defaultdict(TaskCounts)
        self._jobs: defaultdict[Key, TaskCounts] = defaultdict(TaskCounts)
        self._waiting: defaultdict[Key, dict[Key, None]] = defaultdict(dict)

    def step(self, key: Key) -> TaskCounts:
        """The tally of a step."""
        return self._steps.get(key) or TaskCounts()

    def job(self, key: Key) -> TaskCounts:
        """The tally of a job; it has no moments and no lists of tasks."""
        return self._jobs.get(key) or TaskCounts()

    def waiting_steps(self, queue: Key) -> list[Key]:
        """The steps of a queue that have tasks for the first worker that comes."""
        return list(self._waiting.get(queue, ()))

    def update(self, key: Key, before: Record | None, after: Record | None) -> None:
        """Learn of a task that came, changed or went."""
        step_key, task = key[:-1], key[-1]
        step, job = self._steps[step_key], self._jobs[key[:3]]
        for counts in (step, job):
            counts.add(before, -1)
            counts.add(after, 1)
        old, new = before or {}, after or {}
        step.started.replace(old.get("startedAt"), new.get("startedAt"))
        step.ended.replace(old.get("endedAt"), new.get("endedAt"))
        step.updated.replace(old.get("updatedAt"), new.get("updatedAt"))
        _list(step.pending, task, belongs=new.get("runStatus") == "PENDING")
        ready = new.get("runStatus") == "READY" and bool(new.get("_waits"))
        _list(step.waiting, task, belongs=ready)
        _list(self._waiting[key[:2]], step_key, belongs=bool(step.waiting))


def _list(names: dict[Any, None], name: Any, *, belongs: bool) -> None:
    if belongs:
        names[name] = None
    else:
        names.pop(name, None)


def summarize_tasks(account: Account, key: Key, steps: list[Key]) -> dict[str, Any]:
    """What a step or job says of its tasks.

    Args:
        account: that has them.
        key: of the step or job.
        steps: its steps; a step itself.
    """
    index = account.index(TaskCountIndex)
    parts = [_exact(account, step) for step in steps]
    whole = parts[0] if steps == [key] else index.job(key)
    ended = bool(+whole.counts) and whole.settled
    return {
        "taskRunStatus": whole.status,
        "taskRunStatusCounts": whole.by_status(),
        "taskFailureRetryCount": whole.retries,
        "startedAt": min(_moments([part.started for part in parts]), default=None),
        "endedAt": max(_moments([part.ended for part in parts]), default=None) if ended else None,
        "updatedAt": max(_moments([part.updated for part in parts]), default=None),
    }


def outcome(account: Account, step: Key) -> str | None:
    """How a step has ended for those that wait for it: SUCCEEDED or FAILED; None while it is open.

    A suspended task keeps it open: somebody means to go on with it.
    """
    counts = +account.index(TaskCountIndex).step(step).counts
    if counts.keys() <= {"SUCCEEDED"}:
        return "SUCCEEDED"
    return "FAILED" if counts.keys() <= SETTLED - {"SUSPENDED"} else None


def _exact(account: Account, step: Key) -> TaskCounts:
    counts = account.index(TaskCountIndex).step(step)
    edges = {"startedAt": counts.started, "endedAt": counts.ended, "updatedAt": counts.updated}
    for member, edge in edges.items():
        if edge.lost:
            tasks = account.table(TASK).records(*step)
            found = [moment for _, task in tasks if (moment := task.get(member)) is not None]
            edge.find_again(found)
    return counts


def _moments(edges: list[_Edge]) -> list[datetime]:
    return [edge.best for edge in edges if edge.best is not None]


def _combined(counts: Counter[str]) -> str:
    return next((word for word in _STATUS_PRECEDENCE if counts[word] > 0), "PENDING")


@cache
def _run_statuses() -> tuple[str, ...]:
    return tuple(enum_values(load_service("deadline").shape_for("TaskRunStatus")))
