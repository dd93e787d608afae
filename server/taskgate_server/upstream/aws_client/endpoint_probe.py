"""Whether an AWS service's endpoint takes connections, found out without a call of its API.

A name that is resolved and a TCP connection that is closed again spend no quota, and tell of a lost
network before a caller does.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, TypeAlias

from taskgate_server.upstream.aws_client.connection import Connection, Sleep
from taskgate_server.upstream.aws_client.factory import AwsClient

Connect: TypeAlias = Callable[[str, int], Awaitable[None]]
"""Makes a connection and closes it. Raises OSError."""

LOOK_SECONDS: Final = 10.0
"""How often it is tried."""
AGAIN_SECONDS: Final = 2.0
"""The same after a failure."""
CONNECT_SECONDS: Final = 5.0
"""How long one try may take."""
FAILURES: Final = 2
"""So many in a row are no chance."""


async def connect(host: str, port: int) -> None:
    """Makes a TCP connection and closes it.

    Raises:
        OSError: there is no such name, nobody listens, or nothing is heard in time.
    """
    async with asyncio.timeout(CONNECT_SECONDS):
        _, writer = await asyncio.open_connection(host, port)
    writer.transport.abort()


class EndpointProbe:
    """Tries the endpoint now and then, and tells the connection.

    Args:
        connection: whose client says where the endpoint is.
        sleep: waits.
        connect: makes a connection.
    """

    def __init__(
        self, connection: Connection, *, sleep: Sleep = asyncio.sleep, connect: Connect = connect
    ) -> None:
        self._connection = connection
        self._sleep = sleep
        self._connect = connect

    async def run(self) -> None:
        """Looks while there is a client; ends when cancelled."""
        seen = 0
        while True:
            seen = await self._connection.changed(seen)
            failures = FAILURES - 1  # of an endpoint that was never reached one says enough
            while (client := self._connection.client) is not None:
                failures = 0 if await self._reaches(client) else failures + 1
                await self._connection.tell_reach(is_lost=failures >= FAILURES)
                await self._sleep(AGAIN_SECONDS if failures else LOOK_SECONDS)

    async def _reaches(self, client: AwsClient) -> bool:
        if client.reach is None:
            return True
        try:
            await self._connect(*client.reach)
        except OSError:  # TimeoutError is one
            return False
        return True
