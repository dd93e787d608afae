"""The EventBridge events of Deadline Cloud's jobs, steps and tasks.

Member names are those of AWS's developer guide, "Deadline Cloud events detail reference": a task
has `runStatus`, a step or job `taskRunStatus`. The creation of a task sends no event, and a step or
job sends one only when its combined status changes.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from taskgate_emulator.core.state import Account, Key, Transition
from taskgate_emulator.deadline.counts import TaskCountIndex, TaskCounts

__all__ = ["send_lifecycle_event", "send_task_events"]

_IDS = ("farmId", "queueId", "jobId", "stepId", "taskId")


def send_task_events(account: Account, transition: Transition) -> None:
    """Send the events of a changed task status, and of its step and job if theirs changed too."""
    before, after = transition.before, transition.after
    if before is None or after is None or before["runStatus"] == after["runStatus"]:
        return
    key, index = transition.key, account.index(TaskCountIndex)
    statuses = {"previousRunStatus": before["runStatus"], "runStatus": after["runStatus"]}
    _send(account, "Task Run Status Change", key, statuses, transition.at)
    _send_combined_status(account, "Step", key[:-1], index.step(key[:-1]), transition)
    _send_combined_status(account, "Job", key[:3], index.job(key[:3]), transition)


def send_lifecycle_event(account: Account, transition: Transition) -> None:
    """Send the event of a job or step whose lifecycle status changed."""
    before, after = transition.before or {}, transition.after
    previous = before.get("lifecycleStatus")
    if after is None or previous == after["lifecycleStatus"]:
        return
    statuses = {"previousLifecycleStatus": previous} if previous else {}
    statuses["lifecycleStatus"] = after["lifecycleStatus"]
    noun = transition.kind.partition(".")[2]
    _send(account, f"{noun} Lifecycle Status Change", transition.key, statuses, transition.at)


def _send_combined_status(
    account: Account, noun: str, key: Key, counts: TaskCounts, transition: Transition
) -> None:
    previous, status = counts.status_before(transition), counts.status
    if previous != status:
        statuses = {
            "previousTaskRunStatus": previous,
            "taskRunStatus": status,
            "taskRunStatusCounts": counts.all_statuses(),
        }
        _send(account, f"{noun} Run Status Change", key, statuses, transition.at)


def _send(
    account: Account, detail_type: str, key: Key, members: dict[str, Any], at: datetime
) -> None:
    detail = {**dict(zip(_IDS, key, strict=False)), **members}
    account.emit_event("aws.deadline", detail_type, detail, at=at)
