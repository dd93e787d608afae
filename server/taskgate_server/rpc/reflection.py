"""gRPC's server reflection, which tells callers the contracts, as an `Rpc` like all others."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from typing import Any

from google.protobuf.message import Message
from grpc_health.v1 import health
from grpc_reflection.v1alpha import reflection, reflection_pb2

from taskgate_server.calls import Call, Rpc


def make_rpcs(services: Iterable[str]) -> list[Rpc]:
    """What tells of these services, and of health and reflection themselves."""
    names = [*services, health.SERVICE_NAME, reflection.SERVICE_NAME]
    servicer: Any = reflection.aio.ReflectionServicer(names)

    def serve(requests: AsyncIterator[Message], _: Call) -> AsyncIterator[Message]:
        told: AsyncIterator[Message] = servicer.ServerReflectionInfo(requests, None)
        return told

    service = reflection_pb2.DESCRIPTOR.services_by_name["ServerReflection"]
    return [
        Rpc(
            method=f"{service.full_name}/ServerReflectionInfo",
            request_class=reflection_pb2.ServerReflectionRequest,
            response_class=reflection_pb2.ServerReflectionResponse,
            behaviour=serve,
            client_streams=True,
            server_streams=True,
        )
    ]
