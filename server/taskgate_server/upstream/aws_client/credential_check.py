"""Whether AWS refuses the server's credentials, or only one operation.

One refused operation is no evidence about the others: API Gateway reports an unknown route as a
missing authentication token, and a proxy that rewrites one path breaks its signature alone. So the
credentials count as refused only when another operation, the probe, is refused as well and AWS has
accepted no call in between. All other calls go on meanwhile.

The probe is a list operation of the same AWS service rather than STS GetCallerIdentity, which
private networks and custom endpoints often do not reach. It needs no permission either, since
AccessDenied shows that AWS knows the credentials, and costs one call per suspicion.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Sequence
from typing import Final

from taskgate_server import errors

FIRST_PAUSE_SECONDS: Final = 1.0
MAX_PAUSE_SECONDS: Final = 30.0
"""An operation that stays refused although the credentials are good causes one probe per pause. It
doubles up to the longest one."""

MIN_REFUSED_OPERATIONS: Final = 2
"""So many refused operations agree where there is none left to probe with."""


class CredentialCheck:
    """The refused operations of one AWS client, and when a probe is due.

    Args:
        probes: operations without required parameters, of which one is called.
        clock: monotonic seconds.
    """

    def __init__(self, probes: Sequence[str], clock: Callable[[], float]) -> None:
        self._probes = probes
        self._clock = clock
        self._suspected = asyncio.Event()
        self.reset()

    def reset(self) -> None:
        """Forget everything: the client is a new one."""
        self._refused: dict[str, errors.TaskgateError] = {}
        self._accepted_since = False  # the first of them
        self._pauses: dict[str, float] = {}
        self._not_before: dict[str, float] = {}
        self._suspected.clear()

    def accepted(self, operation: str) -> None:
        """Note that AWS accepted a call, and so the credentials."""
        self._accepted_since = True
        if operation in self._pauses:
            del self._pauses[operation], self._not_before[operation]

    def refused(self, operation: str, error: errors.TaskgateError) -> None:
        """Note that AWS refused the credentials of a call."""
        if self._clock() >= self._not_before.get(operation, -math.inf):
            if not self._refused:
                self._accepted_since = False
            self._refused[operation] = error
            self._suspected.set()

    async def suspected(self) -> None:
        """Wait until an operation is refused of which that is not yet explained."""
        await self._suspected.wait()
        self._suspected.clear()

    def wake(self) -> None:
        """End `suspected`, whose caller has another reason to look."""
        self._suspected.set()

    @property
    def probe(self) -> str | None:
        """The operation to probe with: one that has not been refused itself."""
        return next((name for name in self._probes if name not in self._refused), None)

    def verdict(self, *, probe_refused: bool | None) -> errors.TaskgateError | None:
        """Return the error if the credentials are refused, None if they are not.

        Args:
            probe_refused: how the probe ended; None if there was no operation to probe with.
        """
        refused, self._refused = self._refused, {}
        if probe_refused is None:
            probe_refused = len(refused) >= min(MIN_REFUSED_OPERATIONS, len(self._probes) + 1)
        if refused and probe_refused and not self._accepted_since:
            return next(iter(refused.values()))
        for operation in refused:
            pause = self._pauses.get(operation, FIRST_PAUSE_SECONDS)
            self._not_before[operation] = self._clock() + pause
            self._pauses[operation] = min(pause * 2, MAX_PAUSE_SECONDS)
        return None
