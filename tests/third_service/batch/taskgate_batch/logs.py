"""Finds the logs of jobs: each attempt has a stream of its own.

https://docs.aws.amazon.com/batch/latest/userguide/using_awslogs.html
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from google.protobuf.timestamp_pb2 import Timestamp

from taskgate_batch.tasks import NAMES, first_job, job_id, job_state
from taskgate_server.tasks.logs.finder import LogFinder, LogLocation, check_attempt
from taskgate_server.tasks.states import SETTLED
from taskgate_server.upstream.options import CallOptions

GROUP: Final = "/aws/batch/job"
"""The default group; `logConfiguration` of a job can name another one."""


class Finder(LogFinder):
    """See `LogFinder`."""

    async def find(
        self,
        params: Mapping[str, str],
        attempt: int | None,
        options: CallOptions,
        known: LogLocation | None,  # noqa: ARG002  # one call finds all attempts
    ) -> LogLocation:
        """See `LogFinder.find`."""
        response = await self.call("DescribeJobs", {"jobs": [job_id(params)]}, options)
        job = first_job(NAMES.format(params), response)
        is_settled = job_state(job) in SETTLED
        container = job.get("container") or {}
        streams = [_stream(each) for each in job.get("attempts") or ()]
        if not is_settled and container.get("logStreamName") not in (None, *streams):
            streams.append(container["logStreamName"])
        if not streams:
            return LogLocation(is_over=is_settled)
        number = check_attempt(attempt or len(streams), len(streams))
        ended = _ended(job, number)
        group = (container.get("logConfiguration") or {}).get("options", {}).get("awslogs-group")
        return LogLocation(
            attempt=number,
            attempt_count=len(streams),
            attempt_id=str(number),
            group=group or GROUP,
            stream=streams[number - 1],
            ended=ended,
            is_over=is_settled or (attempt is not None and ended is not None),
        )


def _stream(attempt: Mapping[str, Any]) -> str:
    return (attempt.get("container") or {}).get("logStreamName") or ""


def _ended(job: Mapping[str, Any], number: int) -> Timestamp | None:
    attempts = job.get("attempts") or ()
    stopped = attempts[number - 1].get("stoppedAt") if number <= len(attempts) else None
    if not stopped:
        return None
    time = Timestamp()
    time.FromMilliseconds(int(stopped))
    return time
