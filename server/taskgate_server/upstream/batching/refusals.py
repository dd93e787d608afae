"""Whether AWS refuses a batch operation itself, or only some items of its calls.

Many callers' reads travel in one batch, so one caller's permissions or one odd item may have the
whole call refused. After a refused batch its items are therefore sent in single calls, and those
tell: where all of them succeed, it is the batch operation that AWS does not take.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Final

from grpc import StatusCode

from taskgate_server.bounded_cache import BoundedCache
from taskgate_server.errors import CredentialsRefusedError, TaskgateError

MIN_REFUSALS: Final = 3
"""So many batches in a row must be refused while their items succeed alone."""
FIRST_PAUSE_SECONDS: Final = 5.0
MAX_PAUSE_SECONDS: Final = 300.0
"""Single calls are made for the pause, then one batch is tried; the pause doubles up to this."""
ODD_ITEM_SECONDS: Final = 60.0
"""An item that AWS refuses stays out of batches for this long."""
ODD_ITEMS_BYTES: Final = 512 * 1024
"""Bounds how many such items are known: about a thousand."""
ODD_ITEM_BYTES: Final = 200

REFUSALS: Final = frozenset(
    {
        StatusCode.INVALID_ARGUMENT,
        StatusCode.PERMISSION_DENIED,
        StatusCode.UNIMPLEMENTED,
        StatusCode.UNKNOWN,
    }
)
"""What an endpoint sends that does not have the operation, or for an item that it does not take."""

PROPER_RESPONSES: Final = frozenset(
    {
        StatusCode.ABORTED,
        StatusCode.ALREADY_EXISTS,
        StatusCode.FAILED_PRECONDITION,
        StatusCode.NOT_FOUND,
    }
)
"""Errors of a single call that say as clearly as success that AWS takes the operation: the item
does not exist, or its state does not allow what was requested."""


def is_refusal(error: TaskgateError) -> bool:
    """Return whether the error may be about the batch operation, or about one of its items.

    API Gateway reports an unknown route as missing credentials.
    """
    return error.code in REFUSALS or isinstance(error, CredentialsRefusedError)


class BatchRefusals:
    """Which operations are sent in batches at present.

    Args:
        clock: monotonic seconds.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._in_a_row: dict[str, int] = {}
        self._pauses: dict[str, float] = {}
        self._singly_until: dict[str, float] = {}
        self._odd_until: BoundedCache[Hashable, float] = BoundedCache(ODD_ITEMS_BYTES)

    def takes(self, operation: str, item: Hashable = None) -> bool:
        """Return whether an item may go in a batch.

        Args:
            operation: the single operation, by its AWS name.
            item: tells the item apart from others.
        """
        now = self._clock()
        until = self._odd_until.get(item) if item is not None else None
        if until is not None and now < until:
            return False
        return now >= self._singly_until.get(operation, -math.inf)

    def accepted(self, operation: str) -> None:
        """Note that AWS took a batch."""
        self._in_a_row.pop(operation, None)
        self._pauses.pop(operation, None)

    def refused(self, operation: str, singly: Sequence[TaskgateError | None]) -> None:
        """Note that AWS refused a batch, and how its items fared in single calls.

        Args:
            operation: the single operation, by its AWS name.
            singly: for each item its error, None for success.
        """
        if any(error is not None and error.code not in PROPER_RESPONSES for error in singly):
            return
        count = self._in_a_row.get(operation, 0) + 1
        self._in_a_row[operation] = count
        if count >= MIN_REFUSALS:
            pause = self._pauses.get(operation, FIRST_PAUSE_SECONDS)
            self._singly_until[operation] = self._clock() + pause
            self._pauses[operation] = min(pause * 2, MAX_PAUSE_SECONDS)

    def note_odd_items(self, outcomes: Mapping[Hashable, TaskgateError | None]) -> None:
        """Keep the items that AWS refuses in single calls, too, out of batches for a while.

        Args:
            outcomes: for each item of a failed batch its error, None for success.
        """
        some_succeeded = None in outcomes.values()
        until = self._clock() + ODD_ITEM_SECONDS
        for item, error in outcomes.items():
            # A server error of all items is an outage, one of a few is theirs.
            is_own = error is not None and error.code is StatusCode.INTERNAL and some_succeeded
            if error is not None and (is_refusal(error) or is_own):
                self._odd_until.put(item, until, ODD_ITEM_BYTES)
