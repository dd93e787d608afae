"""Which AWS account and region the calls of a client are for, told with each of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import grpc

TARGET_KEY = "taskgate-target"


class SendsTarget(
    grpc.UnaryUnaryClientInterceptor,
    grpc.UnaryStreamClientInterceptor,
    grpc.StreamUnaryClientInterceptor,
    grpc.StreamStreamClientInterceptor,
):
    """Adds the target's name to every call of a blocking channel."""

    def __init__(self, target: str) -> None:
        self._target = target

    def _send(self, go_on: Callable[[Any, Any], Any], details: Any, request: Any) -> Any:
        return go_on(_with_target(details, self._target), request)

    intercept_unary_unary: Any = _send
    intercept_unary_stream: Any = _send
    intercept_stream_unary: Any = _send
    intercept_stream_stream: Any = _send


class _SendsTargetAio:
    """The same for asyncio, where gRPC asks for another class for each kind of call."""

    def __init__(self, target: str) -> None:
        self._target = target

    async def _send(self, go_on: Callable[[Any, Any], Any], details: Any, request: Any) -> Any:
        return await go_on(_with_target(details, self._target), request)


class _UnaryUnary(_SendsTargetAio, grpc.aio.UnaryUnaryClientInterceptor):
    intercept_unary_unary: Any = _SendsTargetAio._send  # noqa: SLF001  # its own


class _UnaryStream(_SendsTargetAio, grpc.aio.UnaryStreamClientInterceptor):
    intercept_unary_stream: Any = _SendsTargetAio._send  # noqa: SLF001  # its own


class _StreamUnary(_SendsTargetAio, grpc.aio.StreamUnaryClientInterceptor):
    intercept_stream_unary: Any = _SendsTargetAio._send  # noqa: SLF001  # its own


class _StreamStream(_SendsTargetAio, grpc.aio.StreamStreamClientInterceptor):
    intercept_stream_stream: Any = _SendsTargetAio._send  # noqa: SLF001  # its own


def aio_interceptors(target: str) -> list[grpc.aio.ClientInterceptor]:
    """What adds the target's name to every call of an asyncio channel."""
    return [kind(target) for kind in (_UnaryUnary, _UnaryStream, _StreamUnary, _StreamStream)]


def _with_target(details: Any, target: str) -> Any:
    """The details with one more entry of metadata.

    gRPC's are a named tuple in asyncio, and anything with these attributes elsewhere.
    """
    metadata = [*(details.metadata or ()), (TARGET_KEY, target)]
    if isinstance(details, tuple):
        return details._replace(metadata=grpc.aio.Metadata(*metadata))  # type: ignore[attr-defined]  # a named tuple
    return _Details(details, metadata)


class _Details(grpc.ClientCallDetails):
    def __init__(self, details: Any, metadata: Any) -> None:
        self.method = details.method
        self.timeout = details.timeout
        self.metadata = metadata
        self.credentials = details.credentials
        self.wait_for_ready = getattr(details, "wait_for_ready", None)
        self.compression = getattr(details, "compression", None)
