"""The facts about an AWS service that botocore's model does not have."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceSpec:
    """What Taskgate must be told of one AWS service; all else is in botocore's model."""

    name: str
    """botocore's service name, also the last part but one of the proto package: `deadline`."""

    title: str
    """The name that AWS uses in its documents: `AWS Deadline Cloud`."""

    grpc_service: str = ""
    """The unqualified name of the generated gRPC service: `DeadlineService`. Empty for a service
    that only Taskgate itself asks."""

    request_rates: Mapping[str, float] = field(default_factory=dict)
    """Published default quotas: operation to calls per second, for each account and region."""

    shared_reads: tuple[str, ...] = ("Get", "List", "Search", "BatchGet")
    """What the names of reads begin with whose answers several callers may share. All else is sent
    each time and taken for a write; so are `Assume…` operations, which hand out credentials."""

    batches: Mapping[str, str] = field(default_factory=dict)
    """Operation that reads one thing -> operation that reads many of it."""

    batch_writes: Mapping[str, str] = field(default_factory=dict)
    """Operation that writes one thing -> operation that writes many of it."""

    task_name: str = ""
    """The form of its tasks' names, with AWS's parameters: `omics/runs/{id}/tasks/{taskId}`."""

    task_parents: tuple[str, ...] = ()
    """The collections in `task_name` whose members have tasks to list: `runs`."""
    credential_probes: tuple[str, ...] = ()
    """Operations without required parameters, to find out whether AWS accepts the credentials. Two,
    so that there is another one when the first is what AWS refuses."""

    @property
    def proto_package(self) -> str:
        """The package of the generated contract."""
        return f"taskgate.{self.name}.v1"

    @property
    def grpc_service_full_name(self) -> str:
        """The name under which health, reflection and the wire know the service."""
        return f"{self.proto_package}.{self.grpc_service}"

    @property
    def contract_module(self) -> str:
        """The Python module of the generated contract's messages."""
        return f"taskgate.{self.name}.v1.{self.name}_pb2"

    @property
    def error_domain(self) -> str:
        """`google.rpc.ErrorInfo.domain` of the errors that this service gave."""
        return f"{self.name}.amazonaws.com"
