"""What a test sees of the emulator and puts into it: recorded requests and canned answers.

Both are used from a test's thread while the event loop's thread serves, so each has its mutex.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Mapping
from dataclasses import dataclass
from threading import Lock

from taskgate_emulator.core.responses import HttpResponse

__all__ = ["CannedResponses", "RecordedRequest", "Recorder"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedRequest:
    """A request as it came over HTTP."""

    method: str
    raw_path: str
    """Percent-encoded, without the query."""
    query: str
    """What followed the question mark, still encoded."""
    headers: Mapping[str, str]
    """By name in any case."""
    body: bytes
    service: str | None
    """botocore's name of the service; None when no operation has the path."""
    operation: str | None


class Recorder:
    """The latest requests, oldest first.

    Args:
        size: how many are kept.
    """

    def __init__(self, size: int) -> None:
        self._mutex = Lock()
        self._requests: deque[RecordedRequest] = deque(maxlen=size)
        self._count = 0

    @property
    def count(self) -> int:
        """How many requests there have been, kept or not."""
        return self._count

    def add(self, request: RecordedRequest) -> None:
        """Keep a request."""
        with self._mutex:
            self._requests.append(request)
            self._count += 1

    def clear(self) -> None:
        """Forget every request."""
        with self._mutex:
            self._requests.clear()
            self._count = 0

    def snapshot(self) -> list[RecordedRequest]:
        """The requests so far."""
        with self._mutex:
            return list(self._requests)


class CannedResponses:
    """Answers that a test has put in the way of an operation, each for some calls."""

    def __init__(self) -> None:
        self._mutex = Lock()
        self._queues: defaultdict[tuple[str, str], deque[HttpResponse]] = defaultdict(deque)

    def add(self, service: str, operation: str, response: HttpResponse, times: int) -> None:
        """Queue an answer for the next calls that no earlier canned answer takes."""
        with self._mutex:
            self._queues[service, operation].extend([response] * times)

    def take(self, service: str, operation: str) -> HttpResponse | None:
        """The canned answer of this call, if there is one; it is used up."""
        with self._mutex:
            queue = self._queues.get((service, operation))
            return queue.popleft() if queue else None
