"""Simulated failures of run tasks.

A test schedules them with `aws.runs.fail`. Clients with only AWS's API use tags on the run:
`taskgate:fail-task` has a task name with wildcards, AWS's failure reason and the number of failing
attempts, separated by colons. `taskgate:task-seconds` sets how long each task is RUNNING.
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
    "take_failure",
]

FAIL_TAG, SECONDS_TAG = "taskgate:fail-task", "taskgate:task-seconds"
SERVICE_ERROR = "SERVICE_ERROR"
"""The only reason after which HealthOmics retries a task."""

_FAILURE = "omics.TaskFailure"
ANY_RUN = ""
"""Matches every run of the account."""
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
    """Make the next attempts at tasks fail.

    Args:
        account: that has the runs.
        name: of the tasks, with `*` and `?`.
        run_id: only in this run.
        reason: AWS's `failureReason`.
        message: becomes `statusMessage`.
        times: the number of attempts.
    """
    status_message = message or _MESSAGES.get(reason, f"The task ended with {reason}.")
    number = str(account.random.getrandbits(63))
    record = {"name": name, "reason": reason, "message": status_message, "times": times}
    account.put(_FAILURE, (run_id, number), record)


def schedule_tagged_failures(account: Account, run_id: str, tags: Mapping[str, str]) -> None:
    """Schedule the failures in the tags of a run.

    Raises:
        AwsError: a tag is malformed.
    """
    failure = tags.get(FAIL_TAG)
    if failure is not None:
        name, _, rest = failure.partition(":")
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
    """Delete the scheduled failures of a run that has ended."""
    for number in account.table(_FAILURE).ids(run_id):
        account.delete(_FAILURE, (run_id, number))


def take_failure(account: Account, run_id: str, name: str) -> dict[str, Any] | None:
    """Return the final members of an attempt that must fail, or None; count the failure."""
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
