"""Associations of Deadline Cloud's queues with fleets and limits, and how they stop.

UpdateQueueFleetAssociation and UpdateQueueLimitAssociation set a `STOP_…` status, whose name says
what happens with the tasks that use the association: they complete, or they are canceled. Once none
is left, the association is STOPPED, and only then can it be deleted.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from datetime import datetime, timedelta

from taskgate_emulator.core.catalog import load_catalog
from taskgate_emulator.core.errors import AwsError, conflict
from taskgate_emulator.core.generic import perform_plain, require_resource
from taskgate_emulator.core.operations import Call
from taskgate_emulator.core.state import Account, Key, Record, Transition
from taskgate_emulator.core.timeline import Change
from taskgate_emulator.deadline.behaviour import OPERATIONS
from taskgate_emulator.deadline.fleets import ASSOCIATION, LIMIT, LIMITED_QUEUE, WORKER
from taskgate_emulator.deadline.tasks import STEP, update_task

__all__ = ["STOP", "StoppingIndex", "begin_stop", "finish_stops", "stop_if_unused"]

STOP = "deadline.stop"
"""The timer of an association that may be STOPPED."""

_STOP_SECONDS = 1.0
"""The shortest time from STOP_… to STOPPED; AWS says only that there is a delay."""


class StoppingIndex:
    """The associations that are about to stop: an index of the associations of both kinds."""

    def __init__(self) -> None:
        self._keys: defaultdict[Key, dict[Key, None]] = defaultdict(dict)

    def of_queue(self, queue: Key) -> list[Key]:
        """Return the associations of a queue."""
        return list(self._keys.get(queue, ()))

    def update(self, key: Key, before: Record | None, after: Record | None) -> None:
        """Apply the creation, change or deletion of an association."""
        record = after or before or {}
        queue = (key[0], record["queueId"])
        if after is not None and _is_stopping(after):
            self._keys[queue][key] = None
        else:
            self._keys[queue].pop(key, None)


@OPERATIONS.register("DeleteQueueFleetAssociation")
def delete_queue_fleet_association(call: Call) -> Record:
    """Delete an association that is STOPPED."""
    return _delete_association(call, "QueueFleetAssociation")


@OPERATIONS.register("DeleteQueueLimitAssociation")
def delete_queue_limit_association(call: Call) -> Record:
    """Delete an association that is STOPPED."""
    return _delete_association(call, "QueueLimitAssociation")


@OPERATIONS.register("DeleteLimit")
def delete_limit(call: Call) -> Record:
    """Delete a limit without associations."""
    return _delete_unassociated(call, "limitId", LIMITED_QUEUE)


@OPERATIONS.register("DeleteFleet")
def delete_fleet(call: Call) -> Record:
    """Delete a fleet without associations."""
    return _delete_unassociated(call, "fleetId", ASSOCIATION)


def begin_stop(account: Account, transition: Transition) -> None:
    """Begin to stop an association whose status has become one of STOP_…."""
    after, key = transition.after, transition.key
    before = transition.before or {}
    if after is None or not _is_stopping(after) or before.get("status") == after["status"]:
        return
    if after["status"].endswith("_AND_CANCEL_TASKS"):
        for task in list(_tasks_using(account, transition.kind, key, after)):
            try:
                update_task(account, task, "CANCELED", transition.at)
            except AwsError:  # the task has just ended
                continue
    later = transition.at + timedelta(seconds=_STOP_SECONDS / account.speed)
    account.put(transition.kind, key, after, (Change(later, {}, STOP),))


def stop_if_unused(account: Account, key: Key, at: datetime) -> None:
    """Stop an association that no task uses any more."""
    for kind in (ASSOCIATION, LIMITED_QUEUE):
        timeline = account.table(kind).timeline(key)
        if timeline is None or not _is_stopping(timeline.record) or timeline.changes:
            continue
        if next(_tasks_using(account, kind, key, timeline.record), None) is None:
            stopped = {"status": "STOPPED", "updatedAt": at}
            account.put(kind, key, {**timeline.record, **stopped})


def finish_stops(account: Account, transition: Transition) -> None:
    """Stop the associations of a queue after a change of one of its tasks."""
    for key in account.index(StoppingIndex).of_queue(transition.key[:2]):
        stop_if_unused(account, key, transition.at)


def _is_stopping(record: Record) -> bool:
    return bool(record["status"].startswith("STOP_"))


def _tasks_using(account: Account, kind: str, key: Key, record: Record) -> Iterator[Key]:
    """Yield the tasks on workers that use an association."""
    farm, queue = key[0], record["queueId"]
    fleets = [record["fleetId"]] if kind == ASSOCIATION else _all_fleets(account, farm)
    for fleet in fleets:
        for _, worker in account.table(WORKER).records(farm, fleet):
            task = worker.get("_task")
            if task is None or task[1] != queue:
                continue
            if kind == ASSOCIATION or _uses_limit(account, tuple(task), record["limitId"]):
                yield tuple(task)


def _all_fleets(account: Account, farm: str) -> list[str]:
    return account.table(load_catalog("deadline").resources["Fleet"].kind).ids(farm)


def _uses_limit(account: Account, task: Key, limit_id: str) -> bool:
    limit = account.table(LIMIT).record((task[0], limit_id)) or {}
    required = (account.table(STEP).record(task[:-1]) or {}).get("requiredCapabilities") or {}
    names = [amount["name"] for amount in required.get("amounts", ())]
    return limit.get("amountRequirementName") in names


def _delete_association(call: Call, noun: str) -> Record:
    resource = load_catalog("deadline").resources[noun]
    record = require_resource(call.account, resource, call.params)
    if record["status"] != "STOPPED":
        message = f"The association is {record['status']}; stop it before you delete it"
        identity = resource.key(call.params)[-1]
        raise conflict(noun[0].lower() + noun[1:], identity, message)
    return perform_plain(call)


def _delete_unassociated(call: Call, label: str, kind: str) -> Record:
    """Delete a resource that is in no association of a kind."""
    farm, identity = call.params["farmId"], call.params[label]
    for _, record in call.account.table(kind).records(farm):
        if record[label] == identity:
            message = f"It is associated with {record['queueId']}; delete the association first"
            raise conflict(label.removesuffix("Id"), identity, message, "RESOURCE_IN_USE")
    return perform_plain(call)
