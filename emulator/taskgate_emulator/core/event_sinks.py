"""Collects log lines for CloudWatch Logs and events for EventBridge.

Log lines are buffered until a client reads logs; events go to EventBridge at once, when it is in
use.
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
    """Buffers log lines for CloudWatch Logs; beyond a limit the oldest are dropped."""

    def __init__(self) -> None:
        self._waiting: deque[LogLine] = deque(maxlen=_MAX_LOG_LINES)
        self._unsaved: list[LogLine] = []
        self.saving = False
        """Whether lines are also collected for `take_unsaved`."""

    def write(self, group: str, stream: str, timestamp: datetime, message: str) -> None:
        """Add a line."""
        line = LogLine(group, stream, timestamp, message)
        self._waiting.append(line)
        if self.saving:
            self._unsaved.append(line)

    def restore(self, line: LogLine) -> None:
        """Add a line from the state file."""
        self._waiting.append(line)

    def take_waiting(self) -> list[LogLine]:
        """Return the lines since the last call."""
        lines = list(self._waiting)
        self._waiting.clear()
        return lines

    def take_unsaved(self) -> list[LogLine]:
        """Return the lines that are not in the state file yet."""
        lines, self._unsaved = self._unsaved, []
        return lines


@dataclass(frozen=True, slots=True)
class Event:
    """An event as EventBridge receives it, before it gets an id."""

    source: str
    detail_type: str
    detail: Mapping[str, Any]
    time: datetime
    resources: tuple[str, ...]


class EventSink:
    """Sends events to EventBridge.

    Args:
        account_id: of the events.
        region: of the events.
    """

    def __init__(self, account_id: str, region: str) -> None:
        self.account_id, self.region = account_id, region
        self.latest: deque[Event] = deque(maxlen=_MAX_EVENTS)
        """The latest events, oldest first; for tests."""
        self.receiver: Callable[[Event], None] | None = None
        """EventBridge, once a client has used it; no rule can exist before."""

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
