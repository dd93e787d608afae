"""`ServiceSpec`: the facts about an AWS service that botocore's model does not have."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class IdentifierTable:
    """What the policy cannot derive from the model about the identifiers in requests.

    `auth.identifiers` derives the resource type of a member from its name, its shape and its
    operation. This table has the exceptions. Keys are names of members, or `Operation.member` where
    a name has several meanings.
    """

    types: Mapping[str, str] = field(default_factory=dict)
    """Member -> the type of the resource that it identifies."""

    labelled: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """Member whose values are `LABEL:id:rest` -> the type for each label."""

    not_resources: Mapping[str, str] = field(default_factory=dict)
    """Member that looks like an identifier -> why the policy does not consider it."""

    filters: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Read -> members that restrict its rows to those of the resources they name.

    Such a resource replaces the resource of the route: the caller needs permission for the rows
    that it receives, not for all rows. Listed only where AWS documents the member as a filter and
    the resource is inside that of the route.
    """


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceSpec:
    """The facts about one AWS service."""

    name: str
    """botocore's service name, also part of the proto package: `deadline`."""

    title: str
    """The name in AWS's documentation: `AWS Deadline Cloud`."""

    package: str = ""
    """The Python package of the service's folder, with the modules `tasks`, `watch`, `logs` and
    `events`. Empty for a service that only Taskgate itself calls."""

    contract: str = ""
    """The proto package of the generated contract; empty for `taskgate.<name>.v1`."""

    grpc_service: str = ""
    """The unqualified name of the generated gRPC service: `DeadlineService`. Empty for a service
    that only Taskgate itself calls."""

    request_rates: Mapping[str, float] = field(default_factory=dict)
    """Published default quotas: operation -> calls per second, for each account and region."""

    shared_reads: tuple[str, ...] = ("Get", "List", "Search", "BatchGet")
    """Prefixes of the operations that read, whose responses several callers may share. All other
    operations count as writes and are always sent; so are `Assume…` operations, which return
    credentials."""

    log_groups: tuple[str, ...] = ()
    """The CloudWatch log groups of tasks, as in ARNs: `/aws/omics/*`."""

    batches: Mapping[str, str] = field(default_factory=dict)
    """Operation that reads one resource -> operation that reads many of them."""

    batch_writes: Mapping[str, str] = field(default_factory=dict)
    """Operation that writes one resource -> operation that writes many of them."""

    task_names: tuple[str, ...] = ()
    """The forms of task names, with AWS's parameters: `omics/runs/{id}/tasks/{taskId}`."""

    parent_names: Mapping[str, str] = field(default_factory=dict)
    """Kind of resource that contains tasks -> the form of its names: `runs`, `omics/runs/{id}`."""

    id_patterns: Mapping[str, str] = field(default_factory=dict)
    """Parameter in these forms -> its pattern, where AWS's model has none."""

    errors: Mapping[str, str] = field(default_factory=dict)
    """Error code that only this service has -> the code in `error_rules` that means the same."""

    credential_probes: tuple[str, ...] = ()
    """Operations without required parameters, to check whether AWS accepts the credentials. There
    is more than one, in case AWS denies the first one."""

    identifiers: IdentifierTable = field(default_factory=IdentifierTable)
    """Exceptions to the rules by which the policy finds the resources in requests."""

    ignored_patterns: tuple[str, ...] = ()
    """Shapes whose pattern in AWS's model is wrong, and is not applied."""

    @property
    def proto_package(self) -> str:
        """The package of the generated contract."""
        return self.contract or f"taskgate.{self.name}.v1"

    @property
    def policy_namespace(self) -> str:
        """The namespace of its resource types in policies: `Deadline`."""
        return self.grpc_service.removesuffix("Service")

    @property
    def grpc_service_full_name(self) -> str:
        """The name of the gRPC service in health checks, reflection and method paths."""
        return f"{self.proto_package}.{self.grpc_service}"

    @property
    def contract_module(self) -> str:
        """The Python module with the messages of the generated contract."""
        return f"{self.proto_package}.{self.name}_pb2"

    @property
    def error_domain(self) -> str:
        """`google.rpc.ErrorInfo.domain` of errors that the AWS service returned."""
        return f"{self.name}.amazonaws.com"

    def load(self, module: str) -> Any:
        """Return a module of the service's folder: `tasks`, `watch`, `logs` or `events`."""
        return import_module(f"{self.package}.{module}")
