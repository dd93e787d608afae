"""How the layers speak of RPCs: `Rpc` is what can be called, `Call` is one call of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

import grpc
from google.protobuf.message import Message


@dataclass(slots=True, kw_only=True)
class Call:
    """One call of an RPC: what its behaviour is told, and what it tells for log and caller."""

    method: str
    """Full name, such as `taskgate.v1.TaskService/GetTask`."""

    call_id: str
    """What the log and RequestInfo name the call by."""

    time_remaining: Callable[[], float | None]
    """Tells the seconds that the caller still waits; None when it set no limit."""

    max_age: float | None = None
    """Seconds that what the caller reads may be old; None for the server's default."""

    observe_time: float | None = None
    """When AWS gave the answer, in seconds since 1970."""

    aws_request_id: str = ""
    """AWS's id of the request that answered the call."""

    code: grpc.StatusCode = grpc.StatusCode.OK
    """How the call ended."""


Behaviour: TypeAlias = Callable[[Any, Call], Any]
"""Serves a call. Takes the request, or an async iterator of requests; returns an awaitable of the
response, or an async iterator of responses; a response may be serialized already. Raises
errors.TaskgateError."""


class Background(Protocol):
    """What goes on between calls, and ends with the server."""

    def stop(self) -> None:
        """Has long calls end soon, by themselves. Called when the server begins to stop."""

    async def close(self) -> None:
        """Ends what goes on. Called when no call is served any more."""


@dataclass(slots=True)
class CallsInFlight:
    """How many calls are being served."""

    count: int = 0


Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"
"""What grpc.aio calls for an RPC: its behaviour with all the stages around it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rpc:
    """An RPC and what serves it."""

    method: str
    request_class: type[Message]
    response_class: type[Message]
    behaviour: Behaviour
    client_streams: bool = False
    server_streams: bool = False
