"""A time limit for calls of the AWS services' stubs that say nothing of their time.

gRPC's own default is to wait for ever, and interceptors would cost the other calls of the channel.
"""

from __future__ import annotations

from typing import Any, Final

DEFAULT_TIME_LIMIT_SECONDS: Final = 30.0


class LimitedChannel:
    """A blocking or asyncio channel whose unary calls have a time limit; streams have none.

    Args:
        channel: what makes the calls.
    """

    def __init__(self, channel: Any) -> None:
        self._channel = channel
        self.unary_stream: Any = channel.unary_stream
        self.stream_unary: Any = channel.stream_unary
        self.stream_stream: Any = channel.stream_stream

    def unary_unary(self, *arguments: Any, **options: Any) -> Any:
        """As gRPC has it, limited."""
        return _Limited(self._channel.unary_unary(*arguments, **options))


class _Limited:
    """A unary RPC, in all the forms in which gRPC calls one; asyncio has the first alone."""

    def __init__(self, rpc: Any) -> None:
        self._rpc = rpc

    def __call__(self, request: Any, timeout: float | None = None, **options: Any) -> Any:
        return self._rpc(request, timeout=_limit(timeout), **options)

    def with_call(self, request: Any, timeout: float | None = None, **options: Any) -> Any:
        return self._rpc.with_call(request, timeout=_limit(timeout), **options)

    def future(self, request: Any, timeout: float | None = None, **options: Any) -> Any:
        return self._rpc.future(request, timeout=_limit(timeout), **options)


def _limit(timeout: float | None) -> float:
    return DEFAULT_TIME_LIMIT_SECONDS if timeout is None else timeout
