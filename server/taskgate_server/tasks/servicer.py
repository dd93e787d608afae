"""The RPCs of taskgate.v1.TaskService."""

from __future__ import annotations

from collections.abc import Sequence

from google.protobuf import message_factory

from taskgate.v1 import task_service_pb2
from taskgate_server.aws import naming
from taskgate_server.calls import Rpc


def make_rpcs(servers: Sequence[object]) -> list[Rpc]:
    """Return an `Rpc` for every method of TaskService.

    Args:
        servers: objects whose methods serve the RPCs, such as `get_task` for GetTask.

    Raises:
        LookupError: an RPC has no such method.
    """
    service = task_service_pb2.DESCRIPTOR.services_by_name["TaskService"]
    rpcs = []
    for method in service.methods:
        behaviour = naming.field_name(method.name)
        server = next((each for each in servers if hasattr(each, behaviour)), None)
        if server is None:
            raise LookupError(f"no method serves {method.name}")
        rpcs.append(
            Rpc(
                method=f"{service.full_name}/{method.name}",
                request_class=message_factory.GetMessageClass(method.input_type),
                response_class=message_factory.GetMessageClass(method.output_type),
                behaviour=getattr(server, behaviour),
                client_streams=method.client_streaming,
                server_streams=method.server_streaming,
                waits=method.name.startswith("Wait"),
            )
        )
    return rpcs
