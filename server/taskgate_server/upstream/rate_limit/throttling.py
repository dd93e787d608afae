"""Whether AWS still answers anything between its throttles."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final

IN_A_ROW: Final = 10
"""So many throttles without an answer between them ..."""
LONG_SECONDS: Final = 5.0
"""... over at least so long are no burst: nothing gets through."""
FORGET_SECONDS: Final = 30.0
"""After so long without a further one nobody knows, and it is worth asking."""


class Throttling:
    """Counts throttles of one AWS service, whatever the operation.

    Args:
        clock: monotonic seconds.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._in_a_row = 0
        self._since = self._latest = -math.inf

    def answered(self) -> None:
        """AWS has answered a call."""
        self._in_a_row = 0

    def throttled(self) -> None:
        """AWS has throttled one."""
        self._latest = self._clock()
        if not self._in_a_row:
            self._since = self._latest
        self._in_a_row += 1

    @property
    def is_total(self) -> bool:
        """Whether no call has got through for a while."""
        return (
            self._in_a_row >= IN_A_ROW
            and self._latest - self._since >= LONG_SECONDS
            and self._clock() - self._latest < FORGET_SECONDS
        )
