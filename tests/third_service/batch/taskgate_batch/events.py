"""Events of AWS Batch: `Batch Job State Change`, whose detail is the job.

https://docs.aws.amazon.com/batch/latest/userguide/batch_job_events.html
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from taskgate_batch.tasks import NAMES

SOURCES: Final = ("aws.batch",)


def is_own(detail: Mapping[str, Any]) -> bool:
    """Return whether the detail of an event without a source is of this AWS service."""
    return "jobQueue" in detail


def read_name(detail: Mapping[str, Any]) -> str | None:
    """Return the name of the job of an event; None for other events."""
    queue = str(detail.get("jobQueue", "")).rpartition("/")[2]
    array, _, index = str(detail.get("jobId", "")).partition(":")
    ids = {"arrayJobId": array, "index": index} if index else {"jobId": array}
    return NAMES.fill({"jobQueue": queue, **ids})
