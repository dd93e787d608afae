"""A channel that is replaced when the files of its TLS options change.

gRPC for Python reads certificates once for each channel. Calls that have begun keep the channel
with which they began; each new call uses a channel with the present files.
"""

from __future__ import annotations

import asyncio
import threading
import weakref
from collections.abc import Callable
from typing import Any

from taskgate_client.security import Tls


class RenewedChannel:
    """A blocking or asyncio channel with the present certificates.

    Args:
        tls: has the files.
        make_channel: returns a channel with their present content. It raises OSError if a file
            cannot be read, and is called again at the next call then.
    """

    def __init__(self, tls: Tls, make_channel: Callable[[], Any]) -> None:
        self._tls = tls
        self._make_channel = make_channel
        self._lock = threading.Lock()
        self._versions = tls.versions()
        self._channel: Any = make_channel()
        self._made: weakref.WeakSet[Any] = weakref.WeakSet([self._channel])
        """The present channel, and earlier ones that have calls."""

    def unary_unary(self, *arguments: Any, **options: Any) -> _RenewedRpc:
        """Return a unary RPC."""
        return _RenewedRpc(self, "unary_unary", arguments, options)

    def unary_stream(self, *arguments: Any, **options: Any) -> _RenewedRpc:
        """Return an RPC whose response is a stream."""
        return _RenewedRpc(self, "unary_stream", arguments, options)

    def stream_unary(self, *arguments: Any, **options: Any) -> _RenewedRpc:
        """Return an RPC whose request is a stream."""
        return _RenewedRpc(self, "stream_unary", arguments, options)

    def stream_stream(self, *arguments: Any, **options: Any) -> _RenewedRpc:
        """Return an RPC with streams in both directions."""
        return _RenewedRpc(self, "stream_stream", arguments, options)

    def current(self) -> Any:
        """Return the channel for a new call.

        The previous one is closed when nothing refers to it: its calls and RPCs do.
        """
        versions = self._tls.versions()
        if versions != self._versions:
            with self._lock:
                if versions != self._versions:
                    try:
                        self._channel = self._make_channel()
                    except OSError:  # a file is being replaced
                        return self._channel
                    self._versions = versions
                    self._made.add(self._channel)
        return self._channel

    def close(self) -> Any:
        """Close all channels; returns something to await for those of asyncio."""
        closing = [channel.close() for channel in list(self._made)]
        return asyncio.gather(*closing) if any(map(asyncio.iscoroutine, closing)) else None


class _RenewedRpc:
    """An RPC of the present channel."""

    def __init__(
        self, channel: RenewedChannel, kind: str, arguments: tuple[Any, ...], options: Any
    ) -> None:
        self._channel = channel
        self._kind = kind
        self._arguments = arguments
        self._options = options
        self._made: tuple[Any, Any] = (None, None)
        """The channel and its RPC."""

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        return self._rpc()(*arguments, **options)

    def with_call(self, *arguments: Any, **options: Any) -> Any:
        return self._rpc().with_call(*arguments, **options)

    def future(self, *arguments: Any, **options: Any) -> Any:
        return self._rpc().future(*arguments, **options)

    def _rpc(self) -> Any:
        channel = self._channel.current()
        made_for, rpc = self._made
        if made_for is not channel:
            rpc = getattr(channel, self._kind)(*self._arguments, **self._options)
            self._made = (channel, rpc)
        return rpc
