"""Reads events of EventBridge: which task, or which step, job or run has changed.

`services/<name>/events.py` has the sources of each AWS service, and finds the name in an event.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final, Protocol, TypeAlias, cast

from taskgate_server.services.registry import SERVICES
from taskgate_server.upstream.event_queue import EventReading, EventUse

Event: TypeAlias = Mapping[str, Any]

MAX_WRAPPERS: Final = 8
ARN_REGION: Final = 3
ARN_ACCOUNT: Final = 4
"""Positions of the parts of an ARN."""


class ServiceEvents(Protocol):
    """The module `events` of an AWS service."""

    SOURCES: tuple[str, ...]
    """The values of `source` in its events."""

    def is_own(self, detail: Event) -> bool:
        """Return whether the detail of an event without a source is of this AWS service."""

    def read_name(self, detail: Event) -> str | None:
        """Return the name of the task or parent of an event; None for other events."""


READERS: Final = [cast("ServiceEvents", spec.load("events")) for spec in SERVICES]


def read_event(body: str) -> EventReading:
    """Return what an event refers to.

    Args:
        body: of an SQS message: the event of EventBridge, its `detail` alone (`$.detail` as input
            path of the rule), or either of them wrapped by Amazon SNS.
    """
    try:
        event = _unwrap(json.loads(body.removeprefix("\ufeff")))
        reader = _reader_of(event)
        name = reader.read_name(event["detail"]) if reader is not None else None
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return EventReading(EventUse.UNREADABLE)
    if name is None:
        return EventReading(EventUse.IGNORED)
    return EventReading(
        EventUse.HINTED,
        name=name,
        service=name.partition("/")[0],
        account=_origin(event, "account", ARN_ACCOUNT),
        region=_origin(event, "region", ARN_REGION),
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


def _reader_of(event: Event) -> ServiceEvents | None:
    """Return the module that reads an event; None for an event of another source.

    Raises:
        LookupError: the event has no source, and no AWS service recognizes its detail.
    """
    source = event.get("source")
    if source:
        return next((each for each in READERS if source in each.SOURCES), None)
    for reader in READERS:
        if reader.is_own(event["detail"]):
            return reader
    raise LookupError


def _origin(event: Event, member: str, part: int) -> str:
    """Return the account or region of an event; empty if it has none."""
    if member in event:
        return str(event[member])
    arn = str(event["detail"].get("arn", "")).split(":")
    return arn[part] if len(arn) > ARN_ACCOUNT else ""
