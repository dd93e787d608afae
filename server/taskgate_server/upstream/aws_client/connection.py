"""The connection to one AWS service: its client, made off the event loop and replaced when refused.

One refused operation is no evidence about the credentials: API Gateway reports an unknown route as
a missing authentication token, and a proxy that rewrites one path breaks its signature alone. So
credentials count as refused only if another operation, the probe, is refused as well and AWS has
accepted no call in between. Other calls continue meanwhile.

The probe is a list operation of the same AWS service rather than STS GetCallerIdentity, which
private networks and custom endpoints often do not reach. It needs no permission, since AccessDenied
shows that AWS knows the credentials.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from typing import Final

from taskgate_server import errors
from taskgate_server.services.spec import ServiceSpec
from taskgate_server.telemetry.logs import LOG
from taskgate_server.upstream.aws_client.factory import AwsClient
from taskgate_server.upstream.aws_client.failures import from_botocore, from_set_up
from taskgate_server.upstream.retries import Sleep

FIRST_RETRY_SECONDS: Final = 1.0
MAX_RETRY_SECONDS: Final = 30.0
"""Pauses between attempts to make a client."""
CREDENTIAL_ERRORS: Final = (errors.CredentialsMissingError, errors.CredentialsRefusedError)
PROBE_SECONDS: Final = 5.0
"""The timeout of a probe."""
FIRST_PAUSE_SECONDS: Final = 1.0
MAX_PAUSE_SECONDS: Final = 30.0
"""An operation that stays refused although the credentials are valid causes one probe per pause,
which doubles up to the maximum."""
MIN_REFUSED_OPERATIONS: Final = 2
"""So many refused operations are evidence where no operation is left to probe with."""


class CredentialCheck:
    """The refused operations of one AWS client, and when a probe is due.

    Args:
        probes: operations without required parameters, of which one is called.
        clock: monotonic seconds.
    """

    def __init__(self, probes: Sequence[str], clock: Callable[[], float]) -> None:
        self._probes = probes
        self._clock = clock
        self.suspected = asyncio.Event()
        """Set when a probe is due."""
        self._refused: dict[str, errors.TaskgateError] = {}
        self._accepted_since_refusal = False
        self._pauses: dict[str, float] = {}
        self._paused_until: dict[str, float] = {}

    def record_accepted(self, operation: str) -> None:
        """Record that AWS accepted a call, and so the credentials."""
        self._accepted_since_refusal = True
        if operation in self._pauses:
            del self._pauses[operation], self._paused_until[operation]

    def record_refused(self, operation: str, error: errors.TaskgateError) -> None:
        """Record that AWS refused the credentials of a call."""
        if self._clock() >= self._paused_until.get(operation, -math.inf):
            if not self._refused:
                self._accepted_since_refusal = False
            self._refused[operation] = error
            self.suspected.set()

    @property
    def probe(self) -> str | None:
        """The operation to probe with, which has not been refused itself."""
        return next((name for name in self._probes if name not in self._refused), None)

    def verdict(self, *, probe_refused: bool | None) -> errors.TaskgateError | None:
        """Return the error if the credentials are refused, else None.

        Args:
            probe_refused: whether the probe was refused; None if there was none to send.
        """
        refused, self._refused = self._refused, {}
        if probe_refused is None:
            probe_refused = len(refused) >= min(MIN_REFUSED_OPERATIONS, len(self._probes) + 1)
        if refused and probe_refused and not self._accepted_since_refusal:
            return next(iter(refused.values()))
        for operation in refused:
            pause = self._pauses.get(operation, FIRST_PAUSE_SECONDS)
            self._paused_until[operation] = self._clock() + pause
            self._pauses[operation] = min(pause * 2, MAX_PAUSE_SECONDS)
        return None


class Connection:
    """The client of one AWS service, or why there is none.

    Args:
        spec: the service.
        make: makes a client; may block.
        executor: threads for that.
        sleep: waits.
        on_demand: whether to make the client only when it is first used.
        target: for log lines; empty for the default target.
        clock: monotonic seconds.
    """

    def __init__(  # noqa: PLR0913  # clock and sleep are arguments
        self,
        spec: ServiceSpec,
        make: Callable[[], AwsClient],
        executor: Executor,
        sleep: Sleep = asyncio.sleep,
        *,
        on_demand: bool = False,
        target: str = "",
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.spec = spec
        self.client: AwsClient | None = None
        self.error: errors.TaskgateError | None = None
        """Why there is no client; None before the first attempt has ended, too."""
        self.is_unreachable = False
        """Whether the client's endpoint accepts no connections; see `availability`."""
        self.unreachable_at = -math.inf
        """When a connection last failed, in monotonic seconds."""
        self._log_fields = {"service": spec.name, **({"target": target} if target else {})}
        self._needed = asyncio.Event()
        if not on_demand:
            self._needed.set()
        self._make = make
        self._executor = executor
        self._sleep = sleep
        self._cause = ""
        self._attempted = asyncio.Event()
        self._check = CredentialCheck(spec.credential_probes, clock)
        self._clock = clock
        self._changed = asyncio.Condition()
        self._changes = 0
        self._discarded: list[AwsClient] = []

    async def get_client(self) -> AwsClient:
        """Return the client, after the first attempt to make it.

        Raises:
            errors.TaskgateError: UNAVAILABLE, with what the server lacks.
        """
        self._needed.set()
        await self._attempted.wait()
        if self.client is None:
            raise self.error or errors.BugError()
        return self.client

    def discard(self, client: AwsClient, error: errors.TaskgateError) -> None:
        """Discard a client that has no valid credentials: no call can succeed."""
        if self.client is client:
            self.client, self.error, self._cause = None, error, error.message
            self._discarded.append(client)
            self._check.suspected.set()

    def record_refused(
        self, client: AwsClient, operation: str, error: errors.TaskgateError
    ) -> None:
        """Record that AWS refused the credentials of a call; a probe will confirm it or not."""
        if self.client is client:
            self._check.record_refused(operation, error)

    def record_accepted(self, client: AwsClient, operation: str) -> None:
        """Record that AWS accepted the credentials of a call."""
        if self.client is client:
            self._check.record_accepted(operation)

    async def wait_for_change(self, known_changes: int) -> int:
        """Wait for more than `known_changes` of client or endpoint; return how many there were."""
        async with self._changed:
            await self._changed.wait_for(lambda: self._changes > known_changes)
            return self._changes

    async def set_reachable(self, *, reachable: bool) -> None:
        """Set whether the endpoint accepts connections."""
        if not reachable:
            self.unreachable_at = self._clock()
        if self.is_unreachable is reachable:
            self.is_unreachable = not reachable
            await self._report_change()

    async def run(self) -> None:
        """Make the client, and replace it whenever it is discarded, until cancelled."""
        try:
            await self._run()
        finally:
            if self.client is not None:
                await self.client.close()

    async def _run(self) -> None:
        await self._needed.wait()
        pause = FIRST_RETRY_SECONDS
        is_first = True
        while True:
            has_client = await self._try_once(must_verify=not is_first)
            self.is_unreachable = False  # nothing is known about a new client yet
            await self._report_change()
            if has_client:
                pause, is_first = FIRST_RETRY_SECONDS, False
                await self._until_discarded()
                await self._report_change()
                while self._discarded:
                    await self._discarded.pop().close()
            await self._sleep(pause)
            pause = min(pause * 2, MAX_RETRY_SECONDS)

    async def _try_once(self, *, must_verify: bool) -> bool:
        """Make a client, and return whether there is one.

        With `must_verify`, AWS must accept its credentials first, since it has refused others.
        """
        loop = asyncio.get_running_loop()
        self._check = CredentialCheck(self.spec.credential_probes, self._clock)
        try:
            client = await loop.run_in_executor(self._executor, self._make)
        except Exception as error:  # noqa: BLE001  # every error of boto3 is reported and retried
            self.error = from_set_up(error, errors.origin_of(self.spec))
            # It is about the server's own set-up, so it has no values of callers.
            self._cause = f"{type(error).__name__}: {error}"
        else:
            probe = self._check.probe
            refusal = await self._probe(client, probe) if must_verify and probe else None
            if refusal is None:
                self.client, self.error = client, None
            else:
                self.error, self._cause = refusal, refusal.message
                await client.close()
        finally:
            self._attempted.set()
        return self.client is not None

    async def _until_discarded(self) -> None:
        """Probe the credentials whenever a call's are refused, until the client is discarded."""
        while True:
            await self._check.suspected.wait()
            self._check.suspected.clear()
            client, probe = self.client, self._check.probe
            if client is None:
                return
            refused = None if probe is None else bool(await self._probe(client, probe))
            error = self._check.verdict(probe_refused=refused)
            if error is not None:
                self.discard(client, error)

    async def _probe(self, client: AwsClient, operation: str) -> errors.TaskgateError | None:
        """Call an operation; return the error if AWS refuses the credentials."""
        try:
            async with asyncio.timeout(PROBE_SECONDS):
                await client.call(operation, {})
        except Exception as cause:  # noqa: BLE001  # any other error is no evidence
            error = from_botocore(cause, errors.origin_of(self.spec, operation))
            return error if isinstance(error, CREDENTIAL_ERRORS) else None
        return None

    async def _report_change(self) -> None:
        if self.client is not None:
            fields = {"region": self.client.region, "endpoint": self.client.endpoint}
            if self.is_unreachable:
                LOG.warning("AWS service not reached", extra={**self._log_fields, **fields})
            else:
                LOG.info("AWS service ready", extra={**self._log_fields, **fields})
        elif self.error is not None:
            reason = {"reason": self.error.reason, "cause": self._cause}
            LOG.warning("AWS service not ready", extra={**self._log_fields, **reason})
        async with self._changed:
            self._changes += 1
            self._changed.notify_all()
