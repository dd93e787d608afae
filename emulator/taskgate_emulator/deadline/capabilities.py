"""Compares a step's host requirements with a fleet's capabilities.

AWS's developer guide, "Schedule jobs in Deadline Cloud" and "Create resource limits for jobs": the
capabilities of the fleet as a whole count, and an amount may be a limit of the queue.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from taskgate_emulator.core.state import Account, Key
from taskgate_emulator.deadline.fleets import FLEET, LIMIT, LIMITED_QUEUE, fleets_of
from taskgate_emulator.deadline.tasks import STEP

__all__ = ["can_run", "is_compatible"]

_AMOUNTS = {
    "amount.worker.vcpu": "vCpuCount",
    "amount.worker.memory": "memoryMiB",
    "amount.worker.gpu": "acceleratorCount",
}
_ATTRIBUTES = {
    "attr.worker.os.family": "osFamily",
    "attr.worker.cpu.arch": "cpuArchitectureType",
}
"""Names of the Open Job Description specification, and the fleet's members for them."""
_STANDARD = ("amount.worker.", "attr.worker.")
"""A fleet without a value for one of these accepts any instances."""

_Members = Mapping[str, Any]


def is_compatible(account: Account, step: Key) -> bool:
    """Return whether a fleet of the queue can run a step, or the queue has no fleet yet."""
    fleets = fleets_of(account, step[:2])
    return not fleets or any(can_run(account, step, fleet) for fleet in fleets)


def can_run(account: Account, step: Key, fleet: Key) -> bool:
    """Return whether a fleet can run the tasks of a step."""
    required: _Members = (account.table(STEP).record(step) or {}).get("requiredCapabilities") or {}
    if not required:
        return True
    has = _capabilities((account.table(FLEET).record(fleet) or {}).get("configuration") or {})
    return all(
        _is_limit(account, step[:2], amount["name"]) or _has_amount(has, amount)
        for amount in required.get("amounts", ())
    ) and all(_has_attribute(has, attribute) for attribute in required.get("attributes", ()))


def _capabilities(configuration: _Members) -> _Members:
    own = configuration.get("customerManaged", {}).get("workerCapabilities")
    service = configuration.get("serviceManagedEc2", {}).get("instanceCapabilities")
    found: _Members = own or service or {}
    accelerators = found.get("acceleratorCapabilities", {}).get("count")
    return {"acceleratorCount": accelerators, **found} if accelerators else found


def _is_limit(account: Account, queue: Key, name: str) -> bool:
    """Return whether an amount is a limit of the queue."""
    limits = account.table(LIMIT)
    return any(
        limit["amountRequirementName"] == name
        and any(
            (link["queueId"], link["limitId"]) == (queue[1], limit_id)
            for _, link in account.table(LIMITED_QUEUE).records(queue[0])
        )
        for limit_id, limit in limits.records(queue[0])
    )


def _has_amount(has: _Members, required: _Members) -> bool:
    """Return whether all hosts of the fleet are within the required range."""
    name = required["name"]
    known = has.get(_AMOUNTS.get(name, "")) or _named(has.get("customAmounts", ()), name)
    if known is None:
        return bool(name.startswith(_STANDARD))
    maximum = required.get("max")
    return known.get("min", 0) >= (required.get("min") or 0) and (
        maximum is None or known.get("max", maximum + 1) <= maximum
    )


def _has_attribute(has: _Members, required: _Members) -> bool:
    name = required["name"]
    known = has.get(_ATTRIBUTES.get(name, ""))
    custom = _named(has.get("customAttributes", ()), name)
    if known is None and custom is None:
        return bool(name.startswith(_STANDARD))
    values = {str(value).lower() for value in (custom["values"] if custom else [known])}
    some = {value.lower() for value in required.get("anyOf") or values}
    every = {value.lower() for value in required.get("allOf") or ()}
    return bool(values & some) and every <= values


def _named(items: Iterable[_Members], name: str) -> _Members | None:
    return next((item for item in items if item["name"] == name), None)
