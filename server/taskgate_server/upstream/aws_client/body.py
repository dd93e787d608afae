"""AWS's answer as a stream of bytes, read in a thread only as fast as somebody takes it."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncGenerator
from concurrent.futures import Executor
from contextlib import suppress
from typing import Any

from taskgate_server.errors import Origin
from taskgate_server.upstream.aws_client.failures import from_botocore


class Body:
    """An HTTP body that has begun to arrive. Close it, read or not."""

    def __init__(self, stream: Any, executor: Executor, origin: Origin) -> None:
        self._stream = stream
        """botocore's StreamingBody: it checks the length that AWS announced."""
        self._executor = executor
        self._origin = origin
        self._reading: asyncio.Future[bytes] | None = None

    async def chunks(self, size: int) -> AsyncGenerator[bytes, None]:
        """The bytes, in chunks of `size` but for the last one.

        Raises:
            errors.TaskgateError: UNAVAILABLE, the body ended early or did not go on.
        """
        loop = asyncio.get_running_loop()
        while True:
            self._reading = loop.run_in_executor(self._executor, self._stream.read, size)
            try:
                chunk = await asyncio.shield(self._reading)
            except Exception as error:
                raise from_botocore(error, self._origin) from error
            if not chunk:
                return
            yield chunk

    def close(self) -> None:
        """Ends the connection to AWS, also under a thread that still reads from it."""
        if self._reading is None or self._reading.done():
            self._stream.close()
            return
        # What a read in progress returns or raises is of no interest any more.
        self._reading.add_done_callback(lambda read: read.cancelled() or read.exception())
        self._reading.add_done_callback(lambda _: self._stream.close())
        # botocore has no way to wake a reader, and urllib3's own shuts the socket for reading only,
        # then gives the connection back to the pool: AWS would go on sending. An answer that is
        # complete has no socket any more; its read ends by itself.
        with suppress(AttributeError, TypeError, OSError):
            self._stream._raw_stream._sock_shutdown(socket.SHUT_RDWR)  # noqa: SLF001  # see above
