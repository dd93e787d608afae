"""The effects of changes in Deadline Cloud, in this order: events, sessions, steps, workers.

The order matters: later effects change rows again, and the event of such a change must follow the
event of its cause.
"""

from __future__ import annotations

from taskgate_emulator.core.state import Account, Transition
from taskgate_emulator.deadline import associations as deadline_associations
from taskgate_emulator.deadline import events as deadline_events
from taskgate_emulator.deadline import sessions as deadline_sessions
from taskgate_emulator.deadline import steps as deadline_steps
from taskgate_emulator.deadline import workers as deadline_workers
from taskgate_emulator.deadline.associations import StoppingIndex
from taskgate_emulator.deadline.behaviour import OPERATIONS
from taskgate_emulator.deadline.fleets import (
    ASSOCIATION,
    FLEET,
    LIMITED_QUEUE,
    WORKER,
    IdleWorkerIndex,
    queues_of,
)
from taskgate_emulator.deadline.queues import BUDGET
from taskgate_emulator.deadline.tasks import JOB, QUEUE, STEP, TASK

OPERATIONS.index(IdleWorkerIndex, WORKER)
OPERATIONS.index(StoppingIndex, ASSOCIATION, LIMITED_QUEUE)
OPERATIONS.on_timer(deadline_associations.STOP)(deadline_associations.stop_if_unused)
OPERATIONS.on_timer(deadline_steps.CREATED)(deadline_steps.check_compatibility)
OPERATIONS.on_timer(deadline_steps.READY)(deadline_steps.release_tasks)
OPERATIONS.on_timer(deadline_workers.FINISH)(deadline_workers.finish_task)
OPERATIONS.on_timer(deadline_sessions.PROGRESS)(deadline_sessions.write_progress)
OPERATIONS.on_change(JOB, history=True)(deadline_events.send_lifecycle_event)
OPERATIONS.on_change(STEP, history=True)(deadline_events.send_lifecycle_event)


@OPERATIONS.on_change(TASK, history=True)
def task_changed(account: Account, transition: Transition) -> None:
    """Apply all effects of a task's change."""
    deadline_events.send_task_events(account, transition)
    deadline_sessions.on_task_change(account, transition)
    deadline_steps.on_task_change(account, transition)
    deadline_workers.on_task_change(account, transition)
    deadline_associations.finish_stops(account, transition)


@OPERATIONS.on_change(ASSOCIATION)
def association_changed(account: Account, transition: Transition) -> None:
    """Assign the tasks of a queue that has a new fleet, or stop an association."""
    deadline_associations.begin_stop(account, transition)
    after = transition.after
    if after is not None and after["status"] == "ACTIVE":
        farm = transition.key[0]
        deadline_workers.assign_tasks(account, (farm, after["queueId"]), transition.at)


@OPERATIONS.on_change(LIMITED_QUEUE)
def limit_association_changed(account: Account, transition: Transition) -> None:
    """Stop an association."""
    deadline_associations.begin_stop(account, transition)


@OPERATIONS.on_change(QUEUE)
def queue_changed(account: Account, transition: Transition) -> None:
    """Assign the tasks of a queue that is no longer blocked."""
    if transition.before is not None and transition.after is not None:
        deadline_workers.assign_tasks(account, transition.key, transition.at)


@OPERATIONS.on_change(BUDGET)
def budget_changed(account: Account, transition: Transition) -> None:
    """Assign the tasks of a queue that has a new budget."""
    queue = (transition.after or {}).get("usageTrackingResource", {}).get("queueId")
    if queue is not None:
        deadline_workers.assign_tasks(account, (transition.key[0], queue), transition.at)


@OPERATIONS.on_change(FLEET)
def fleet_changed(account: Account, transition: Transition) -> None:
    """Assign tasks to the workers that a fleet may now start."""
    before, after = transition.before, transition.after
    if before and after and after["maxWorkerCount"] > before["maxWorkerCount"]:
        for queue in queues_of(account, transition.key):
            deadline_workers.assign_tasks(account, queue, transition.at)
