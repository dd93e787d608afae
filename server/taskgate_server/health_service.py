"""grpc.health.v1: the serving status of each name, for probes and load balancers.

Health checks need neither authentication nor permission; they count against the limits of their
address. `health.Readiness` decides the statuses.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any, Final

from google.protobuf import message_factory
from google.protobuf.message import Message
from grpc_health.v1 import health_pb2

from taskgate_server import errors
from taskgate_server.calls import CallContext, Rpc

SERVICE: Final = "grpc.health.v1.Health"

_MESSAGES: Final[Any] = health_pb2
"""The same module. Its type stubs lack `List`, which grpcio-health-checking has since 1.73."""

SERVING: Final = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING: Final = health_pb2.HealthCheckResponse.NOT_SERVING
SERVICE_UNKNOWN: Final = health_pb2.HealthCheckResponse.SERVICE_UNKNOWN

MAX_REQUEST_BYTES: Final = 512
"""Requests need no authentication, and a watch holds its name as long as it lasts."""


class Health:
    """The serving statuses, and the behaviours of the RPCs that report them."""

    def __init__(self) -> None:
        self._statuses: dict[str, int] = {}
        self._changed = asyncio.Event()
        self._is_shutting_down = False
        self._watches_ended = False

    def set(self, name: str, *, serving: bool) -> None:
        """Set the status of a name. Ignored once the server is shutting down."""
        if not self._is_shutting_down:
            self._statuses[name] = SERVING if serving else NOT_SERVING
            self._notify()

    def shut_down(self) -> None:
        """Set NOT_SERVING for all names, permanently."""
        self._is_shutting_down = True
        self._statuses = dict.fromkeys(self._statuses, NOT_SERVING)
        self._notify()

    def end_watches(self) -> None:
        """End all open watches, and those that are opened from now on."""
        self._watches_ended = True
        self._notify()

    def rpcs(self) -> list[Rpc]:
        """Return the RPCs of the service."""
        behaviours = {"Check": self._check, "List": self._list, "Watch": self._watch}
        service = _MESSAGES.DESCRIPTOR.services_by_name["Health"]
        return [
            Rpc(
                method=f"{service.full_name}/{method.name}",
                request_class=message_factory.GetMessageClass(method.input_type),
                response_class=message_factory.GetMessageClass(method.output_type),
                behaviour=behaviours[method.name],
                server_streams=method.server_streaming,
                max_request_bytes=MAX_REQUEST_BYTES,
            )
            for method in service.methods
        ]

    async def _check(self, request: health_pb2.HealthCheckRequest, _: CallContext) -> Message:
        status = self._statuses.get(request.service)
        if status is None:
            names = ", ".join(repr(name) for name in self._statuses)
            fault = f"no such service; there are {names}"
            raise errors.OwnError(errors.Reason.UNKNOWN_HEALTH_NAME, fault)
        return _response(status)

    async def _list(self, _: Message, __: CallContext) -> Message:
        response: Message = _MESSAGES.HealthListResponse(
            statuses={name: _response(status) for name, status in self._statuses.items()}
        )
        return response

    async def _watch(
        self, request: health_pb2.HealthCheckRequest, _: CallContext
    ) -> AsyncIterator[Message]:
        name, last = request.service, None
        while True:
            changed = self._changed
            status = self._statuses.get(name, SERVICE_UNKNOWN)
            if status != last:
                last = status
                yield _response(status)
            if self._watches_ended:  # after the last status: NOT_SERVING
                raise errors.ServerStoppingError()
            if not changed.is_set():
                await changed.wait()

    def _notify(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()


def _response(status: int) -> Message:
    response: Message = _MESSAGES.HealthCheckResponse(status=status)
    return response
