"""Fleets of Deadline Cloud and their workers.

Like AWS's auto scaling, a fleet starts workers when its queues have tasks, up to its
`maxWorkerCount`; it never stops one. CreateQueueFleetAssociation connects queues and fleets.
"""

from __future__ import annotations

from collections import defaultdict

from taskgate_emulator.core.state import CALLER, Account, Key, Record

__all__ = [
    "ASSOCIATION",
    "FLEET",
    "LIMIT",
    "LIMITED_QUEUE",
    "WORKER",
    "IdleWorkerIndex",
    "fleets_of",
    "idle_worker",
    "may_have_worker",
    "queues_of",
    "worker_by_number",
]

FLEET, WORKER = "deadline.Fleet", "deadline.Worker"
"""The kinds of rows; `_task` of a worker is the key of its current task."""
ASSOCIATION = "deadline.QueueFleetAssociation"
LIMIT, LIMITED_QUEUE = "deadline.Limit", "deadline.QueueLimitAssociation"

_MAX_NUMBERED = 100
"""The workers that `worker_by_number` starts; a fleet may have two billion."""


class IdleWorkerIndex:
    """The idle workers of each fleet: an index of the workers."""

    def __init__(self) -> None:
        self._idle: defaultdict[Key, dict[str, None]] = defaultdict(dict)

    def idle(self, fleet: Key) -> str | None:
        """Return the worker that has been idle for longest."""
        return next(iter(self._idle.get(fleet, ())), None)

    def update(self, key: Key, _before: Record | None, after: Record | None) -> None:
        """Apply the creation, change or deletion of a worker."""
        idle = self._idle[key[:-1]]
        if after is not None and after.get("_task") is None:
            idle[key[-1]] = None
        else:
            idle.pop(key[-1], None)


def fleets_of(account: Account, queue: Key) -> list[Key]:
    """Return the active fleets of a queue."""
    return [(queue[0], fleet) for each, fleet in _links(account, queue[0]) if each == queue[1]]


def queues_of(account: Account, fleet: Key) -> list[Key]:
    """Return the active queues of a fleet."""
    return [(fleet[0], queue) for queue, each in _links(account, fleet[0]) if each == fleet[1]]


def idle_worker(account: Account, fleet: Key) -> Key | None:
    """Return an idle worker; start one if there is none and the fleet may have another."""
    worker = account.index(IdleWorkerIndex).idle(fleet)
    if worker is not None:
        return (*fleet, worker)
    return _start_worker(account, fleet)


def may_have_worker(account: Account, fleet: Key) -> bool:
    """Return whether a fleet has an idle worker or may start one."""
    if account.index(IdleWorkerIndex).idle(fleet) is not None:
        return True
    record = account.table(FLEET).record(fleet)
    return record is not None and account.table(WORKER).size(*fleet) < record["maxWorkerCount"]


def worker_by_number(account: Account, fleet: Key, number: int) -> Key | None:
    """Return a worker of a fleet, idle or not; the same number gives the same worker.

    Returns:
        The worker, or None if the fleet may not have workers.
    """
    workers = account.table(WORKER)
    maximum = (account.table(FLEET).record(fleet) or {}).get("maxWorkerCount", 0)
    count = max(min(maximum, _MAX_NUMBERED), workers.size(*fleet))
    if count == 0:
        return None
    while workers.size(*fleet) <= number % count:
        if _start_worker(account, fleet) is None:
            return None
    return (*fleet, workers.ids(*fleet)[number % count])


def _links(account: Account, farm: str) -> list[tuple[str, str]]:
    return [
        (record["queueId"], record["fleetId"])
        for _, record in account.table(ASSOCIATION).records(farm)
        if record["status"] == "ACTIVE"
    ]


def _start_worker(account: Account, fleet: Key) -> Key | None:
    record = account.table(FLEET).record(fleet)
    number = account.table(WORKER).size(*fleet)
    if record is None or number >= record["maxWorkerCount"]:
        return None
    worker = f"worker-{account.new_hex_id()}"
    host = f"render-{number + 1:03}"
    account.put(
        WORKER,
        (*fleet, worker),
        {
            "farmId": fleet[0],
            "fleetId": fleet[1],
            "workerId": worker,
            "status": "IDLE",
            "hostProperties": {
                "hostName": host,
                "ipAddresses": {"ipV4Addresses": [f"10.0.{number // 250}.{number % 250 + 1}"]},
            },
            "log": {
                "logDriver": "awslogs",
                "options": {
                    "logGroupName": f"/aws/deadline/{fleet[0]}/{fleet[1]}",
                    "logStreamName": worker,
                },
            },
            "createdAt": account.now,
            "createdBy": CALLER,
        },
    )
    account.update(FLEET, fleet, workerCount=number + 1)
    return (*fleet, worker)
