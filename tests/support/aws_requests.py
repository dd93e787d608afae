"""The requests that an emulator has received for callers.

A server whose calls take long, such as on a busy machine, sends probes. They are left out.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from taskgate_emulator import Emulator
from taskgate_server.services.registry import SERVICES

PROBES = frozenset(operation for spec in SERVICES for operation in spec.credential_probes)


class RecordedCalls:
    """The AWS operations that were called in a `with` block."""

    def __init__(self, aws: Emulator) -> None:
        self._aws = aws
        self.counts: Mapping[str, int] = {}

    def __enter__(self) -> RecordedCalls:
        self._since = self._aws.request_count
        return self

    def __exit__(self, *_: object) -> None:
        self.counts = Counter(operations_since(self._aws, self._since))


def operations_since(aws: Emulator, count: int) -> list[str]:
    """Return the operations that were requested after the first `count` requests."""
    new = aws.request_count - count
    recorded = aws.requests[-new:] if new else []
    operations = (str(request.operation) for request in recorded)
    return [operation for operation in operations if operation not in PROBES]
