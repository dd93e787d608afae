"""Whether an AWS service responds: the one definition for health, metrics and GetServerInfo.

A service becomes unavailable as soon as there is evidence: the circuit breaker is not closed, the
endpoint accepts no connections, or calls fail and a probe confirms it. A probe calls a list
operation, so that neither one operation nor one caller's resource decides.

It becomes available again only when calls or probes succeed promptly for a while. Probes do not
wait for callers, since load balancers send none to a service that is not ready. A service that
fails again soon has to succeed for longer, so that its health does not flap.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Final, TypeAlias

from taskgate_server import errors
from taskgate_server.telemetry.logs import log_bug
from taskgate_server.upstream.aws_client.connection import Connection
from taskgate_server.upstream.circuit_breaker import CircuitBreaker, State, is_outage
from taskgate_server.upstream.retries import Sleep

TICK_SECONDS: Final = 0.1
"""The interval between calls of `tick`."""
SUSPICIOUS_FAILURES: Final = 3
SUSPICIOUS_SECONDS: Final = 0.5
"""A probe is sent after so many failures in a row, or when a read has had no response for this time
and no other call has had one meanwhile."""
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

CONNECT_INTERVAL_SECONDS: Final = 10.0
RECONNECT_INTERVAL_SECONDS: Final = 2.0
"""The intervals of trial connections to the endpoint after a success and after a failure."""
CONNECT_SECONDS: Final = 5.0
"""The timeout of a trial connection."""
MIN_CONNECT_FAILURES: Final = 2
"""The endpoint is unreachable after so many failures in a row."""

SendProbe: TypeAlias = Callable[[str, Callable[[], None]], Coroutine[Any, Any, object]]
"""Calls an operation without parameters; calls the function when the call is sent."""

Connect: TypeAlias = Callable[[str, int], Awaitable[None]]
"""Opens a connection to a host and port, and closes it. Raises OSError."""


class Availability:
    """Decides whether one AWS service responds; for one event loop.

    Args:
        connection: provides the client, and whether its endpoint is reachable.
        breaker: provides the outcomes of calls.
        send_probe: sends a probe.
        clock: monotonic seconds, the same as that of the others.
    """

    def __init__(
        self,
        connection: Connection,
        breaker: CircuitBreaker,
        send_probe: SendProbe,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.not_ready_reason: str | None = None
        """Why the service cannot be called, for people; None while it can."""
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
        """Evaluate the present evidence, and send a probe if one is due."""
        if self._connection.client is None:
            return
        now, reason = self._clock(), self._evidence()
        if self.not_ready_reason is None:
            if reason is not None:
                self._mark_unavailable(now, reason)
            elif self._is_suspicious(now):
                self._start_probe(now)
            return
        self._update_unavailable(now, reason)
        if self.not_ready_reason is not None:
            self._start_probe(now)

    async def close(self) -> None:
        """Cancel the probe in flight."""
        if self._probing is not None:
            self._probing.cancel()
            await asyncio.gather(self._probing, return_exceptions=True)

    def _evidence(self) -> str | None:
        """Return why the service does not respond now; None without evidence of that."""
        connection, outcomes = self._connection, self._breaker.outcomes
        if connection.is_unreachable and connection.unreachable_at > outcomes.responded_at:
            return "its endpoint accepts no connections: check region, endpoint and network"
        # A response since the probe was sent outweighs the timeout of the probe.
        is_confirmed = self._failed_probe_at > outcomes.prompt_at
        if self._breaker.state is not State.CLOSED or is_confirmed:
            return f"{connection.spec.title} fails or does not respond; probes are being sent"
        return None

    def _is_suspicious(self, now: float) -> bool:
        outcomes, sent_at = self._breaker.outcomes, self._breaker.oldest_read_sent_at
        if outcomes.failures >= SUSPICIOUS_FAILURES:
            return True
        return now - sent_at >= SUSPICIOUS_SECONDS and outcomes.responded_at < sent_at

    def _mark_unavailable(self, now: float, reason: str) -> None:
        is_relapse = now - self._available_at < RELAPSE_SECONDS
        self._hold = min(self._hold * 2, MAX_HOLD_SECONDS) if is_relapse else HOLD_SECONDS
        self._lost_at, self._succeeding_since = now, None
        self.not_ready_reason = reason

    def _update_unavailable(self, now: float, reason: str | None) -> None:
        if reason is not None:
            self.not_ready_reason, self._succeeding_since = reason, None
            return
        if self._succeeding_since is None and self._breaker.outcomes.prompt_at > self._lost_at:
            self._succeeding_since = now
        if self._succeeding_since is not None and now - self._succeeding_since >= self._hold:
            self.not_ready_reason, self._available_at = None, now

    def _start_probe(self, now: float) -> None:
        is_probing = self._probing is not None and not self._probing.done()
        is_early = now - self._probed_at < PROBE_INTERVAL_SECONDS
        operations = self._connection.spec.credential_probes
        if is_probing or is_early or not operations:
            return
        self._probed_at = now
        self._probing = asyncio.ensure_future(self._probe(operations[0]))

    async def _probe(self, operation: str) -> None:
        try:
            async with asyncio.timeout(PROBE_SECONDS):
                with self._breaker.track(operation, {}, is_probe=True) as mark_sent:
                    await self._send_probe(operation, mark_sent)
        except errors.TaskgateError as error:
            # Any other error shows that AWS responds, or that the probe was not sent.
            if is_outage(error) or isinstance(error, NO_RESPONSE):
                self._failed_probe_at = self._probed_at
        except TimeoutError:
            self._failed_probe_at = self._probed_at
        except Exception as error:  # noqa: BLE001  # a bug must not end the probes
            log_bug(error, operation=operation)


async def connect(host: str, port: int) -> None:
    """Open a TCP connection and close it.

    Raises:
        OSError: the name does not resolve, the connection is refused, or it times out.
    """
    async with asyncio.timeout(CONNECT_SECONDS):
        _, writer = await asyncio.open_connection(host, port)
    writer.transport.abort()


async def probe_endpoint(
    connection: Connection, *, sleep: Sleep = asyncio.sleep, connect: Connect = connect
) -> None:
    """Open trial connections to the endpoint of an AWS service while there is a client.

    They use no quota, and find a network failure before a caller does.
    """
    changes = 0
    while True:
        changes = await connection.wait_for_change(changes)
        # One failure is enough for an endpoint that has never been reached.
        failures = MIN_CONNECT_FAILURES - 1
        while (client := connection.client) is not None:
            try:
                if client.address is not None:
                    await connect(*client.address)
                failures = 0
            except OSError:  # TimeoutError is one
                failures += 1
            await connection.set_reachable(reachable=failures < MIN_CONNECT_FAILURES)
            await sleep(RECONNECT_INTERVAL_SECONDS if failures else CONNECT_INTERVAL_SECONDS)
