"""The logs of HealthOmics' run tasks: each has a stream of its own.

https://docs.aws.amazon.com/omics/latest/dev/monitoring-cloudwatch-logs.html
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from taskgate_server.aws.paging import PagedOperation
from taskgate_server.services.omics.tasks import NAMES, STATES
from taskgate_server.tasks.logs.finder import (
    LogFinder,
    LogPlace,
    check_attempt,
    moment,
)
from taskgate_server.tasks.states import SETTLED, state_of
from taskgate_server.upstream.options import CallOptions

LIST: Final = PagedOperation("omics", "ListRunTasks")

LIST_MAX_AGE_SECONDS: Final = 30.0
"""Attempts are counted in the list of the run's tasks, a call for each hundred of them."""

STREAM_ARN: Final = re.compile(r"arn:[^:]+:logs:.*:log-group:([^:]+):log-stream:([^:*]+)")
"""`logStream` of GetRunTask."""


class Finder(LogFinder):
    """Finds them."""

    async def find(
        self,
        params: Mapping[str, str],
        attempt: int | None,
        options: CallOptions,
        known: LogPlace | None,
    ) -> LogPlace:
        """See `LogFinder.find`. Without a number it is the named task itself."""
        named = params["taskId"]
        task = await self.ask(NAMES.operation, params, options)
        if not _has_run(task):
            return LogPlace(is_over=_is_settled(task))
        if known is not None and known.attempt:
            number, count, chosen = known.attempt, known.attempt_count, known.attempt_id
        else:
            attempts = await self._attempts(params, task, options)
            count = len(attempts)
            number = check_attempt(attempt or attempts.index(named) + 1, count)
            chosen = attempts[number - 1]
        if chosen != named:
            task = await self.ask(NAMES.operation, {**params, "taskId": chosen}, options)
        return _place({**params, "taskId": chosen}, task, (number, count))

    async def _attempts(
        self, params: Mapping[str, str], task: Mapping[str, Any], options: CallOptions
    ) -> list[str]:
        """The ids of the tasks of the same name that have run, in the order of their creation."""
        options = replace(options, max_age=LIST_MAX_AGE_SECONDS)
        named = params["taskId"]
        rows = await self.rows(LIST, {"id": params["id"]}, options)
        others = [
            row
            for row in rows
            if row.get("name") == task.get("name") and row["taskId"] != named and _has_run(row)
        ]
        return [row["taskId"] for row in sorted([*others, {**task, "taskId": named}], key=_created)]


def _place(
    params: Mapping[str, str], task: Mapping[str, Any], attempts: tuple[int, int]
) -> LogPlace:
    found = STREAM_ARN.fullmatch(task.get("logStream") or "")
    names = ("/aws/omics/WorkflowLog", "run/{id}/task/{taskId}".format_map(params))
    group, stream = found.groups() if found else names
    return LogPlace(
        attempt=attempts[0],
        attempt_count=attempts[1],
        attempt_id=params["taskId"],
        group=group,
        stream=stream,
        ended=moment(task.get("stopTime"), NAMES.operation),
        is_over=_is_settled(task),
    )


def _has_run(task: Mapping[str, Any]) -> bool:
    return bool(task.get("startTime") or task.get("logStream"))


def _is_settled(task: Mapping[str, Any]) -> bool:
    return state_of(task.get("status"), STATES) in SETTLED


def _created(task: Mapping[str, Any]) -> tuple[int, int]:
    created = moment(task.get("creationTime"), LIST.operation)
    return (created.seconds, created.nanos) if created is not None else (0, 0)
