"""Events of AWS HealthOmics.

https://docs.aws.amazon.com/omics/latest/dev/eventbridge.html
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from taskgate_server.services.omics.tasks import NAMES

SOURCES: Final = ("aws.omics",)

ARN: Final = re.compile(r"arn:[^:]+:omics:[^:]*:[^:]*:(run|task)/([^/]+)")


def is_own(detail: Mapping[str, Any]) -> bool:
    """Return whether the detail of an event without a source is of this AWS service."""
    return ARN.fullmatch(detail["arn"]) is not None


def read_name(detail: Mapping[str, Any]) -> str | None:
    """Return the name of the task or run of an event; None for other events.

    The ARN contains the id of the task. The id of the run is in `runArn` and in `runId`; they
    differ in AWS's example.
    """
    match = ARN.fullmatch(detail["arn"])
    if match is None:
        return None
    kind, own_id = match.groups()
    if kind == "run":
        return NAMES.fill({"id": own_id}, kinds=("runs",))
    run = ARN.fullmatch(detail.get("runArn") or "")
    run_id = run[2] if run and run[1] == "run" else detail["runId"]
    return NAMES.fill({"id": run_id, "taskId": own_id})
