"""How steps of Deadline Cloud wait for each other.

AWS's developer guide, "How Deadline Cloud schedules jobs": the tasks of a step are PENDING until
all steps that it depends on have succeeded, and CANCELED when one of them has not.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from taskgate_emulator.deadline_tally import TallyBook, outcome
from taskgate_emulator.deadline_tasks import SETTLED, STEP, TASK
from taskgate_emulator.state import Account, Key, Transition
from taskgate_emulator.timeline import Change

__all__ = ["READY", "follow_task", "free_tasks", "wake_step"]

READY = "deadline.ready"
"""The wake of a step whose PENDING tasks may have nothing to wait for any more."""

_QUEUEING_SECONDS = 1.0
"""How long a task that was requeued stays PENDING."""


def follow_task(account: Account, transition: Transition) -> None:
    """Wake the step of a task that became PENDING, and those that wait for one that has ended."""
    before, after = transition.before, transition.after
    if before is None or after is None or before["runStatus"] == after["runStatus"]:
        return
    step = transition.key[:-1]
    if after["runStatus"] == "PENDING":
        later = timedelta(seconds=_QUEUEING_SECONDS / account.speed)
        wake_step(account, step, transition.at + later)
    elif after["runStatus"] in SETTLED and outcome(account, step) is not None:
        for name, other in account.table(STEP).records(*step[:-1]):
            if step[-1] in other["_dependsOn"]:
                wake_step(account, (*step[:-1], name), transition.at)


def wake_step(account: Account, step: Key, at: datetime) -> None:
    """Look at a moment whether its PENDING tasks can go on; once is enough for many of them."""
    timeline = account.table(STEP).timeline(step)
    if timeline is not None and not timeline.changes:
        account.put(STEP, step, timeline.record, (Change(at, {}, READY),))


def free_tasks(account: Account, step: Key, at: datetime) -> None:
    """Make the PENDING tasks of a step READY or CANCELED, if what it depends on has ended."""
    record = account.table(STEP).record(step) or {}
    outcomes = {outcome(account, (*step[:-1], needed)) for needed in record["_dependsOn"]}
    if "FAILED" in outcomes:
        members = {"runStatus": "CANCELED", "updatedAt": at}
    elif None in outcomes:
        return
    else:
        members = {"runStatus": "READY", "updatedAt": at, "_waits": True}
    tasks = account.table(TASK)
    for name in list(account.index(TallyBook).step(step).pending):
        timeline = tasks.timeline((*step, name))
        # A task with a future of its own knows what it waits for.
        if timeline is not None and not timeline.changes:
            task = {**timeline.record, **members, "targetRunStatus": None}
            account.put(TASK, (*step, name), task)
