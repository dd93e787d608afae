"""Channels that add a default timeout and metadata to the calls of a stub.

They wrap gRPC's channels. Interceptors would do the same, but those of asyncio run each call in a
task of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Final

import grpc

from taskgate_client.lifetime import Lifetime
from taskgate_client.parents import PARENT_KEY, roots_in, shared_parent
from taskgate_client.security import BearerToken
from taskgate_client.writes import SINCE_WRITE_KEY, Writes, is_read, is_write

DEFAULT_TIMEOUT_SECONDS: Final = 30.0
"""Timeout of unary calls that set none; gRPC's own default is to wait forever."""
TARGET_KEY: Final = "taskgate-target"


@dataclass(frozen=True, slots=True)
class CallDefaults:
    """What the calls of all stubs of a client have in common."""

    writes: Writes
    lifetime: Lifetime
    token: BearerToken
    target: str = ""
    """The AWS account and region that calls name in their metadata; empty for none."""


class StubChannel:
    """A blocking or asyncio channel for a stub.

    Unary calls have a default timeout; streams have none. All raise ClosedError once the client is
    closed.

    Args:
        channel: gRPC's channel, which makes the calls.
        calls: what all calls of the client have in common.
        sends_parent: whether calls name the job or run of their request in their metadata.
    """

    def __init__(self, channel: Any, calls: CallDefaults, *, sends_parent: bool = False) -> None:
        self._channel = channel
        self._calls = calls
        self._sends_parent = sends_parent

    def unary_unary(self, path: str, *arguments: Any, **options: Any) -> Any:
        """Return a unary RPC with a default timeout."""
        rpc = self._channel.unary_unary(path, *arguments, **options)
        return self._wrap(path, rpc, DEFAULT_TIMEOUT_SECONDS)

    def unary_stream(self, path: str, *arguments: Any, **options: Any) -> Any:
        """Return an RPC whose response is a stream."""
        return self._wrap(path, self._channel.unary_stream(path, *arguments, **options))

    def stream_unary(self, path: str, *arguments: Any, **options: Any) -> Any:
        """Return an RPC whose request is a stream."""
        return self._wrap(path, self._channel.stream_unary(path, *arguments, **options))

    def stream_stream(self, path: str, *arguments: Any, **options: Any) -> Any:
        """Return an RPC with streams in both directions."""
        return self._wrap(path, self._channel.stream_stream(path, *arguments, **options))

    def _wrap(self, path: str, rpc: Any, default_timeout: float | None = None) -> _Rpc:
        return _Rpc(rpc, path, default_timeout, self._calls, sends_parent=self._sends_parent)


class _Rpc:
    """An RPC with all of gRPC's ways to call it; asyncio has only the first."""

    def __init__(
        self,
        rpc: Any,
        path: str,
        default_timeout: float | None,
        calls: CallDefaults,
        *,
        sends_parent: bool,
    ) -> None:
        self._rpc = rpc
        self._is_read = is_read(path)
        self._is_write = is_write(path)
        self._metadata = ((TARGET_KEY, calls.target),) if calls.target else ()
        self._default_timeout = default_timeout
        self._writes = calls.writes
        self._lifetime = calls.lifetime
        self._token = calls.token
        self._sends_parent = sends_parent

    def __call__(
        self, request: Any = None, timeout: float | None = None, metadata: Any = None, **more: Any
    ) -> Any:
        return self._make(self._rpc, request, timeout, metadata, more)

    def with_call(
        self, request: Any, timeout: float | None = None, metadata: Any = None, **more: Any
    ) -> Any:
        return self._make(self._rpc.with_call, request, timeout, metadata, more)

    def future(
        self, request: Any, timeout: float | None = None, metadata: Any = None, **more: Any
    ) -> Any:
        return self._make(self._rpc.future, request, timeout, metadata, more)

    def _make(
        self,
        method: Callable[..., Any],
        request: Any,
        timeout: float | None,
        metadata: Iterable[tuple[str, Any]] | None,
        more: dict[str, Any],
    ) -> Any:
        """Make a call. If it may write, record when it has ended, whatever its outcome."""
        self._lifetime.check()
        options = self._options(request, timeout, metadata)
        if not self._is_write:
            return method(request, **options, **more)
        roots = self._roots(request)
        try:
            call = method(request, **options, **more)
        except BaseException:
            self._writes.record(roots)
            raise
        if isinstance(call, grpc.Future):
            # gRPC wakes those who wait for the result before it runs callbacks.
            end = self._writes.run(roots)
            call.add_done_callback(lambda _: end())
        elif hasattr(call, "add_done_callback"):  # a call of asyncio, else a response
            call.add_done_callback(lambda _: self._writes.record(roots))
        else:
            self._writes.record(roots)
        return call

    def _options(
        self, request: Any, timeout: float | None, metadata: Iterable[tuple[str, Any]] | None
    ) -> dict[str, Any]:
        added = (*self._metadata, *self._token.metadata())
        if self._sends_parent:
            parent = shared_parent(request)
            if parent is not None:
                added = (*added, (PARENT_KEY, parent))
        if self._is_read and not self._writes.is_empty:
            since_write = self._writes.since(self._roots(request))
            if since_write is not None:
                added = (*added, (SINCE_WRITE_KEY, since_write))
        return {
            "timeout": self._default_timeout if timeout is None else timeout,
            "metadata": (*(metadata or ()), *added) if added else metadata,
        }

    def _roots(self, request: Any) -> frozenset[str] | None:
        return roots_in(request) if self._sends_parent else None
