"""The only door to AWS: `Gateway.call`, for the AWS RPCs and the unified tasks alike.

In are boto3's parameters, out is AWS's JSON: plain dicts. The stages of a call are the body of
`call`.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Any

from taskgate_server import errors
from taskgate_server.telemetry import log_bug
from taskgate_server.upstream.body import Body
from taskgate_server.upstream.clients import AwsClient
from taskgate_server.upstream.connection import Connection
from taskgate_server.upstream.failures import from_botocore


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What AWS answered to one operation."""

    value: dict[str, Any]
    """AWS's JSON, with the members that came in headers beside it."""
    request_id: str
    observe_time: float
    """When the answer came, in seconds since 1970."""


class Gateway:
    """The door to one AWS service."""

    def __init__(
        self,
        connection: Connection,
        executor: Executor,
        *,
        default_time_limit: float,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.connection = connection
        self.spec = connection.spec
        self.executor = executor
        self._default_time_limit = default_time_limit
        self._clock = clock

    async def call(
        self, operation: str, params: dict[str, Any], *, time_limit: float | None
    ) -> Answer:
        """Calls an operation by its AWS name.

        Args:
            operation: such as `GetTask`.
            params: as boto3 takes them, already checked against the model.
            time_limit: seconds that the caller waits; None for the server's default, inf for none.

        Raises:
            errors.TaskgateError: whatever went wrong, see `errors`.
        """
        limit = self._default_time_limit if time_limit is None else time_limit
        client = None
        try:
            async with asyncio.timeout(None if limit == math.inf else limit):
                client = await self.connection.ready()
                value, request_id = await self._send(client, operation, params)
        except TimeoutError:
            raise errors.time_limit_exceeded(self._origin(operation, client), limit) from None
        except errors.TaskgateError:
            raise
        except Exception as error:
            raise self._told(error, operation, client) from error
        return Answer(value=value, request_id=request_id, observe_time=self._clock())

    def body(self, operation: str, stream: Any) -> Body:
        """The streamed member of an answer, to be read."""
        return Body(stream, self.executor, self._origin(operation, self.connection.client))

    async def _send(
        self, client: AwsClient, operation: str, params: dict[str, Any]
    ) -> tuple[dict[str, Any], str]:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self.executor, client.call, operation, params)

    def _told(
        self, error: Exception, operation: str, client: AwsClient | None
    ) -> errors.TaskgateError:
        told = from_botocore(error, self._origin(operation, client))
        if told.credentials_refused:
            self.connection.lose(client, told)
        if told.reason == errors.BUG:
            log_bug(error, operation=operation)
        return told

    def _origin(self, operation: str, client: AwsClient | None) -> errors.Origin:
        return errors.Origin(
            service=self.spec.name,
            title=self.spec.title,
            domain=self.spec.error_domain,
            operation=operation,
            endpoint=client.endpoint if client else "",
        )
