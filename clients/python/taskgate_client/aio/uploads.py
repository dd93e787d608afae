"""Calls with many requests and one answer, told by the status that the server gave.

When a server ends such a call early, gRPC's asyncio may take the failure of a write that was on its
way for the status of the call, and put INTERNAL over the server's, which it had already
(https://github.com/grpc/grpc/issues/36066).
"""

from __future__ import annotations

from collections.abc import Coroutine, Generator
from typing import Any

import grpc

from taskgate_client.time_limits import LimitedChannel


class AsyncLimitedChannel(LimitedChannel):
    """The asyncio channel of a stub: its unary calls are limited, its uploads told right."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        super().__init__(channel)
        self.stream_unary = self._stream_unary

    def _stream_unary(self, *arguments: Any, **options: Any) -> Any:
        rpc: Any = self._channel.stream_unary(*arguments, **options)

        def call(*requests: Any, **more: Any) -> _Upload:
            return _Upload(rpc(*requests, **more))

        return call


class _Upload:
    """A call of gRPC's, of whose two statuses the server's counts."""

    def __init__(self, call: Any) -> None:
        self._call = call
        self._error: grpc.aio.AioRpcError | None = None
        call.add_done_callback(self._note)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._call, name)

    def __await__(self) -> Generator[Any, None, Any]:
        try:
            return (yield from self._call.__await__())
        except grpc.aio.AioRpcError as error:
            is_servers = error.code() is not grpc.StatusCode.INTERNAL
            raise error if is_servers else self._error or error from None

    def _note(self, call: Any) -> None:
        """Called with the first status, before another one can be put over it."""
        code = _now(call.code())
        if code is not grpc.StatusCode.OK:
            self._error = grpc.aio.AioRpcError(
                code, grpc.aio.Metadata(), _now(call.trailing_metadata()), _now(call.details())
            )


def _now(done: Coroutine[Any, Any, Any]) -> Any:
    """The result of a coroutine that has nothing to wait for, as those of a call that has ended."""
    try:
        done.send(None)
    except StopIteration as result:
        return result.value
    done.close()
    raise RuntimeError("the call has not ended")
