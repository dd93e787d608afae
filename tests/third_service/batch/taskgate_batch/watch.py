"""Reads changes from AWS Batch: the jobs of a queue or an array job are listed."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from taskgate_batch.tasks import (
    LIST_JOBS,
    NAMES,
    STATES,
    is_named,
    job_id,
    list_params,
    row_name,
)
from taskgate_server.tasks.names import Parent
from taskgate_server.tasks.watch.sources import OPTIONS, Faults, Poll, Reader, Source, raise_first

MAX_ROWS: Final = 100


class Sources:
    """See `sources.WatchSources`."""

    parent_kinds = ("queues", "jobs")
    has_views = False

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    def of_parent(self, parent: Parent, *, full_view: bool) -> Source:  # noqa: ARG002  # has_views
        """Return the source of all jobs of a queue, or of an array job's children."""
        return Jobs(self._reader, parent)

    def of_group(self, group: str, *, full_view: bool) -> Source:  # noqa: ARG002  # the only one
        """Return the source of jobs by name."""
        return Named(self._reader)

    def group_of(self, name: str) -> str:  # noqa: ARG002  # the only one
        """Return the same for all jobs: a request may name jobs of different queues."""
        return "batch"


class Named:
    """Reads jobs by name."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    async def sweep(self, poll: Poll, *, full: bool) -> None:
        """Do nothing: there is no parent to sweep."""

    async def read(self, poll: Poll, names: Collection[str]) -> Faults:
        """See `Source`: a hundred jobs in a call."""
        ids = {job_id(NAMES.parse(name, "name")): name for name in names}
        wanted = list(ids)
        for start in range(0, len(wanted), MAX_ROWS):
            await poll.pace.take()
            some = wanted[start : start + MAX_ROWS]
            response = await self._reader.call("DescribeJobs", {"jobs": some})
            jobs = {job.get("jobId"): job for job in response.value.get("jobs", ())}
            for each in some:
                job = jobs.get(each)
                if job is None or not is_named(ids[each], job):
                    poll.change_log.remove(ids[each], response.sent_at)
                else:
                    poll.change_log.upsert(
                        ids[each],
                        {name: job[name] for name in LIST_JOBS.row_keys if name in job},
                        response.sent_at,
                        response.observe_time,
                    )
            poll.publish()
        return {}


class Jobs(Named):
    """Lists the jobs of a queue, or the children of an array job.

    Args:
        reader: calls AWS.
        parent: the queue or the array job.
    """

    def __init__(self, reader: Reader, parent: Parent) -> None:
        super().__init__(reader)
        self._parent = parent

    async def sweep(self, poll: Poll, *, full: bool) -> None:  # noqa: ARG002  # a list is read whole
        """See `Source`."""
        if self._parent.kind == "jobs":  # AWS ignores the queue in its name
            await poll.pace.take()
            await self._reader.backend.parent_state(self._parent, OPTIONS)
        began = self._reader.clock()
        listed: set[str] = set()
        for status in STATES if self._parent.kind == "jobs" else ("",):
            params = list_params(self._parent, status)
            async for page in self._reader.pages(LIST_JOBS, params, poll.pace):
                for row in page.rows:
                    name = row_name(self._parent, row)
                    listed.add(name)
                    poll.change_log.upsert(name, row, page.sent_at, page.observe_time)
                poll.publish()
        # A job may have changed its status between two lists: read it by name.
        missing = [
            entry.name
            for entry in poll.change_log.entries()
            if entry.name not in listed and entry.sent_at < began
        ]
        raise_first(await self.read(poll, missing))
