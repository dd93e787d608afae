"""What Deadline Cloud tells EventBridge of jobs, steps and tasks.

The words are those of AWS's developer guide, "Deadline Cloud events detail reference": a task says
`runStatus`, a step or job `taskRunStatus`. No task says that it was made, and a step or job speaks
only when its combined status changes.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from taskgate_emulator.core.state import Account, Key, Transition
from taskgate_emulator.deadline.counts import TaskCountIndex, TaskCounts

__all__ = ["send_lifecycle_event", "send_task_events"]

_IDS = ("farmId", "queueId", "jobId", "stepId", "taskId")


def send_task_events(account: Account, transition: Transition) -> None:
    """Tell of a task that has another status, and of its step and job if theirs have changed."""
    before, after = transition.before, transition.after
    if before is None or after is None or before["runStatus"] == after["runStatus"]:
        return
    key, index = transition.key, account.index(TaskCountIndex)
    statuses = {"previousRunStatus": before["runStatus"], "runStatus": after["runStatus"]}
    _send(account, "Task Run Status Change", key, statuses, transition.at)
    tallies = {"Step": (key[:-1], index.step(key[:-1])), "Job": (key[:3], index.job(key[:3]))}
    for word, (whole, counts) in tallies.items():
        _send_status_event(account, word, whole, counts, transition)


def send_lifecycle_event(account: Account, transition: Transition) -> None:
    """Tell of a job or step that was made, or whose making has gone on."""
    before, after = transition.before or {}, transition.after
    previous = before.get("lifecycleStatus")
    if after is None or previous == after["lifecycleStatus"]:
        return
    statuses = {"previousLifecycleStatus": previous} if previous else {}
    statuses["lifecycleStatus"] = after["lifecycleStatus"]
    noun = transition.kind.partition(".")[2]
    _send(account, f"{noun} Lifecycle Status Change", transition.key, statuses, transition.at)


def _send_status_event(
    account: Account, word: str, key: Key, counts: TaskCounts, transition: Transition
) -> None:
    previous, status = counts.status_before(transition), counts.status
    if previous != status:
        statuses = {
            "previousTaskRunStatus": previous,
            "taskRunStatus": status,
            "taskRunStatusCounts": counts.by_status(),
        }
        _send(account, f"{word} Run Status Change", key, statuses, transition.at)


def _send(
    account: Account, detail_type: str, key: Key, members: dict[str, Any], at: datetime
) -> None:
    detail = {**dict(zip(_IDS, key, strict=False)), **members}
    account.emit_event("aws.deadline", detail_type, detail, at=at)
