"""What leaves the two services for others: log lines for CloudWatch Logs, events for EventBridge.

Both are only gathered here. Lines go on when somebody reads logs, and events at once to whoever
listens; neither costs anything while nobody does.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

__all__ = ["Event", "EventSink", "LogLine", "LogSink"]

_MAX_LOG_LINES = 200_000
_MAX_EVENTS = 10_000


@dataclass(frozen=True, slots=True)
class LogLine:
    """A line of a log stream."""

    group: str
    stream: str
    timestamp: datetime
    message: str


class LogSink:
    """Log lines on their way to CloudWatch Logs; beyond a number the oldest are dropped."""

    def __init__(self) -> None:
        self._waiting: deque[LogLine] = deque(maxlen=_MAX_LOG_LINES)
        self._unsaved: list[LogLine] = []
        self.saving = False
        """Whether lines are kept for `take_unsaved` as well."""

    def write(self, group: str, stream: str, timestamp: datetime, message: str) -> None:
        """Add a line."""
        line = LogLine(group, stream, timestamp, message)
        self._waiting.append(line)
        if self.saving:
            self._unsaved.append(line)

    def restore(self, line: LogLine) -> None:
        """Put back a line that was saved."""
        self._waiting.append(line)

    def take_waiting(self) -> list[LogLine]:
        """The lines that have come since this was last asked."""
        lines = list(self._waiting)
        self._waiting.clear()
        return lines

    def take_unsaved(self) -> list[LogLine]:
        """The lines that are not saved yet."""
        lines, self._unsaved = self._unsaved, []
        return lines


@dataclass(frozen=True, slots=True)
class Event:
    """An event as a rule of EventBridge sees it, before EventBridge gave it an id."""

    source: str
    detail_type: str
    detail: Mapping[str, Any]
    time: datetime
    resources: tuple[str, ...]


class EventSink:
    """Events on their way to EventBridge.

    Args:
        account_id: whose events they are.
        region: where they happen.
    """

    def __init__(self, account_id: str, region: str) -> None:
        self.account_id, self.region = account_id, region
        self.latest: deque[Event] = deque(maxlen=_MAX_EVENTS)
        """The latest events, oldest first; for tests."""
        self.receiver: Callable[[Event], None] | None = None
        """EventBridge, once anybody has used it: before that no rule can be there."""

    def send(
        self,
        source: str,
        detail_type: str,
        detail: Mapping[str, Any],
        *,
        at: datetime,
        resources: tuple[str, ...],
    ) -> None:
        """Send an event."""
        event = Event(source, detail_type, detail, at, resources)
        self.latest.append(event)
        if self.receiver is not None:
            self.receiver(event)
