"""taskgate.v1.TaskService: tasks of all AWS services in one vocabulary."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from google.protobuf import message_factory
from google.protobuf.duration_pb2 import Duration

from taskgate.v1 import task_service_pb2
from taskgate_server import errors
from taskgate_server.aws import naming
from taskgate_server.calls import Call, Rpc
from taskgate_server.tasks.backend import TaskBackend

TASK_METHODS = ("GetTask",)
"""The methods that work on tasks of every AWS service."""


@dataclass(frozen=True, slots=True)
class TaskServicer:
    """Serves TaskService: finds the AWS service that a request is for, and hands it on."""

    version: str
    backends: Mapping[str, TaskBackend]
    """By the first segment of their task names."""

    operation_counts: Mapping[str, int]
    """How many operations each AWS service's contract has."""

    async def get_task(
        self, request: task_service_pb2.GetTaskRequest, call: Call
    ) -> task_service_pb2.GetTaskResponse:
        """TaskService.GetTask."""
        backend = self._backend(request.name, "name")
        if request.HasField("max_age"):
            call.max_age = _seconds(request.max_age, "max_age")
        return task_service_pb2.GetTaskResponse(task=await backend.get(request.name, call))

    async def get_server_info(
        self,
        request: task_service_pb2.GetServerInfoRequest,  # noqa: ARG002  # it is empty
        call: Call,  # noqa: ARG002  # AWS is not asked
    ) -> task_service_pb2.GetServerInfoResponse:
        """TaskService.GetServerInfo."""
        return task_service_pb2.GetServerInfoResponse(
            version=self.version,
            aws_services=[self._aws_service(self.backends[name]) for name in sorted(self.backends)],
        )

    def rpcs(self) -> list[Rpc]:
        """Every method of TaskService, served by the method here of the same name."""
        service = task_service_pb2.DESCRIPTOR.services_by_name["TaskService"]
        return [
            Rpc(
                method=f"{service.full_name}/{method.name}",
                request_class=message_factory.GetMessageClass(method.input_type),
                response_class=message_factory.GetMessageClass(method.output_type),
                behaviour=getattr(self, naming.field_name(method.name)),
                client_streams=method.client_streaming,
                server_streams=method.server_streaming,
            )
            for method in service.methods
        ]

    def _backend(self, name: str, field: str) -> TaskBackend:
        backend = self.backends.get(name.partition("/")[0])
        if backend is None:
            forms = " or ".join(each.names.text for each in self.backends.values())
            raise errors.invalid_request({field: f"must have the form {forms}"})
        return backend

    def _aws_service(self, backend: TaskBackend) -> task_service_pb2.AwsService:
        spec, client = backend.gateway.spec, backend.gateway.connection.client
        obstacle = backend.gateway.obstacle
        return task_service_pb2.AwsService(
            name=spec.name,
            title=spec.title,
            region=client.region if client else None,
            ready=obstacle is None,
            not_ready_reason=obstacle,
            grpc_service=spec.grpc_service_full_name,
            operation_count=self.operation_counts[spec.name],
            task_methods=TASK_METHODS,
        )


def _seconds(value: Duration, field: str) -> float:
    if value.seconds < 0 or value.nanos < 0:
        raise errors.invalid_request({field: "must not be negative"})
    return value.seconds + value.nanos / 1e9
