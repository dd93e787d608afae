"""Client-streaming calls that fail with the server's status.

When a server ends such a call early, gRPC's asyncio may replace the server's status, which it has
already received, by INTERNAL for a write that then fails
(https://github.com/grpc/grpc/issues/36066).
"""

from __future__ import annotations

from collections.abc import Coroutine, Generator
from typing import Any

import grpc

from taskgate_client.channels import StubChannel


class AsyncStubChannel(StubChannel):
    """An asyncio channel for a stub, whose uploads fail with the server's status."""

    def stream_unary(self, *arguments: Any, **options: Any) -> Any:
        """Return an RPC whose request is a stream."""
        rpc = super().stream_unary(*arguments, **options)

        def call(*requests: Any, **more: Any) -> _Upload:
            return _Upload(rpc(*requests, **more))

        return call


class _Upload:
    """A call that remembers its first status, which is the server's."""

    def __init__(self, call: Any) -> None:
        self._call = call
        self._error: grpc.aio.AioRpcError | None = None
        call.add_done_callback(self._remember_status)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._call, name)

    def __await__(self) -> Generator[Any, None, Any]:
        try:
            return (yield from self._call.__await__())
        except grpc.aio.AioRpcError as error:
            is_servers = error.code() is not grpc.StatusCode.INTERNAL
            raise error if is_servers else self._error or error from None

    def _remember_status(self, call: Any) -> None:
        """Store the status of a call that has just ended, before another one can replace it."""
        code = _result(call.code())
        if code is not grpc.StatusCode.OK:
            self._error = grpc.aio.AioRpcError(
                code,
                grpc.aio.Metadata(),
                _result(call.trailing_metadata()),
                _result(call.details()),
            )


def _result(coroutine: Coroutine[Any, Any, Any]) -> Any:
    """Return the result of a coroutine that does not suspend, such as those of an ended call."""
    try:
        coroutine.send(None)
    except StopIteration as result:
        return result.value
    coroutine.close()
    raise RuntimeError("the call has not ended")
