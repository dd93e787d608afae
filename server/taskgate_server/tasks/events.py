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
from taskgate_server.services.deadline import tasks as deadline
from taskgate_server.services.omics import tasks as omics
from taskgate_server.tasks.names import NameTemplate
from taskgate_server.upstream.event_queue import EventReading, EventUse

Event: TypeAlias = Mapping[str, Any]

MAX_WRAPPERS: Final = 8
OMICS_REGION: Final = 3
OMICS_ACCOUNT: Final = 4
"""Parts of an ARN."""

OMICS_ARN: Final = re.compile(r"arn:[^:]+:omics:[^:]*:[^:]*:(run|task)/([^/]+)")


def read_event(body: str) -> EventReading:
    """Return what an event is about.

    Args:
        body: of an SQS message: the event of EventBridge, its `detail` alone (`$.detail` as input
            path of the rule), or either of them wrapped by Amazon SNS.
    """
    try:
        event = _unwrap(json.loads(body.removeprefix("\ufeff")))
        source = event.get("source") or _source_of(event["detail"])
        if source not in READERS:
            return EventReading(EventUse.IGNORED)
        name = READERS[source](event)
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return EventReading(EventUse.UNREADABLE)
    if name is None:
        return EventReading(EventUse.IGNORED)
    return EventReading(
        EventUse.HINTED,
        name=name,
        service=name.partition("/")[0],
        account=_origin(event, "account", OMICS_ACCOUNT),
        region=_origin(event, "region", OMICS_REGION),
        time=str(event.get("time", "")),
    )


def _unwrap(event: Any) -> dict[str, Any]:
    """Return the event in an envelope of SNS, in a list of one, or in text, with `detail` parsed.

    https://docs.aws.amazon.com/sns/latest/dg/sns-sqs-as-subscriber.html
    """
    for _ in range(MAX_WRAPPERS):
        if isinstance(event, str):
            event = json.loads(event)
        elif isinstance(event, list):
            [event] = event
        elif event.get("Type") == "Notification" and "Message" in event:
            event = event["Message"]
        elif isinstance(event.get("detail"), str):
            event = {**event, "detail": json.loads(event["detail"])}
        elif "detail" not in event and "source" not in event:
            event = {"detail": event}
        else:
            break
    return dict(event)


def _source_of(detail: Event) -> str:
    """Return the source of an event of which there is the detail alone.

    Raises:
        LookupError: it is of neither AWS service.
    """
    if "farmId" in detail:
        return "aws.deadline"
    if OMICS_ARN.fullmatch(detail["arn"]):
        return "aws.omics"
    raise LookupError


def _origin(event: Event, member: str, part: int) -> str:
    """Return the account or region of an event; empty if it has none."""
    if member in event:
        return str(event[member])
    arn = str(event["detail"].get("arn", "")).split(":")
    return arn[part] if len(arn) > OMICS_ACCOUNT else ""


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
