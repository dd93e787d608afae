"""Channels that add a default timeout and metadata to the calls of a stub.

They wrap gRPC's channels. Interceptors would do the same, but those of asyncio run each call in a
task of its own.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from taskgate_client.parents import PARENT_KEY, shared_parent

DEFAULT_TIMEOUT_SECONDS: Final = 30.0
"""Timeout of unary calls that set none; gRPC's own default is to wait forever."""
TARGET_KEY: Final = "taskgate-target"


class StubChannel:
    """A blocking or asyncio channel for a stub.

    Unary calls have a default timeout; streams have none.

    Args:
        channel: gRPC's channel, which makes the calls.
        target: the AWS account and region that calls name in their metadata; empty for none.
        sends_parent: whether calls name the job or run of their request in their metadata.
    """

    def __init__(self, channel: Any, *, target: str = "", sends_parent: bool = False) -> None:
        self._channel = channel
        self._metadata = ((TARGET_KEY, target),) if target else ()
        self._sends_parent = sends_parent

    def unary_unary(self, *arguments: Any, **options: Any) -> Any:
        """Return a unary RPC with a default timeout."""
        return self._wrap(self._channel.unary_unary(*arguments, **options), DEFAULT_TIMEOUT_SECONDS)

    def unary_stream(self, *arguments: Any, **options: Any) -> Any:
        """Return an RPC whose response is a stream."""
        return self._wrap(self._channel.unary_stream(*arguments, **options), None)

    def stream_unary(self, *arguments: Any, **options: Any) -> Any:
        """Return an RPC whose request is a stream."""
        return self._wrap(self._channel.stream_unary(*arguments, **options), None)

    def stream_stream(self, *arguments: Any, **options: Any) -> Any:
        """Return an RPC with streams in both directions."""
        return self._wrap(self._channel.stream_stream(*arguments, **options), None)

    def _wrap(self, rpc: Any, default_timeout: float | None) -> _Rpc:
        return _Rpc(rpc, self._metadata, default_timeout, sends_parent=self._sends_parent)


class _Rpc:
    """An RPC with all of gRPC's ways to call it; asyncio has only the first."""

    def __init__(
        self,
        rpc: Any,
        metadata: tuple[tuple[str, str], ...],
        default_timeout: float | None,
        *,
        sends_parent: bool,
    ) -> None:
        self._rpc = rpc
        self._metadata = metadata
        self._default_timeout = default_timeout
        self._sends_parent = sends_parent

    def __call__(
        self, request: Any = None, timeout: float | None = None, metadata: Any = None, **more: Any
    ) -> Any:
        return self._rpc(request, **self._options(request, timeout, metadata), **more)

    def with_call(
        self, request: Any, timeout: float | None = None, metadata: Any = None, **more: Any
    ) -> Any:
        return self._rpc.with_call(request, **self._options(request, timeout, metadata), **more)

    def future(
        self, request: Any, timeout: float | None = None, metadata: Any = None, **more: Any
    ) -> Any:
        return self._rpc.future(request, **self._options(request, timeout, metadata), **more)

    def _options(
        self, request: Any, timeout: float | None, metadata: Iterable[tuple[str, Any]] | None
    ) -> dict[str, Any]:
        added = self._metadata
        if self._sends_parent:
            parent = shared_parent(request)
            if parent is not None:
                added = (*added, (PARENT_KEY, parent))
        return {
            "timeout": self._default_timeout if timeout is None else timeout,
            "metadata": (*(metadata or ()), *added) if added else metadata,
        }
