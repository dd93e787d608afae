"""The end of an asyncio client."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager

import grpc

from taskgate_client.errors import CallError, ClosedError
from taskgate_client.lifetime import Lifetime


class AsyncLifetime(Lifetime):
    """See `Lifetime`; for one event loop."""

    @contextmanager
    def call_errors(self) -> Iterator[None]:
        """See `Lifetime.call_errors`. gRPC cancels calls that a closed channel ends."""
        try:
            with super().call_errors():
                yield
        except grpc.aio.UsageError:
            self.check()
            raise
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if self.is_closed and task is not None and not task.cancelling():
                raise ClosedError.new() from None
            raise


class AsyncPauses:
    """The pauses of a stream or a wait, which end with it.

    Args:
        sleep: waits for some seconds.
    """

    def __init__(self, sleep: Callable[[float], Awaitable[None]]) -> None:
        self._sleep = sleep
        self._stopped = asyncio.Event()
        self._error: CallError | None = None

    async def pause(self, seconds: float) -> None:
        """Wait for some seconds, or until `stop`.

        Raises:
            ClosedError: the client was closed.
        """
        sleeping = asyncio.ensure_future(self._sleep(seconds))
        stopping = asyncio.ensure_future(self._stopped.wait())
        try:
            await asyncio.wait((sleeping, stopping), return_when=asyncio.FIRST_COMPLETED)
        finally:
            sleeping.cancel()
            stopping.cancel()
        if self._error is not None:
            raise self._error

    def stop(self) -> None:
        """End the present pause and all later ones."""
        self._stopped.set()

    def end(self, error: CallError) -> None:
        """See `taskgate_client.lifetime.Endable`."""
        self._error = error
        self.stop()
