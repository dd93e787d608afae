"""What an event of EventBridge is about: the name of a task, or of a step, job or run.

https://docs.aws.amazon.com/deadline-cloud/latest/developerguide/events-detail-reference.html and
https://docs.aws.amazon.com/omics/latest/dev/eventbridge.html
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeAlias

from taskgate_server.errors import TaskgateError
from taskgate_server.tasks import deadline, omics
from taskgate_server.tasks.names import NameTemplate

Event: TypeAlias = Mapping[str, Any]

OMICS_ARN: Final = re.compile(r"arn:[^:]+:omics:[^:]*:[^:]*:(run|task)/([^/]+)")


def name_in(body: str) -> str | None:
    """The name of the task or parent that an event is about; None for any other event, or none."""
    try:
        event = json.loads(body)
        return READERS[event["source"]](event)
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return None


def _deadline_name(event: Event) -> str | None:
    """All ids are in the detail, down to what the event is about."""
    detail, names = event["detail"], deadline.NAMES
    forms = [names.text, *(names.parent_forms[kind] for kind in ("steps", "jobs"))]
    return next((name for form in forms if (name := _filled(names, form, detail))), None)


def _omics_name(event: Event) -> str | None:
    """The task's id is in its ARN only.

    The run's is in `runArn`, and in `runId` too; AWS's example has another one there.
    """
    detail, names = event["detail"], omics.NAMES
    found = OMICS_ARN.fullmatch(detail["arn"])
    if found is None:
        return None
    kind, own_id = found.groups()
    if kind == "run":
        return _filled(names, names.parent_forms["runs"], {"id": own_id})
    run = OMICS_ARN.fullmatch(detail.get("runArn") or "")
    run_id = run[2] if run and run[1] == "run" else detail["runId"]
    return _filled(names, names.text, {"id": run_id, "taskId": own_id})


def _filled(names: NameTemplate, form: str, values: Event) -> str | None:
    """A name of that form, if the values have what it needs and it is a good one."""
    try:
        name = form.format_map(values)
        if form == names.text:
            names.parse(name, "")
        else:
            names.parse_parent(name, "")
    except (LookupError, TaskgateError):
        return None
    return name


READERS: Final[Mapping[str, Callable[[Event], str | None]]] = {
    "aws.deadline": _deadline_name,
    # So it is in AWS's example of a task's event.
    "aws.aws.deadline": _deadline_name,
    "aws.omics": _omics_name,
}
"""By `source`."""
