"""What tests observe and inject: recorded requests and canned responses.

A test's thread uses both while the event loop's thread serves, so each has a mutex.
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
    """A request as received over HTTP."""

    method: str
    raw_path: str
    """Percent-encoded, without the query."""
    query: str
    """Still encoded, without the question mark."""
    headers: Mapping[str, str]
    """Names are case-insensitive."""
    body: bytes
    service: str | None
    """botocore's name of the service; None if no operation has the path."""
    operation: str | None


class Recorder:
    """The latest requests, oldest first.

    Args:
        size: the maximum number of recorded requests.
    """

    def __init__(self, size: int) -> None:
        self._mutex = Lock()
        self._requests: deque[RecordedRequest] = deque(maxlen=size)
        self._count = 0

    @property
    def count(self) -> int:
        """The number of requests so far, including those no longer recorded."""
        return self._count

    def add(self, request: RecordedRequest) -> None:
        """Record a request."""
        with self._mutex:
            self._requests.append(request)
            self._count += 1

    def clear(self) -> None:
        """Delete all recorded requests."""
        with self._mutex:
            self._requests.clear()
            self._count = 0

    def snapshot(self) -> list[RecordedRequest]:
        """Return the recorded requests."""
        with self._mutex:
            return list(self._requests)


class CannedResponses:
    """Responses that a test has set for the next calls of an operation."""

    def __init__(self) -> None:
        self._mutex = Lock()
        self._queues: defaultdict[tuple[str, str], deque[HttpResponse]] = defaultdict(deque)

    def add(self, service: str, operation: str, response: HttpResponse, times: int) -> None:
        """Queue a response for a number of calls."""
        with self._mutex:
            self._queues[service, operation].extend([response] * times)

    def take(self, service: str, operation: str) -> HttpResponse | None:
        """Remove and return the next canned response of an operation, if any."""
        with self._mutex:
            queue = self._queues.get((service, operation))
            return queue.popleft() if queue else None
