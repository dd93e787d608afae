"""Events of AWS Deadline Cloud.

https://docs.aws.amazon.com/deadline-cloud/latest/developerguide/events-detail-reference.html
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from taskgate_server.services.deadline.tasks import NAMES

SOURCES: Final = ("aws.deadline", "aws.aws.deadline")
"""The second one is in AWS's example of a task's event."""


def is_own(detail: Mapping[str, Any]) -> bool:
    """Return whether the detail of an event without a source is of this AWS service."""
    return "farmId" in detail


def read_name(detail: Mapping[str, Any]) -> str | None:
    """Return the name of the task, step or job of an event; None for other events."""
    return NAMES.fill(detail, kinds=("steps", "jobs"))
