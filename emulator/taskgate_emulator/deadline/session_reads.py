"""Reads of sessions of Deadline Cloud that are no plain resource's."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from taskgate_emulator.core.errors import not_found
from taskgate_emulator.core.operations import Call
from taskgate_emulator.core.paging import paginate
from taskgate_emulator.core.state import Record
from taskgate_emulator.deadline.behaviour import OPERATIONS, require_record
from taskgate_emulator.deadline.fleets import FLEET, WORKER
from taskgate_emulator.deadline.sessions import SESSION
from taskgate_emulator.deadline.tasks import FARM


@OPERATIONS.register("ListSessionsForWorker")
def list_sessions_for_worker(call: Call) -> dict[str, Any]:
    """The sessions that a worker has had, of whatever job."""
    account, params = call.account, call.params
    require_record(account, FARM, params)
    worker = (params["farmId"], params["fleetId"], params["workerId"])
    if account.table(FLEET).record(worker[:2]) is None:
        raise not_found("fleet", worker[1])
    if account.table(WORKER).record(worker) is None:
        raise not_found("worker", worker[2])
    found = []
    for key in account.table(SESSION):
        row = account.table(SESSION).row(key)
        if row is not None and key[0] == worker[0]:
            record = row.timeline.record
            if (record["fleetId"], record["workerId"]) == worker[1:]:
                found.append((row.number, {**record, "queueId": key[1], "jobId": key[2]}))
    found.sort(key=lambda numbered: numbered[0])

    def rows_after(number: int) -> Iterator[tuple[int, Record]]:
        return (numbered for numbered in found if numbered[0] > number)

    rows, token = paginate(call.operation, params, rows_after)
    return {"sessions": rows, "nextToken": token}
