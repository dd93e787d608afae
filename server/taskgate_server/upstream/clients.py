"""boto3 clients: made once for each AWS service, off the event loop, and made anew when refused.

The only place that imports boto3, which takes 0.3 s or more, so it is imported in the thread that
makes the first client, while the server already listens.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias
from urllib.parse import urlsplit

from taskgate_server import errors
from taskgate_server.aws.services import ServiceSpec
from taskgate_server.config import AwsSettings
from taskgate_server.telemetry import LOG

if TYPE_CHECKING:
    from botocore.client import BaseClient

Sleep: TypeAlias = Callable[[float], Awaitable[None]]

FIRST_RETRY_SECONDS = 1.0
LAST_RETRY_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class AwsClient:
    """A boto3 client, with what is asked of it at each call looked up beforehand."""

    client: BaseClient
    methods: dict[str, str]
    """Operation name -> the client's method of that operation."""
    region: str
    endpoint: str
    """Host and port of the endpoint, before any prefix."""

    def call(self, operation: str, params: dict[str, Any]) -> dict[str, Any]:
        """Calls AWS in this thread; raises botocore's errors."""
        method: Callable[..., dict[str, Any]] = getattr(self.client, self.methods[operation])
        return method(**params)


def make_client(spec: ServiceSpec, settings: AwsSettings) -> AwsClient:
    """A client with credentials, by boto3's own search for them.

    Raises:
        Exception: botocore's errors, NoCredentialsError if there are none.
    """
    import boto3  # noqa: PLC0415  # see the module's docstring
    import botocore.session  # noqa: PLC0415
    from botocore.config import Config  # noqa: PLC0415
    from botocore.exceptions import NoCredentialsError  # noqa: PLC0415

    core = botocore.session.get_session()
    # Timestamps stay AWS's own text: the converter reads them exactly, where botocore's takes 25 µs
    # for each and drops what is finer than a microsecond.
    core.get_component("response_parser_factory").set_parser_defaults(
        timestamp_parser=lambda value: value
    )
    # Any: boto3-stubs types each service by its literal name, and ours are data.
    session: Any = boto3.Session(
        botocore_session=core,
        # Every AWS SDK but boto3 reads AWS_REGION, and EKS and Lambda set it:
        # https://docs.aws.amazon.com/sdkref/latest/guide/feature-region.html
        region_name=settings.region or os.environ.get("AWS_REGION"),
    )
    if session.get_credentials() is None:
        raise NoCredentialsError
    client = session.client(
        spec.name,
        endpoint_url=settings.endpoint_url,
        config=Config(
            connect_timeout=settings.connect_timeout_seconds,
            read_timeout=settings.read_timeout_seconds,
            max_pool_connections=settings.max_concurrent_calls,
            retries={"mode": "standard", "total_max_attempts": settings.max_attempts},
            tcp_keepalive=True,
            # Both services prefix the host by operation (management., workflows-); another endpoint
            # has no such names, and botocore would prefix it all the same.
            inject_host_prefix=settings.endpoint_url is None,
        ),
    )
    return AwsClient(
        client=client,
        methods={name: method for method, name in client.meta.method_to_api_mapping.items()},
        region=client.meta.region_name,
        endpoint=urlsplit(client.meta.endpoint_url).netloc,
    )


class Connection:
    """The way to one AWS service: its client when there is one, else why there is none."""

    def __init__(
        self,
        spec: ServiceSpec,
        make: Callable[[], AwsClient],
        executor: Executor,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        self.spec = spec
        self._make = make
        self._executor = executor
        self._sleep = sleep
        self._client: AwsClient | None = None
        self._error: errors.TaskgateError | None = None
        self._cause = ""
        self._tried = asyncio.Event()
        self._lost = asyncio.Event()
        self._changed = asyncio.Condition()

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
        await self._tried.wait()
        if self._client is None:
            raise self._error or errors.internal()
        return self._client

    def lose(self, client: AwsClient | None, error: errors.TaskgateError) -> None:
        """AWS refused the client's credentials: no call can succeed until there is a new one."""
        if self._client is not None and self._client is client:
            self._client, self._error, self._cause = None, error, error.message
            self._lost.set()

    async def changed(self) -> None:
        """Returns after the next time that the client came or went."""
        async with self._changed:
            await self._changed.wait()

    async def run(self) -> None:
        """Makes the client, and makes it anew each time it is lost; ends when cancelled."""
        delay = FIRST_RETRY_SECONDS
        while True:
            self._lost.clear()
            made = await self._try_once()
            await self._tell()
            if made:
                delay = FIRST_RETRY_SECONDS
                await self._lost.wait()
                await self._tell()
            await self._sleep(delay)
            delay = min(delay * 2, LAST_RETRY_SECONDS)

    async def _try_once(self) -> bool:
        loop = asyncio.get_running_loop()
        try:
            self._client = await loop.run_in_executor(self._executor, self._make)
        except Exception as error:  # noqa: BLE001  # whatever boto3 raises is told, and tried again
            self._error = errors.from_botocore(error, self._origin())
            # No caller's values are in it: this is about the server's own set-up.
            self._cause = f"{type(error).__name__}: {error}"
        else:
            self._error = None
        finally:
            self._tried.set()
        return self._client is not None

    async def _tell(self) -> None:
        if self._client is not None:
            fields = {"region": self._client.region, "endpoint": self._client.endpoint}
            LOG.info("AWS service ready", extra={"service": self.spec.name, **fields})
        elif self._error is not None:
            reason = {"reason": self._error.reason, "cause": self._cause}
            LOG.warning("AWS service not ready", extra={"service": self.spec.name, **reason})
        async with self._changed:
            self._changed.notify_all()

    def _origin(self) -> errors.Origin:
        spec = self.spec
        return errors.Origin(
            service=spec.name, title=spec.title, domain=spec.error_domain, operation=""
        )
