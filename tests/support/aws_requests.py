"""The requests that an emulator has received."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from taskgate_emulator import Emulator


class RecordedCalls:
    """The AWS operations that were called in a `with` block."""

    def __init__(self, aws: Emulator) -> None:
        self._aws = aws
        self.counts: Mapping[str, int] = {}

    def __enter__(self) -> RecordedCalls:
        self._since = self._aws.request_count
        return self

    def __exit__(self, *_: object) -> None:
        new = self._aws.request_count - self._since
        recorded = self._aws.requests[-new:] if new else []
        self.counts = Counter(str(request.operation) for request in recorded)


def operations_since(aws: Emulator, count: int) -> list[str]:
    """Return the operations that were requested after the first `count` requests."""
    new = aws.request_count - count
    return [str(request.operation) for request in aws.requests[-new:]] if new else []
