"""How to see what has changed in Deadline Cloud: a step's counts tell where to look.

AWS lists a step's tasks by the page, in 100 calls for 10,000 tasks, but one call lists the steps of
a job with how many tasks are in which state. A step whose counts are those of the tasks known is
not listed; that two tasks have changed places is found by the next full sweep.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping
from typing import Any, Final

from grpc import StatusCode

from taskgate_server.errors import TaskgateError
from taskgate_server.tasks.names import Parent
from taskgate_server.tasks.watch.change_log import ChangeLog
from taskgate_server.tasks.watch.poll_interval import Pace
from taskgate_server.tasks.watch.sources import (
    Faults,
    Reader,
    Said,
    Source,
    raise_first,
    row_id,
)

PAGE: Final = {"maxResults": 100}
STEPS_AT_ONCE: Final = 4
WAITING: Final = frozenset({"PENDING", "READY"})
"""No worker has the task yet: it can stay so for long, and there may be thousands."""
NEAR: Final = 100
"""Tasks that one call reads, by name or as a page."""
FEW_STEPS: Final = 3
MAX_BY_NAME: Final = 300
"""Tasks of a step that are read by name, in a few calls, before all are listed."""
TRIES: Final = 2
"""How often: while tasks are read, others move."""
COUNTS: Final = "taskRunStatusCounts"

ROW: Final = ("taskRunStatus", COUNTS, "lifecycleStatus", "updatedAt")
"""What a list of steps and a step alone both tell, as far as it matters here."""


class Watching:
    """See `sources.Watching`."""

    parent_kinds = ("jobs", "steps")

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    def whole(self, parent: Parent, *, full_view: bool) -> Source:  # noqa: ARG002  # has_views
        """All tasks of a job or a step."""
        return Steps(self._reader, parent)

    def named(self, group: str, *, full_view: bool) -> Source:  # noqa: ARG002  # one for all
        """Any tasks."""
        return Named(self._reader)

    def group(self, name: str) -> str:  # noqa: ARG002  # one for all
        """All tasks are one group: a batch may have tasks of different jobs."""
        return "deadline"

    def has_views(self) -> bool:
        """A list tells of each task what it tells alone."""
        return False


class Named:
    """Tasks by name, up to 100 in a call."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    async def sweep(self, change_log: ChangeLog, pace: Pace, *, full: bool) -> None:
        """There is no parent to sweep."""

    async def read(self, change_log: ChangeLog, names: Collection[str], pace: Pace) -> Faults:
        """See `Source`."""
        return await self._reader.get_each(change_log, names, pace)


class Steps(Named):
    """The tasks of all steps of a job, or of one step.

    Args:
        reader: asks AWS.
        parent: the job or the step.
    """

    def __init__(self, reader: Reader, parent: Parent) -> None:
        super().__init__(reader)
        self._parent = parent
        self._is_step = parent.kind == "steps"
        self._job = {key: value for key, value in parent.params.items() if key != "stepId"}
        self._rows: dict[str, Mapping[str, Any]] = {}
        """What AWS last said of each step whose tasks are known."""

    async def sweep(self, change_log: ChangeLog, pace: Pace, *, full: bool) -> None:
        """See `Source`."""
        steps = await self._steps(pace)
        if len(steps) <= FEW_STEPS and len(change_log) <= NEAR and not change_log.all_settled:
            full = True  # as cheap as to find out what has changed, and surer
        turns = asyncio.Semaphore(STEPS_AT_ONCE)

        async def look(name: str, step: Mapping[str, Any]) -> None:
            async with turns:
                try:
                    await self._look(change_log, name, step, pace, full=full)
                except TaskgateError as error:
                    if self._is_step or error.code is not StatusCode.NOT_FOUND:
                        raise
                    # It went after the list of steps had been told; the job need not have.
                    await self._confirm_gone(change_log, name, pace)

        await _all(*(look(name, step) for name, step in steps.items()))
        for name in set(change_log.groups()) - set(steps):
            await self._confirm_gone(change_log, name, pace)

    async def _steps(self, pace: Pace) -> dict[str, Mapping[str, Any]]:
        """The steps as AWS has them now, by name."""
        if self._is_step:
            return {self._parent.name: await self._step(self._parent.name, pace)}
        steps: dict[str, Mapping[str, Any]] = {}
        async for said in self._reader.pages("ListSteps", self._job | PAGE, "nextToken", pace):
            for row in said.value.get("steps", ()):
                name = f"{self._parent.name}/steps/{row_id(row, 'stepId', 'ListSteps')}"
                steps[name] = {member: row[member] for member in ROW if member in row}
        return steps

    async def _step(self, name: str, pace: Pace) -> Mapping[str, Any]:
        """One step as AWS has it now."""
        await pace.take()
        said = await self._reader.ask("GetStep", self._job | {"stepId": name.rpartition("/")[2]})
        return {member: value for member, value in said.value.items() if member in ROW}

    async def _look(
        self, change_log: ChangeLog, name: str, step: Mapping[str, Any], pace: Pace, *, full: bool
    ) -> None:
        """Brings one step up to date, in as few calls as will do."""
        known = self._rows.get(name)
        if full or known is None or COUNTS not in step:
            await self._list(change_log, name, pace)
        elif step != known or not _agrees(change_log, name, step):
            step = await self._catch_up(change_log, name, step, pace)
        self._rows[name] = step

    async def _catch_up(
        self, change_log: ChangeLog, name: str, step: Mapping[str, Any], pace: Pace
    ) -> Mapping[str, Any]:
        """Something in the step has changed; returns what AWS says of it in the end."""
        for _ in range(TRIES):
            near = _near(change_log, name)
            if not near or len(change_log.group(name)) <= NEAR:
                break
            raise_first(await self.read(change_log, near, pace))
            # The tasks are newer now than their counts.
            step = await self._step(name, pace)
            if _agrees(change_log, name, step):
                return step
        await self._list(change_log, name, pace)
        return step

    async def _list(self, change_log: ChangeLog, name: str, pace: Pace) -> None:
        began = self._reader.clock()
        params = self._job | PAGE | {"stepId": name.rpartition("/")[2]}
        seen: set[str] = set()
        async for said in self._reader.pages("ListTasks", params, "nextToken", pace):
            seen.update(_see(change_log, name, said))
        # Pages may have shifted while they were read: what none had is asked for by name.
        missing = [
            entry.name
            for entry in change_log.group(name).values()
            if entry.name not in seen and entry.sent_at < began
        ]
        raise_first(await self.read(change_log, missing, pace))

    async def _confirm_gone(self, change_log: ChangeLog, name: str, pace: Pace) -> None:
        """The list of steps lacks a step of which tasks are known."""
        sent_at = self._reader.clock()
        try:
            await self._step(name, pace)
        except TaskgateError as error:
            if error.code is not StatusCode.NOT_FOUND:
                raise
            for task in list(change_log.group(name)):
                change_log.lose(task, sent_at)
            self._rows.pop(name, None)


def _see(change_log: ChangeLog, step: str, said: Said) -> list[str]:
    """Tells the ledger a page; returns the tasks' names."""
    names = []
    for row in said.value.get("tasks", ()):
        name = f"{step}/tasks/{row_id(row, 'taskId', 'ListTasks')}"
        names.append(name)
        change_log.see(name, row, said.sent_at, said.observe_time)
    change_log.tell()
    return names


def _agrees(change_log: ChangeLog, name: str, step: Mapping[str, Any]) -> bool:
    """Whether the tasks known of a step are as many in each state as AWS says."""
    counts = step.get(COUNTS, {})
    return dict(change_log.natives(name)) == {
        word: count for word, count in counts.items() if count
    }


def _near(change_log: ChangeLog, step: str) -> list[str]:
    """The tasks of a step that are most likely to have changed, if a call or two reads them all.

    Those that move; and since workers take the first that wait, the first of these.
    """
    open_ones = [entry for entry in change_log.group(step).values() if not entry.settled]
    moving = [entry.name for entry in open_ones if entry.native_state not in WAITING]
    waiting = [entry.name for entry in open_ones if entry.native_state in WAITING]
    if len(moving) > MAX_BY_NAME:
        return []
    return moving + waiting[: max(NEAR - len(moving), 0)]


async def _all(*awaitables: Any) -> None:
    """Waits for all of them, then raises the first failure."""
    outcomes = await asyncio.gather(*awaitables, return_exceptions=True)
    for outcome in outcomes:
        if isinstance(outcome, BaseException):
            raise outcome
