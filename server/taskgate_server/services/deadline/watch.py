"""Reads changes from Deadline Cloud: the counts of a step show whether its tasks have changed.

To list the tasks of a step takes 100 calls for 10,000 tasks, but one call lists the steps of a job
with the number of tasks in each state. A step whose counts match those of the known tasks is not
listed. The next full sweep finds two tasks that have exchanged their states.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping
from typing import Any, Final

from grpc import StatusCode

from taskgate_server.errors import TaskgateError
from taskgate_server.services.deadline.listing import LIST_STEPS, LIST_TASKS
from taskgate_server.tasks.names import Parent
from taskgate_server.tasks.watch.change_log import ChangeLog
from taskgate_server.tasks.watch.poll_interval import Pace
from taskgate_server.tasks.watch.sources import (
    Faults,
    Poll,
    Reader,
    Source,
    TimedRows,
    raise_first,
    row_id,
)

CONCURRENT_STEPS: Final = 4
WAITING: Final = frozenset({"PENDING", "READY"})
"""States of tasks without a worker, of which there may be thousands for a long time."""
TASKS_PER_CALL: Final = 100
"""Tasks that one call reads, by name or as a page."""
FEW_STEPS: Final = 3
MAX_BY_NAME: Final = 300
"""Tasks of a step that are read by name before the whole step is listed."""
MAX_TRIES: Final = 2
"""Reads by name, since other tasks change meanwhile."""
COUNTS: Final = "taskRunStatusCounts"

ROW: Final = ("taskRunStatus", COUNTS, "lifecycleStatus", "updatedAt")
"""The members that ListSteps and GetStep have in common, as far as they matter here."""


class Sources:
    """See `sources.WatchSources`."""

    parent_kinds = ("jobs", "steps")
    has_views = False

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    def of_parent(self, parent: Parent, *, full_view: bool) -> Source:  # noqa: ARG002  # has_views
        """Return the source of all tasks of a job or a step."""
        return Steps(self._reader, parent)

    def of_group(self, group: str, *, full_view: bool) -> Source:  # noqa: ARG002  # the only one
        """Return the source of tasks by name."""
        return Named(self._reader)

    def group_of(self, name: str) -> str:  # noqa: ARG002  # the only one
        """Return the same for all tasks: a batch may contain tasks of different jobs."""
        return "deadline"


class Named:
    """Reads tasks by name, up to 100 in a call."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    async def sweep(self, poll: Poll, *, full: bool) -> None:
        """Do nothing: there is no parent to sweep."""

    async def read(self, poll: Poll, names: Collection[str]) -> Faults:
        """See `Source`."""
        return await self._reader.read_each(poll, names)


class Steps(Named):
    """Reads the tasks of a step, or of all steps of a job."""

    def __init__(self, reader: Reader, parent: Parent) -> None:
        super().__init__(reader)
        self._parent = parent
        self._is_step = parent.kind == "steps"
        self._job = {key: value for key, value in parent.params.items() if key != "stepId"}
        self._rows: dict[str, Mapping[str, Any]] = {}
        """The latest row of each step whose tasks are known."""

    async def sweep(self, poll: Poll, *, full: bool) -> None:
        """See `Source`."""
        change_log = poll.change_log
        steps = await self._read_steps(poll.pace)
        is_small = len(steps) <= FEW_STEPS and len(change_log) <= TASKS_PER_CALL
        if is_small and not change_log.all_settled:
            full = True  # no more expensive than to find the changes, and safer
        slots = asyncio.Semaphore(CONCURRENT_STEPS)

        async def sweep_step(name: str, step: Mapping[str, Any]) -> None:
            async with slots:
                try:
                    await self._sweep_step(poll, name, step, full=full)
                except TaskgateError as error:
                    if self._is_step or error.code is not StatusCode.NOT_FOUND:
                        raise
                    # The step was removed after the steps were listed; the job may still exist.
                    await self._remove_if_gone(poll, name)

        await _run_all(*(sweep_step(name, step) for name, step in steps.items()))
        for name in set(change_log.groups()) - set(steps):
            await self._remove_if_gone(poll, name)

    async def _read_steps(self, pace: Pace) -> dict[str, Mapping[str, Any]]:
        """Return the present steps, by name."""
        if self._is_step:
            return {self._parent.name: await self._read_step(self._parent.name, pace)}
        steps: dict[str, Mapping[str, Any]] = {}
        async for page in self._reader.pages(LIST_STEPS, self._job, pace):
            for row in page.rows:
                name = f"{self._parent.name}/steps/{row_id(row, 'stepId', 'ListSteps')}"
                steps[name] = {member: row[member] for member in ROW if member in row}
        return steps

    async def _read_step(self, name: str, pace: Pace) -> Mapping[str, Any]:
        await pace.take()
        params = self._job | {"stepId": name.rpartition("/")[2]}
        response = await self._reader.call("GetStep", params)
        return {member: value for member, value in response.value.items() if member in ROW}

    async def _sweep_step(
        self, poll: Poll, name: str, step: Mapping[str, Any], *, full: bool
    ) -> None:
        """Read the changes of one step, in as few calls as possible."""
        known = self._rows.get(name)
        if full or known is None or COUNTS not in step:
            await self._list(poll, name)
        elif step != known or not _matches(poll.change_log, name, step):
            step = await self._read_changes(poll, name, step)
        self._rows[name] = step

    async def _read_changes(
        self, poll: Poll, name: str, step: Mapping[str, Any]
    ) -> Mapping[str, Any]:
        """Read the changed tasks of a step; return the latest row of the step."""
        for _ in range(MAX_TRIES):
            likely = _likely_to_change(poll.change_log, name)
            if not likely or len(poll.change_log.group(name)) <= TASKS_PER_CALL:
                break
            raise_first(await self.read(poll, likely))
            # The tasks are now newer than the counts.
            step = await self._read_step(name, poll.pace)
            if _matches(poll.change_log, name, step):
                return step
        await self._list(poll, name)
        return step

    async def _list(self, poll: Poll, name: str) -> None:
        began = self._reader.clock()
        params = self._job | {"stepId": name.rpartition("/")[2]}
        listed: set[str] = set()
        async for page in self._reader.pages(LIST_TASKS, params, poll.pace):
            listed.update(_store_page(poll, name, page))
        # Rows may have moved between pages: tasks that were on no page are read by name.
        missing = [
            entry.name
            for entry in poll.change_log.group(name).values()
            if entry.name not in listed and entry.sent_at < began
        ]
        raise_first(await self.read(poll, missing))

    async def _remove_if_gone(self, poll: Poll, name: str) -> None:
        """Remove the tasks of a step that is missing from the list, if AWS confirms it."""
        sent_at = self._reader.clock()
        try:
            await self._read_step(name, poll.pace)
        except TaskgateError as error:
            if error.code is not StatusCode.NOT_FOUND:
                raise
            for task in list(poll.change_log.group(name)):
                poll.change_log.remove(task, sent_at)
            self._rows.pop(name, None)


def _store_page(poll: Poll, step: str, page: TimedRows) -> list[str]:
    """Store the tasks of a page; return their names."""
    names = []
    for row in page.rows:
        name = f"{step}/tasks/{row_id(row, 'taskId', 'ListTasks')}"
        names.append(name)
        poll.change_log.upsert(name, row, page.sent_at, page.observe_time)
    poll.publish()
    return names


def _matches(change_log: ChangeLog, name: str, step: Mapping[str, Any]) -> bool:
    """Return whether the known tasks of a step have the states that AWS counts."""
    counts = step.get(COUNTS, {})
    return dict(change_log.native_states(name)) == {
        state: count for state, count in counts.items() if count
    }


def _likely_to_change(change_log: ChangeLog, step: str) -> list[str]:
    """Return the tasks of a step that are most likely to have changed; none if they are too many.

    These are the tasks that run, and the first of those that wait, since workers take them first.
    """
    unsettled = [entry for entry in change_log.group(step).values() if not entry.settled]
    running = [entry.name for entry in unsettled if entry.native_state not in WAITING]
    waiting = [entry.name for entry in unsettled if entry.native_state in WAITING]
    if len(running) > MAX_BY_NAME:
        return []
    return running + waiting[: max(TASKS_PER_CALL - len(running), 0)]


async def _run_all(*awaitables: Any) -> None:
    """Wait for all of them, then raise the first failure."""
    outcomes = await asyncio.gather(*awaitables, return_exceptions=True)
    for outcome in outcomes:
        if isinstance(outcome, BaseException):
            raise outcome
