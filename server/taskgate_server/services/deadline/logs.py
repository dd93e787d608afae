"""Finds the logs of Deadline Cloud's tasks: a session has one stream for all tasks that it runs.

An attempt at a task is a session action. Its id contains the id of the session, and the log group
of the queue has a stream for each session, so that only the times have to be read. The worker agent
determines these names: https://github.com/aws-deadline/deadline-cloud-worker-agent
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from taskgate_server.aws.paging import PagedOperation
from taskgate_server.services.deadline.spec import SPEC
from taskgate_server.services.deadline.tasks import NAMES, STATES
from taskgate_server.tasks.logs.finder import (
    LogFinder,
    LogLocation,
    check_attempt,
    to_timestamp,
)
from taskgate_server.tasks.states import SETTLED, state_of
from taskgate_server.upstream.options import CallOptions

LIST: Final = PagedOperation(SPEC.name, "ListSessionActions")
JOB_IDS: Final = ("farmId", "queueId", "jobId")


class Finder(LogFinder):
    """See `LogFinder`."""

    async def find(
        self,
        params: Mapping[str, str],
        attempt: int | None,
        options: CallOptions,
        known: LogLocation | None,
    ) -> LogLocation:
        """See `LogFinder.find`."""
        task = await self.call(NAMES.operation, params, options)
        latest = task.get("latestSessionActionId")
        is_settled = state_of(task.get("runStatus"), STATES) in SETTLED
        if latest is None:
            return LogLocation(is_over=is_settled)
        job = {member: params[member] for member in JOB_IDS}
        action: Mapping[str, Any]
        if known is not None and known.attempt and (attempt or known.attempt_id == latest):
            action = await self._action(job, known.attempt_id, options)
            number, count = known.attempt, known.attempt_count
        else:
            actions = await self._started(job, params["taskId"], latest, options)
            if not actions:
                return LogLocation(is_over=is_settled)
            count = len(actions)
            number = check_attempt(attempt or count, count)
            action = actions[number - 1]
        ended = to_timestamp(action.get("endedAt"), LIST.operation)
        return LogLocation(
            attempt=number,
            attempt_count=count,
            attempt_id=action["sessionActionId"],
            group="/aws/deadline/{farmId}/{queueId}".format_map(params),
            stream=session_of(action["sessionActionId"]),
            start=to_timestamp(action.get("startedAt"), LIST.operation),
            end=ended,
            ended=ended,
            is_over=is_settled or (attempt is not None and ended is not None),
        )

    async def _action(
        self, job: Mapping[str, str], action_id: str, options: CallOptions
    ) -> Mapping[str, Any]:
        ids = {**job, "sessionActionId": action_id}
        return {**await self.call("GetSessionAction", ids, options), **ids}

    async def _started(
        self, job: Mapping[str, str], task_id: str, latest: str, options: CallOptions
    ) -> list[Mapping[str, Any]]:
        """Return the session actions that have run the task, in the order of their start."""
        actions, _ = await self.backend.read_rows(LIST, {**job, "taskId": task_id}, options)
        if all(action["sessionActionId"] != latest for action in actions):
            # The two responses of AWS may be from different times.
            actions.append(await self._action(job, latest, options))
        started = [
            (start.seconds, start.nanos, action)
            for action in actions
            if (start := to_timestamp(action.get("startedAt"), LIST.operation)) is not None
        ]
        return [action for _, _, action in sorted(started, key=lambda each: each[:2])]


def session_of(action_id: str) -> str:
    """Return the session of a session action: `session-<hex>` for `sessionaction-<hex>-<n>`.

    AWS's own client does the same (deadline-cloud, `_job_monitoring.py`).
    """
    return f"session-{action_id.removeprefix('sessionaction-').rpartition('-')[0]}"
