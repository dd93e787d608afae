"""TaskService.GetServerInfo."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from taskgate.v1 import task_service_pb2
from taskgate_server.calls import CallContext
from taskgate_server.tasks.backend import Backends, TaskBackend


@dataclass(frozen=True, slots=True)
class Info:
    """Tells what the server is."""

    version: str
    backends: Backends
    operation_counts: Mapping[str, int]
    """How many operations each AWS service's contract has."""

    async def get_server_info(
        self,
        request: task_service_pb2.GetServerInfoRequest,  # noqa: ARG002  # it is empty
        call: CallContext,  # noqa: ARG002  # AWS is not asked
    ) -> task_service_pb2.GetServerInfoResponse:
        """TaskService.GetServerInfo."""
        backends = self.backends.by_service
        return task_service_pb2.GetServerInfoResponse(
            version=self.version,
            aws_services=[self._aws_service(backends[name]) for name in sorted(backends)],
        )

    def _aws_service(self, backend: TaskBackend) -> task_service_pb2.AwsService:
        spec, client = backend.gateway.spec, backend.gateway.connection.client
        reason = backend.gateway.not_ready_reason
        return task_service_pb2.AwsService(
            name=spec.name,
            title=spec.title,
            region=client.region if client else None,
            ready=reason is None,
            not_ready_reason=reason,
            grpc_service=spec.grpc_service_full_name,
            operation_count=self.operation_counts[spec.name],
            task_methods=sorted(backend.methods),
        )
