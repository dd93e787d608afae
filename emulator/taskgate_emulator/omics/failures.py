"""Failures of run tasks, asked for beforehand: real ones would need real work.

A test asks with `aws.runs.fail`. Whoever has only AWS's API asks with tags on the run:
`taskgate:fail-task` is a task's name with wildcards, then, each after a colon, AWS's word for the
reason and how many attempts fail. `taskgate:task-seconds` says how long each task is RUNNING.
"""

from __future__ import annotations

from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import Any

from taskgate_emulator.core.errors import AwsError
from taskgate_emulator.core.state import Account

__all__ = [
    "ANY_RUN",
    "FAIL_TAG",
    "SECONDS_TAG",
    "SERVICE_ERROR",
    "delete_failures",
    "schedule_failure",
    "schedule_tagged_failures",
    "take",
]

FAIL_TAG, SECONDS_TAG = "taskgate:fail-task", "taskgate:task-seconds"
SERVICE_ERROR = "SERVICE_ERROR"
"""The reason that HealthOmics itself tries a task again for."""

_FAILURE = "omics.TaskFailure"
ANY_RUN = ""
"""Stands for every run of the account."""
_MESSAGES = {SERVICE_ERROR: "A transient error happened in the service."}


def schedule_failure(
    account: Account,
    name: str,
    *,
    run_id: str = ANY_RUN,
    reason: str = SERVICE_ERROR,
    message: str | None = None,
    times: int = 1,
) -> None:
    """Let attempts at tasks fail from now on.

    Args:
        account: whose runs.
        name: of the tasks, with `*` and `?`.
        run_id: only in this run.
        reason: AWS's word, which becomes `failureReason`.
        message: becomes `statusMessage`.
        times: how many attempts.
    """
    told = message or _MESSAGES.get(reason, f"The task ended with {reason}.")
    number = str(account.random.getrandbits(63))
    record = {"name": name, "reason": reason, "message": told, "times": times}
    account.put(_FAILURE, (run_id, number), record)


def schedule_tagged_failures(account: Account, run_id: str, tags: Mapping[str, str]) -> None:
    """Do what the tags of a run ask for.

    Raises:
        AwsError: they cannot be understood.
    """
    asked = tags.get(FAIL_TAG)
    if asked is not None:
        name, _, rest = asked.partition(":")
        reason, _, times = rest.partition(":")
        if times and not times.isdecimal():
            raise AwsError("ValidationException", f"{FAIL_TAG} is NAME:REASON:TIMES")
        schedule_failure(
            account, name, run_id=run_id, reason=reason or SERVICE_ERROR, times=int(times or 1)
        )
    seconds = tags.get(SECONDS_TAG)
    if seconds is not None and not seconds.isdecimal():
        raise AwsError("ValidationException", f"{SECONDS_TAG} is a whole number of seconds")


def delete_failures(account: Account, run_id: str) -> None:
    """Drop what was asked for a run that is over."""
    for number in account.table(_FAILURE).ids(run_id):
        account.delete(_FAILURE, (run_id, number))


def take(account: Account, run_id: str, name: str) -> dict[str, Any] | None:
    """What the end of an attempt sets when it is to fail; each failure asked for is taken once."""
    for scope in (run_id, ANY_RUN):
        for number, failure in account.table(_FAILURE).records(scope):
            if fnmatchcase(name, failure["name"]):
                if failure["times"] > 1:
                    account.update(_FAILURE, (scope, number), times=failure["times"] - 1)
                else:
                    account.delete(_FAILURE, (scope, number))
                return {
                    "status": "FAILED",
                    "failureReason": failure["reason"],
                    "statusMessage": failure["message"],
                }
    return None
