"""Queues of Deadline Cloud: their status, their deletion, and what users see of a queue."""

from __future__ import annotations

from typing import Any

from taskgate_emulator.core.catalog import load_catalog
from taskgate_emulator.core.errors import conflict, not_found
from taskgate_emulator.core.generic import delete_contents, list_plain, perform_plain
from taskgate_emulator.core.operations import Call
from taskgate_emulator.core.paging import list_rows
from taskgate_emulator.core.state import Account, Key, Record
from taskgate_emulator.deadline.behaviour import OPERATIONS, build_key, require_record
from taskgate_emulator.deadline.counts import TaskCountIndex
from taskgate_emulator.deadline.fleets import ASSOCIATION, LIMITED_QUEUE
from taskgate_emulator.deadline.tasks import QUEUE

__all__ = ["BUDGET", "is_blocked"]

BUDGET = "deadline.Budget"
_PROFILE = "deadline.StorageProfile"


@OPERATIONS.register("GetQueue")
def get_queue(call: Call) -> Record:
    """Return a queue with its status."""
    record = require_record(call.account, QUEUE, call.params)
    return _with_status(call.account, build_key(QUEUE, call.params), record)


@OPERATIONS.register("ListQueues")
def list_queues(call: Call) -> Record:
    """Return the queues of a farm with their status."""
    return list_plain(call, lambda key, record: _with_status(call.account, key, record))


@OPERATIONS.register("DeleteQueue")
def delete_queue(call: Call) -> Record:
    """Delete a queue with its jobs and environments, unless it has associations."""
    account, queue = call.account, build_key(QUEUE, call.params)
    require_record(account, QUEUE, call.params)
    for kind in (ASSOCIATION, LIMITED_QUEUE):
        for _, record in account.table(kind).records(queue[0]):
            if record["queueId"] == queue[1]:
                other = record.get("fleetId") or record.get("limitId")
                message = f"It is associated with {other}; delete the association first"
                raise conflict("queue", queue[1], message, "RESOURCE_IN_USE")
    delete_contents(account, load_catalog("deadline").resources["Queue"], queue)
    return perform_plain(call)


@OPERATIONS.register("GetStorageProfileForQueue")
def get_storage_profile_for_queue(call: Call) -> Record:
    """Return a storage profile that the queue allows."""
    queue = require_record(call.account, QUEUE, call.params)
    identity = call.params["storageProfileId"]
    record = call.account.table(_PROFILE).record((call.params["farmId"], identity))
    if record is None or not _is_allowed(queue, identity):
        raise not_found("storageProfile", identity)
    return record


@OPERATIONS.register("ListStorageProfilesForQueue")
def list_storage_profiles_for_queue(call: Call) -> Record:
    """Return the storage profiles that the queue allows."""
    queue = require_record(call.account, QUEUE, call.params)

    def to_item(key: Key, record: Record) -> Record | None:
        return record if _is_allowed(queue, key[-1]) else None

    return list_rows(call, "storageProfiles", _PROFILE, (call.params["farmId"],), to_item)


def is_blocked(account: Account, queue: Key) -> bool:
    """Return whether a queue may not schedule tasks, because it needs a budget and has none.

    `defaultBudgetAction` in AWS's API reference is what happens to a queue without a budget. The
    emulated tasks cost nothing, so no budget is ever exhausted.
    """
    record = account.table(QUEUE).record(queue) or {}
    if record.get("defaultBudgetAction", "NONE") == "NONE":
        return False
    return not any(
        budget["status"] == "ACTIVE" and budget["usageTrackingResource"].get("queueId") == queue[1]
        for _, budget in account.table(BUDGET).records(queue[0])
    )


def _with_status(account: Account, key: Key, record: Record) -> dict[str, Any]:
    """Merge a queue's record with the status that follows from its tasks and budgets."""
    if is_blocked(account, key):
        blocked = {"status": "SCHEDULING_BLOCKED", "blockedReason": "NO_BUDGET_CONFIGURED"}
        return {**record, **blocked}
    is_active = account.index(TaskCountIndex).has_active_tasks(key)
    return {**record, "status": "SCHEDULING" if is_active else "IDLE"}


def _is_allowed(queue: Record, profile: str) -> bool:
    return profile in (queue.get("allowedStorageProfileIds") or ())
