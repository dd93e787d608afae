"""Whether an AWS service responds: the one definition that health, metrics and GetServerInfo use.

A service becomes unavailable as soon as there is evidence: the circuit breaker is not closed, the
endpoint takes no connections, or calls fail and a probe confirms it. A probe is a call of a list
operation, so that neither one operation nor one caller's resource decides.

It becomes available again only when calls or probes succeed promptly for a while. The next probe is
sent without waiting for callers, since load balancers send none to a service that is not ready. A
service that fails again soon has to succeed for longer, so that its health does not flap.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable, Coroutine
from typing import Any, Final, TypeAlias

from taskgate_server import errors
from taskgate_server.telemetry import log_bug
from taskgate_server.upstream.aws_client.connection import Connection
from taskgate_server.upstream.circuit_breaker import CircuitBreaker, State, is_outage

TICK_SECONDS: Final = 0.1
"""The interval between calls of `tick`."""
SUSPICIOUS_FAILURES: Final = 3
"""So many failed calls in a row are probed ..."""
SUSPICIOUS_SECONDS: Final = 0.5
"""... and so is a read without a response for this time while no other call has had one."""
PROBE_SECONDS: Final = 1.0
"""The timeout of a probe."""
PROBE_INTERVAL_SECONDS: Final = 0.5
"""The shortest time between the starts of two probes."""
HOLD_SECONDS: Final = 0.3
MAX_HOLD_SECONDS: Final = 8.0
"""How long a service has to succeed until it is available; doubles with each relapse up to this."""
RELAPSE_SECONDS: Final = 10.0
"""A service that fails within this time after it became available relapses."""
NO_RESPONSE: Final = (errors.TimeLimitError, errors.UnreadableResponseError)
"""Errors of a probe that do not show a working service, besides an outage."""

SendProbe: TypeAlias = Callable[[str, Callable[[], None]], Coroutine[Any, Any, object]]
"""Calls an operation without parameters; calls the function when the call leaves."""


class Availability:
    """Follows whether one AWS service responds; for one event loop.

    Args:
        connection: whose client is called, and whose endpoint is tried.
        breaker: knows the outcomes of calls.
        send_probe: sends a probe.
        clock: monotonic seconds, as the others have it.
    """

    def __init__(
        self,
        connection: Connection,
        breaker: CircuitBreaker,
        send_probe: SendProbe,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.reason: str | None = None
        """Why the service cannot be called, for a person; None while it can."""
        self._connection = connection
        self._breaker = breaker
        self._send_probe = send_probe
        self._clock = clock
        self._probing: asyncio.Task[None] | None = None
        self._probed_at = -math.inf
        self._failed_probe_at = -math.inf
        """When the latest probe was sent that failed."""
        self._lost_at = -math.inf
        self._succeeding_since: float | None = None
        self._available_at = -math.inf
        self._hold = HOLD_SECONDS

    def tick(self) -> None:
        """Take the evidence of this moment into account; send a probe if it is time."""
        if self._connection.client is None:
            return
        now, reason = self._clock(), self._evidence()
        if self.reason is None:
            if reason is not None:
                self._lose(now, reason)
            elif self._is_suspicious(now):
                self._probe(now)
            return
        self._recover(now, reason)
        if self.reason is not None:
            self._probe(now)

    async def close(self) -> None:
        """End the probe that is being made."""
        if self._probing is not None:
            self._probing.cancel()
            await asyncio.gather(self._probing, return_exceptions=True)

    def _evidence(self) -> str | None:
        """Return why the service does not respond now; None without evidence of that."""
        connection, outcomes = self._connection, self._breaker.outcomes
        if connection.is_unreachable and connection.unreachable_at > outcomes.responded_at:
            return "its endpoint takes no connections: check region, endpoint and network"
        # A response since the probe was sent says more than the timeout of the probe does.
        is_confirmed = self._failed_probe_at > outcomes.prompt_at
        if self._breaker.state is not State.CLOSED or is_confirmed:
            return f"{connection.spec.title} fails or does not respond; it is being probed"
        return None

    def _is_suspicious(self, now: float) -> bool:
        outcomes, oldest = self._breaker.outcomes, self._breaker.oldest_read
        if outcomes.failures >= SUSPICIOUS_FAILURES:
            return True
        return now - oldest >= SUSPICIOUS_SECONDS and outcomes.responded_at < oldest

    def _lose(self, now: float, reason: str) -> None:
        is_relapse = now - self._available_at < RELAPSE_SECONDS
        self._hold = min(self._hold * 2, MAX_HOLD_SECONDS) if is_relapse else HOLD_SECONDS
        self._lost_at, self._succeeding_since = now, None
        self.reason = reason

    def _recover(self, now: float, reason: str | None) -> None:
        if reason is not None:
            self.reason, self._succeeding_since = reason, None
            return
        if self._succeeding_since is None and self._breaker.outcomes.prompt_at > self._lost_at:
            self._succeeding_since = now
        if self._succeeding_since is not None and now - self._succeeding_since >= self._hold:
            self.reason, self._available_at = None, now

    def _probe(self, now: float) -> None:
        is_probing = self._probing is not None and not self._probing.done()
        is_early = now - self._probed_at < PROBE_INTERVAL_SECONDS
        operations = self._connection.spec.credential_probes
        if is_probing or is_early or not operations:
            return
        self._probed_at = now
        self._probing = asyncio.ensure_future(self._send(operations[0]))

    async def _send(self, operation: str) -> None:
        try:
            async with asyncio.timeout(PROBE_SECONDS):
                with self._breaker.passing(operation, {}, is_probe=True) as sent:
                    await self._send_probe(operation, sent)
        except errors.TaskgateError as error:
            # Any other error shows that AWS responds, or that the probe was not sent.
            if is_outage(error) or isinstance(error, NO_RESPONSE):
                self._failed_probe_at = self._probed_at
        except TimeoutError:
            self._failed_probe_at = self._probed_at
        except Exception as error:  # noqa: BLE001  # readiness goes on without this probe
            log_bug(error, operation=operation)
