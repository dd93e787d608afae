"""Dependencies between the steps of a Deadline Cloud job.

AWS's developer guide, "Schedule jobs in Deadline Cloud": the tasks of a step are PENDING until all
steps that it depends on have succeeded, and CANCELED when one of them has not. A step that no fleet
of the queue can run is NOT_COMPATIBLE, and the rest of the job is canceled.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from taskgate_emulator.core.state import Account, Key, Transition
from taskgate_emulator.core.timeline import Change
from taskgate_emulator.deadline.capabilities import is_compatible
from taskgate_emulator.deadline.counts import TaskCountIndex, step_outcome
from taskgate_emulator.deadline.tasks import SETTLED, STEP, TASK, update_tasks

__all__ = [
    "CREATED",
    "READY",
    "check_compatibility",
    "on_task_change",
    "release_tasks",
    "schedule_step",
]

CREATED = "deadline.created"
"""The timer of a job whose creation is complete."""

READY = "deadline.ready"
"""The timer of a step whose PENDING tasks may become READY."""

_QUEUEING_SECONDS = 1.0
"""How long a requeued task stays PENDING."""


def on_task_change(account: Account, transition: Transition) -> None:
    """Schedule the step of a task that became PENDING, and the consumers of a step that ended."""
    before, after = transition.before, transition.after
    if before is None or after is None or before["runStatus"] == after["runStatus"]:
        return
    step = transition.key[:-1]
    if after["runStatus"] == "PENDING":
        later = timedelta(seconds=_QUEUEING_SECONDS / account.speed)
        schedule_step(account, step, transition.at + later)
    elif after["runStatus"] in SETTLED and step_outcome(account, step) is not None:
        for name, other in account.table(STEP).records(*step[:-1]):
            if step[-1] in other["_dependsOn"]:
                schedule_step(account, (*step[:-1], name), transition.at)


def schedule_step(account: Account, step: Key, at: datetime) -> None:
    """Schedule a check of a step's PENDING tasks; one check serves all of them."""
    timeline = account.table(STEP).timeline(step)
    if timeline is not None and not timeline.changes:
        account.put(STEP, step, timeline.record, (Change(at, {}, READY),))


def check_compatibility(account: Account, job: Key, at: datetime) -> None:
    """Cancel a new job that has a step which no fleet of its queue can run."""
    steps = [(*job, name) for name in account.table(STEP).ids(*job)]
    incompatible = [step for step in steps if not is_compatible(account, step)]
    for step in incompatible:
        _move(account, step, {"runStatus": "NOT_COMPATIBLE", "updatedAt": at})
    if incompatible:
        rest = [step for step in steps if step not in incompatible]
        update_tasks(account, rest, "CANCELED", at)


def release_tasks(account: Account, step: Key, at: datetime) -> None:
    """Make the PENDING tasks of a step READY or CANCELED when its dependencies have ended."""
    record = account.table(STEP).record(step) or {}
    outcomes = {step_outcome(account, (*step[:-1], needed)) for needed in record["_dependsOn"]}
    if "FAILED" in outcomes:
        members: dict[str, Any] = {"runStatus": "CANCELED", "updatedAt": at}
    elif None in outcomes:
        return
    elif not is_compatible(account, step):
        members = {"runStatus": "NOT_COMPATIBLE", "updatedAt": at}
    else:
        members = {"runStatus": "READY", "updatedAt": at, "_queued": True}
    _move(account, step, {**members, "targetRunStatus": None})


def _move(account: Account, step: Key, members: dict[str, Any]) -> None:
    """Set members of the PENDING tasks of a step."""
    tasks = account.table(TASK)
    for name in list(account.index(TaskCountIndex).step(step).pending):
        timeline = tasks.timeline((*step, name))
        # A task with scheduled changes, as in the demo, has its own plan.
        if timeline is not None and not timeline.changes:
            account.put(TASK, (*step, name), {**timeline.record, **members})
