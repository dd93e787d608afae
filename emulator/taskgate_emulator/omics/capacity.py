"""The capacity limits of HealthOmics, and what waits for capacity.

Waiting and active runs and tasks are rows of their own, so that no check has to scan all runs and
tasks. A run or task has capacity from STARTING to its end.

https://docs.aws.amazon.com/omics/latest/dev/service-quotas.html
"""

from __future__ import annotations

import math
from collections.abc import Iterator

from taskgate_emulator.core.state import Account, Record

__all__ = [
    "ACTIVE_RUN",
    "ACTIVE_TASK",
    "TASKS_PER_RUN",
    "WAITING_RUN",
    "WAITING_TASK",
    "group_runs",
    "run_fits",
    "task_fits",
    "waiting_runs",
]

WAITING_RUN, ACTIVE_RUN = "omics.WaitingRun", "omics.ActiveRun"
WAITING_TASK, ACTIVE_TASK = "omics.WaitingTask", "omics.ActiveTask"

TASKS_PER_RUN = 25
_ACTIVE_RUNS = {"DYNAMIC": 50, "STATIC": 10}
"""By the run's storage type."""


def waiting_runs(account: Account) -> list[tuple[str, Record]]:
    """Return the waiting runs, ordered by priority, then by age."""
    return sorted(account.table(WAITING_RUN).records(), key=_rank)


def run_fits(account: Account, run: Record) -> bool:
    """Return whether a waiting run may start."""
    active = list(account.table(ACTIVE_RUN).records())
    storage = run["storage"]
    if sum(other["storage"] == storage for _, other in active) >= _ACTIVE_RUNS[storage]:
        return False
    group = _group(account, run["group"])
    maximum = group.get("maxRuns")
    return maximum is None or sum(other["group"] == run["group"] for _, other in active) < maximum


def task_fits(account: Account, run_id: str, task: Record) -> bool:
    """Return whether a waiting task may start."""
    if account.table(ACTIVE_TASK).size(run_id) >= TASKS_PER_RUN:
        return False
    run = account.table(ACTIVE_RUN).record((run_id,))
    group = _group(account, run["group"] if run else None)
    for member, limit in (("cpus", "maxCpus"), ("gpus", "maxGpus")):
        maximum = group.get(limit)
        if maximum is not None and run is not None:
            used = sum(
                other[member]
                for each in group_runs(account, run["group"])
                for _, other in account.table(ACTIVE_TASK).records(each)
            )
            if used + task[member] > maximum:
                return False
    return True


def group_runs(account: Account, group: str | None) -> Iterator[str]:
    """Yield the active runs of a run group, in the order in which their tasks get capacity."""
    for run_id, run in sorted(account.table(ACTIVE_RUN).records(), key=_rank):
        if group is not None and run["group"] == group:
            yield run_id


def _rank(entry: tuple[str, Record]) -> float:
    """Return the sort key of a run: priority 1 is first.

    AWS does not document where a run without a priority comes; here it is last.
    https://docs.aws.amazon.com/omics/latest/api/API_StartRun.html: priority
    """
    return float(entry[1]["priority"] or math.inf)


def _group(account: Account, group: str | None) -> Record:
    record = account.table("omics.RunGroup").record((group,)) if group is not None else None
    return record or {}
