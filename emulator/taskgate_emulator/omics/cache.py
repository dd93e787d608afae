"""Run caches: a run reuses the results of completed tasks.

The key of an entry is everything that determines the result: the task's source, resources, image
and inputs. Entries are stored when a run ends, as its cache behaviour defines, but not after a
cancellation or a timeout.

https://docs.aws.amazon.com/omics/latest/dev/workflow-cache-startrun.html
"""

from __future__ import annotations

from taskgate_emulator.core.state import Account, Record, Transition
from taskgate_emulator.omics.behaviour import OPERATIONS, RUN, RUN_TASK

__all__ = ["RUN_CACHE", "cached_uri", "new_uri"]

RUN_CACHE = "omics.RunCache"
_ENTRY = "omics.CacheEntry"


def cached_uri(account: Account, run: Record, digest: str) -> str | None:
    """Return the location of a call's result, if the cache of its run has it."""
    entry = account.table(_ENTRY).record((run.get("cacheId", ""), digest))
    return None if entry is None else entry["uri"]


def new_uri(account: Account, run: Record, task_id: str) -> str:
    """Return the location for the result of a task."""
    cache = account.table(RUN_CACHE).record((run["cacheId"],)) or {}
    base = str(cache.get("cacheS3Uri", run["outputUri"])).rstrip("/")
    return f"{base}/{run['cacheId']}/{run['uuid']}/{task_id}"


@OPERATIONS.on_change(RUN)
def store_results(account: Account, transition: Transition) -> None:
    """Store the results of a run's tasks when it ends."""
    before, run = transition.before, transition.after
    if run is None or "cacheId" not in run or not _stores_results(run):
        return
    if before is not None and before["status"] == run["status"]:
        return
    for _, task in account.table(RUN_TASK).records(*transition.key):
        if task["status"] == "COMPLETED" and "_digest" in task and not task.get("cacheHit"):
            key = (run["cacheId"], task["_digest"])
            account.put(_ENTRY, key, {"uri": task["cacheS3Uri"]})


def _stores_results(run: Record) -> bool:
    if run["status"] == "FAILED":
        return bool(run.get("failureReason") != "RUN_TIMED_OUT")
    return bool(run["status"] == "COMPLETED" and run.get("cacheBehavior") == "CACHE_ALWAYS")


@OPERATIONS.on_change(RUN_CACHE)
def delete_results(account: Account, transition: Transition) -> None:
    """Delete the entries of a deleted cache."""
    if transition.after is None:
        for digest in account.table(_ENTRY).ids(*transition.key):
            account.delete(_ENTRY, (*transition.key, digest))
