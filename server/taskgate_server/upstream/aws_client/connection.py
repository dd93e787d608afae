"""The way to one AWS service: a client made off the event loop, and replaced when refused.

The clients of services that not every server needs are made when they are first asked for. Whether
AWS refuses the client's credentials is decided in `credential_check`.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import Executor
from typing import TypeAlias

from taskgate_server import errors
from taskgate_server.services.spec import ServiceSpec
from taskgate_server.telemetry import LOG
from taskgate_server.upstream.aws_client.credential_check import CredentialCheck
from taskgate_server.upstream.aws_client.factory import AwsClient
from taskgate_server.upstream.aws_client.failures import from_botocore, from_set_up

Sleep: TypeAlias = Callable[[float], Awaitable[None]]

FIRST_RETRY_SECONDS = 1.0
LAST_RETRY_SECONDS = 30.0
CREDENTIAL_ERRORS = (errors.CredentialsMissingError, errors.CredentialsRefusedError)
PROBE_SECONDS = 5.0
"""How long a check of the credentials may take."""


class Connection:
    """The way to one AWS service: its client when there is one, else why there is none."""

    def __init__(  # noqa: PLR0913  # clock and sleep come in as arguments
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
        self._log_fields = {"service": spec.name, **({"target": target} if target else {})}
        self._wanted = asyncio.Event()
        if not on_demand:
            self._wanted.set()
        self._make = make
        self._executor = executor
        self._sleep = sleep
        self._client: AwsClient | None = None
        self._error: errors.TaskgateError | None = None
        self._cause = ""
        self._tried = asyncio.Event()
        self._check = CredentialCheck(spec.credential_probes, clock)
        self._clock = clock
        self._changed = asyncio.Condition()
        self._changes = 0
        self.is_unreachable = False
        """Whether the client's endpoint takes no connections, as far as `reach` knows."""
        self.unreachable_at = -math.inf
        """When that was found out last, in monotonic seconds."""

    @property
    def client(self) -> AwsClient | None:
        """The client, while calls can be made."""
        return self._client

    @property
    def error(self) -> errors.TaskgateError | None:
        """Why there is no client; None also before the first try has ended."""
        return self._error

    async def ready(self) -> AwsClient:
        """The client; waits for the first try to make it.

        Raises:
            errors.TaskgateError: UNAVAILABLE, with what the server lacks.
        """
        self._wanted.set()
        await self._tried.wait()
        if self._client is None:
            raise self._error or errors.BugError()
        return self._client

    def lose(self, client: AwsClient | None, error: errors.TaskgateError) -> None:
        """Discard the client: its credentials cannot be had, and no call can succeed without."""
        if self._client is not None and self._client is client:
            self._client, self._error, self._cause = None, error, error.message
            self._check.wake()

    def refused(self, client: AwsClient, operation: str, error: errors.TaskgateError) -> None:
        """Note that AWS refused the credentials of a call; calls go on until that is confirmed."""
        if self._client is client:
            self._check.refused(operation, error)

    def accepted(self, client: AwsClient, operation: str) -> None:
        """Note that AWS accepted the credentials of a call."""
        if self._client is client:
            self._check.accepted(operation)

    async def changed(self, seen: int) -> int:
        """Waits until the client has come or gone more than `seen` times; returns how many."""
        async with self._changed:
            await self._changed.wait_for(lambda: self._changes > seen)
            return self._changes

    async def tell_reach(self, *, is_lost: bool) -> None:
        """Note whether the endpoint takes connections."""
        if is_lost:
            self.unreachable_at = self._clock()
        if self.is_unreachable is not is_lost:
            self.is_unreachable = is_lost
            await self._tell()

    async def run(self) -> None:
        """Make the client, and replace it each time it is lost; ends when cancelled."""
        await self._wanted.wait()
        delay = FIRST_RETRY_SECONDS
        is_new = True
        while True:
            made = await self._try_once(must_verify=not is_new)
            self.is_unreachable = False  # nothing is known of a new client yet
            await self._tell()
            if made:
                delay, is_new = FIRST_RETRY_SECONDS, False
                await self._until_lost()
                await self._tell()
            await self._sleep(delay)
            delay = min(delay * 2, LAST_RETRY_SECONDS)

    async def _try_once(self, *, must_verify: bool) -> bool:
        """Make a client.

        Args:
            must_verify: whether AWS must accept its credentials first, since it has refused others.
        """
        loop = asyncio.get_running_loop()
        self._check.reset()
        try:
            client = await loop.run_in_executor(self._executor, self._make)
        except Exception as error:  # noqa: BLE001  # whatever boto3 raises is reported and retried
            self._error = from_set_up(error, self._origin())
            # No caller's values are in it: this is about the server's own set-up.
            self._cause = f"{type(error).__name__}: {error}"
        else:
            probe = self._check.probe
            refusal = await self._probe(client, probe) if must_verify and probe else None
            if refusal is None:
                self._client, self._error = client, None
            else:
                self._error, self._cause = refusal, refusal.message
        finally:
            self._tried.set()
        return self._client is not None

    async def _until_lost(self) -> None:
        """Wait until the client is lost; probe its credentials whenever a call's are refused."""
        while True:
            await self._check.suspected()
            client, probe = self._client, self._check.probe
            if client is None:
                return
            refused = None if probe is None else bool(await self._probe(client, probe))
            error = self._check.verdict(probe_refused=refused)
            if error is not None:
                self.lose(client, error)

    async def _probe(self, client: AwsClient, operation: str) -> errors.TaskgateError | None:
        """Call an operation only to see whether AWS refuses the credentials: the refusal if so."""
        loop = asyncio.get_running_loop()
        try:
            await loop.run_in_executor(self._executor, client.call, operation, {}, PROBE_SECONDS)
        except Exception as error:  # noqa: BLE001  # any other error is no evidence
            told = from_botocore(error, self._origin(operation))
            return told if isinstance(told, CREDENTIAL_ERRORS) else None
        return None

    async def _tell(self) -> None:
        if self._client is not None:
            fields = {"region": self._client.region, "endpoint": self._client.endpoint}
            if self.is_unreachable:
                LOG.warning("AWS service not reached", extra={**self._log_fields, **fields})
            else:
                LOG.info("AWS service ready", extra={**self._log_fields, **fields})
        elif self._error is not None:
            reason = {"reason": self._error.reason, "cause": self._cause}
            LOG.warning("AWS service not ready", extra={**self._log_fields, **reason})
        async with self._changed:
            self._changes += 1
            self._changed.notify_all()

    def _origin(self, operation: str = "") -> errors.Origin:
        spec = self.spec
        return errors.Origin(
            service=spec.name, title=spec.title, domain=spec.error_domain, operation=operation
        )
