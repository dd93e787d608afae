"""The members of Deadline Cloud's messages that this folder uses; see `aws.used_members`."""

from __future__ import annotations

from typing import Final

from taskgate_server.aws.used_members import UsedMembers

_JOB = ("farmId", "queueId", "jobId")
_STEP = (*_JOB, "stepId")
_PAGE = ("maxResults", "nextToken")
_TIMES = ("createdAt", "startedAt", "endedAt", "updatedAt")
_TASK = (*_TIMES, "runStatus", "targetRunStatus", "failureRetryCount", "parameters")
_PARENT = ("taskRunStatus", "taskRunStatusCounts", "lifecycleStatus", "updatedAt")
_WHOLE_PARENT = (*_PARENT, *_TIMES, "name", "lifecycleStatusMessage")
_ACTION = ("startedAt", "endedAt")

USED_MEMBERS: Final = {
    "GetTask": UsedMembers(
        request=(*_STEP, "taskId"), response=("taskId", *_TASK, "latestSessionActionId")
    ),
    "ListTasks": UsedMembers(
        request=(*_STEP, *_PAGE),
        response=("nextToken", "tasks.taskId", *(f"tasks.{name}" for name in _TASK)),
    ),
    "SearchTasks": UsedMembers(
        request=("farmId", "queueIds", "itemOffset", "pageSize"),
        response=(
            *("totalResults", "nextItemOffset"),
            *("tasks.jobId", "tasks.queueId", "tasks.stepId", "tasks.taskId", "tasks.runStatus"),
        ),
    ),
    "UpdateTask": UsedMembers(request=(*_STEP, "taskId", "targetRunStatus")),
    "GetStep": UsedMembers(request=_STEP, response=_WHOLE_PARENT),
    "GetJob": UsedMembers(request=_JOB, response=_WHOLE_PARENT),
    "ListSteps": UsedMembers(
        request=(*_JOB, *_PAGE),
        response=("nextToken", "steps.stepId", *(f"steps.{name}" for name in _PARENT)),
    ),
    "ListSessionActions": UsedMembers(
        request=(*_JOB, "taskId"),
        response=("sessionActions.sessionActionId", *(f"sessionActions.{e}" for e in _ACTION)),
    ),
    "GetSessionAction": UsedMembers(request=(*_JOB, "sessionActionId"), response=_ACTION),
}
