"""gRPC's server reflection, by which callers find out the contracts, as `Rpc`s like all others.

v1 and v1alpha have the same messages under two names. grpcio has v1alpha alone.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from typing import Any, Final

from google.protobuf.message import Message
from grpc_reflection.v1alpha import reflection, reflection_pb2

from taskgate_server.calls import Call, Rpc

SERVICES: Final = ("grpc.reflection.v1.ServerReflection", reflection.SERVICE_NAME)


def make_rpcs(services: Iterable[str]) -> list[Rpc]:
    """Return the RPCs that describe these services."""
    servicer: Any = reflection.aio.ReflectionServicer(services)

    def serve(requests: AsyncIterator[Message], _: Call) -> AsyncIterator[Message]:
        responses: AsyncIterator[Message] = servicer.ServerReflectionInfo(requests, None)
        return responses

    return [
        Rpc(
            method=f"{service}/ServerReflectionInfo",
            request_class=reflection_pb2.ServerReflectionRequest,
            response_class=reflection_pb2.ServerReflectionResponse,
            behaviour=serve,
            client_streams=True,
            server_streams=True,
        )
        for service in SERVICES
    ]
