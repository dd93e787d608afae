"""The members of HealthOmics' messages that this folder uses; see `aws.used_members`."""

from __future__ import annotations

from typing import Final

from taskgate_server.aws.used_members import UsedMembers

_TIMES = ("creationTime", "startTime", "stopTime")
_ROW = ("taskId", "status", "name", *_TIMES)

USED_MEMBERS: Final = {
    "GetRunTask": UsedMembers(
        request=("id", "taskId"),
        response=(
            *_ROW,
            *("statusMessage", "failureReason", "logStream"),
            *("cpus", "memory", "gpus", "instanceType"),
        ),
    ),
    "ListRunTasks": UsedMembers(
        request=("id", "status", "maxResults", "startingToken"),
        response=("nextToken", *(f"items.{name}" for name in _ROW)),
    ),
    "GetRun": UsedMembers(
        request=("id",), response=("status", "name", "failureReason", "statusMessage", *_TIMES)
    ),
}
