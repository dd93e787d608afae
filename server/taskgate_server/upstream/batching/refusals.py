"""Whether AWS refuses a batch operation, or only some items of its calls.

A batch carries the reads of many callers, so one caller's permissions or one odd item may have the
whole call refused. The items of a refused batch are therefore sent in single calls. If all of them
succeed, AWS refuses the batch operation itself.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Final

from grpc import StatusCode

from taskgate_server.bounded_cache import BoundedCache
from taskgate_server.errors import CredentialsRefusedError, TaskgateError

MIN_REFUSALS: Final = 3
"""Batching stops after so many refused batches in a row whose items succeeded in single calls."""
FIRST_PAUSE_SECONDS: Final = 5.0
MAX_PAUSE_SECONDS: Final = 300.0
"""During the pause only single calls are sent, then one batch; the pause doubles up to this."""
ODD_ITEM_SECONDS: Final = 60.0
"""An item that AWS refuses stays out of batches for this time."""
ODD_ITEMS_BYTES: Final = 512 * 1024
"""Bounds the memory for such items, to about a thousand."""
ODD_ITEM_BYTES: Final = 200

REFUSALS: Final = frozenset(
    {
        StatusCode.INVALID_ARGUMENT,
        StatusCode.PERMISSION_DENIED,
        StatusCode.UNIMPLEMENTED,
        StatusCode.UNKNOWN,
    }
)
"""Errors of an endpoint that does not have the operation, or about an item that it rejects."""

PROPER_RESPONSES: Final = frozenset(
    {
        StatusCode.ABORTED,
        StatusCode.ALREADY_EXISTS,
        StatusCode.FAILED_PRECONDITION,
        StatusCode.NOT_FOUND,
    }
)
"""Errors of a single call that show, like success, that AWS accepts the operation: the item does
not exist, or its state does not allow the request."""


def is_refusal(error: TaskgateError) -> bool:
    """Return whether the error may be about the batch operation, or about one of its items.

    API Gateway reports an unknown route as missing credentials.
    """
    return error.code in REFUSALS or isinstance(error, CredentialsRefusedError)


class BatchRefusals:
    """Decides which items may be sent in batches at present.

    Args:
        clock: monotonic seconds.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._in_a_row: dict[str, int] = {}
        self._pauses: dict[str, float] = {}
        self._paused_until: dict[str, float] = {}
        self._odd_until: BoundedCache[Hashable, float] = BoundedCache(ODD_ITEMS_BYTES)

    def allows(self, operation: str, item: Hashable = None) -> bool:
        """Return whether an item of a single operation may be sent in a batch; None for any."""
        now = self._clock()
        until = self._odd_until.get(item) if item is not None else None
        if until is not None and now < until:
            return False
        return now >= self._paused_until.get(operation, -math.inf)

    def record_success(self, operation: str) -> None:
        """Record that AWS accepted a batch."""
        self._in_a_row.pop(operation, None)
        self._pauses.pop(operation, None)

    def record_refusal(self, operation: str, outcomes: Sequence[TaskgateError | None]) -> None:
        """Record that AWS refused a batch, with the outcomes of single calls for its items.

        These are errors, or None for success.
        """
        if any(error is not None and error.code not in PROPER_RESPONSES for error in outcomes):
            return
        count = self._in_a_row.get(operation, 0) + 1
        self._in_a_row[operation] = count
        if count >= MIN_REFUSALS:
            pause = self._pauses.get(operation, FIRST_PAUSE_SECONDS)
            self._paused_until[operation] = self._clock() + pause
            self._pauses[operation] = min(pause * 2, MAX_PAUSE_SECONDS)

    def exclude_odd_items(self, outcomes: Mapping[Hashable, TaskgateError | None]) -> None:
        """Keep items of a failed batch that AWS refuses in single calls, too, out for a while."""
        some_succeeded = None in outcomes.values()
        until = self._clock() + ODD_ITEM_SECONDS
        for item, error in outcomes.items():
            # A server error for all items is an outage; for a few it is about these items.
            is_own = error is not None and error.code is StatusCode.INTERNAL and some_succeeded
            if error is not None and (is_refusal(error) or is_own):
                self._odd_until.put(item, until, ODD_ITEM_BYTES)
