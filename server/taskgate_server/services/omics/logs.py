"""Finds the logs of HealthOmics' tasks: each task has a stream of its own.

https://docs.aws.amazon.com/omics/latest/dev/monitoring-cloudwatch-logs.html
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from taskgate_server.services.omics.tasks import LIST_TASKS, NAMES, STATES
from taskgate_server.tasks.logs.finder import (
    LogFinder,
    LogLocation,
    check_attempt,
    to_timestamp,
)
from taskgate_server.tasks.states import SETTLED, state_of
from taskgate_server.upstream.options import CallOptions

LIST_MAX_AGE_SECONDS: Final = 30.0
"""Attempts are counted in the list of the run's tasks, a call for each 100 tasks."""

STREAM_ARN: Final = re.compile(r"arn:[^:]+:logs:.*:log-group:([^:]+):log-stream:([^:*]+)")
"""`logStream` of GetRunTask."""


class Finder(LogFinder):
    """See `LogFinder`."""

    async def find(
        self,
        params: Mapping[str, str],
        attempt: int | None,
        options: CallOptions,
        known: LogLocation | None,
    ) -> LogLocation:
        """See `LogFinder.find`. Without a number, the attempt is the named task itself."""
        named = params["taskId"]
        task = await self.call(NAMES.operation, params, options)
        if not _has_run(task):
            return LogLocation(is_over=_is_settled(task))
        if known is not None and known.attempt:
            number, count, chosen = known.attempt, known.attempt_count, known.attempt_id
        else:
            attempts = await self._attempts(params, task, options)
            count = len(attempts)
            number = check_attempt(attempt or attempts.index(named) + 1, count)
            chosen = attempts[number - 1]
        if chosen != named:
            task = await self.call(NAMES.operation, {**params, "taskId": chosen}, options)
        return _location({**params, "taskId": chosen}, task, (number, count))

    async def _attempts(
        self, params: Mapping[str, str], task: Mapping[str, Any], options: CallOptions
    ) -> list[str]:
        """Return the ids of the tasks of that name that have run, ordered by creation time."""
        options = replace(options, max_age=LIST_MAX_AGE_SECONDS)
        named = params["taskId"]
        rows, _ = await self.backend.read_rows(LIST_TASKS, {"id": params["id"]}, options)
        others = [
            row
            for row in rows
            if row.get("name") == task.get("name") and row["taskId"] != named and _has_run(row)
        ]
        return [row["taskId"] for row in sorted([*others, {**task, "taskId": named}], key=_created)]


def _location(
    params: Mapping[str, str], task: Mapping[str, Any], attempts: tuple[int, int]
) -> LogLocation:
    arn = STREAM_ARN.fullmatch(task.get("logStream") or "")
    default = ("/aws/omics/WorkflowLog", "run/{id}/task/{taskId}".format_map(params))
    group, stream = arn.groups() if arn else default
    return LogLocation(
        attempt=attempts[0],
        attempt_count=attempts[1],
        attempt_id=params["taskId"],
        group=group,
        stream=stream,
        ended=to_timestamp(task.get("stopTime"), NAMES.operation),
        is_over=_is_settled(task),
    )


def _has_run(task: Mapping[str, Any]) -> bool:
    return bool(task.get("startTime") or task.get("logStream"))


def _is_settled(task: Mapping[str, Any]) -> bool:
    return state_of(task.get("status"), STATES) in SETTLED


def _created(task: Mapping[str, Any]) -> tuple[int, int]:
    created = to_timestamp(task.get("creationTime"), LIST_TASKS.operation)
    return (created.seconds, created.nanos) if created is not None else (0, 0)
