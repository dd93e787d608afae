"""The actions of the policy, one for each RPC: `deadline/GetJob`, in the group `read`.

The group of an RPC follows from AWS's model and from its name, not from a list of RPCs. An RPC that
matches no rule is a write.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Final, Literal

from taskgate_server.aws import model
from taskgate_server.services.registry import SERVICES
from taskgate_server.services.spec import ServiceSpec

Group = Literal["read", "write", "delete", "credentials", "target"]

TASKS: Final = "tasks"
"""The service part of the unified RPCs' actions."""

UNIFIED_READS = ("Get", "BatchGet", "List", "Summarize", "Watch", "Wait", "Stream")
"""Prefixes of the names of TaskService's reads."""

SPECS = {spec.grpc_service_full_name: spec for spec in SERVICES}

SECRET = "secretAccessKey"  # noqa: S105  # the name of a member
"""A member of AWS credentials in a response."""


@dataclass(frozen=True, slots=True)
class Action:
    """An action of the policy."""

    name: str
    group: Group

    @property
    def must_be_named(self) -> bool:
        """Whether a policy for all actions does not include this one."""
        return self.group in ("delete", "credentials", "target")


USE_TARGET: Final = Action("targets/Use", "target")
"""The use of another AWS account or region than the default one."""


@cache  # it searches the response shape in AWS's model
def action_of(method: str) -> Action:
    """Return the action of an RPC.

    Args:
        method: its full name, such as `taskgate.v1.TaskService/GetTask`.
    """
    service, _, name = method.rpartition("/")
    spec = SPECS.get(service)
    if spec is not None:
        return Action(f"{spec.name}/{name}", _aws_group(spec, name))
    if service.startswith("grpc.reflection."):
        return Action(f"reflection/{name}", "read")
    return Action(f"{TASKS}/{name}", "read" if name.startswith(UNIFIED_READS) else "write")


@cache
def is_read(method: str) -> bool:
    """Return whether an RPC is in the group `read`, without loading AWS's model.

    Args:
        method: its full name, such as `taskgate.v1.TaskService/GetTask`.
    """
    service, _, name = method.rpartition("/")
    spec = SPECS.get(service)
    reads = UNIFIED_READS if spec is None else tuple(spec.shared_reads)
    return name.startswith(reads) or service.startswith("grpc.reflection.")


def _aws_group(spec: ServiceSpec, name: str) -> Group:
    operation = model.load_service(spec.name).operation_model(name)
    if name.startswith("Assume") or _has_secret(operation.output_shape):
        return "credentials"
    if operation.http["method"] == "DELETE" or "Delete" in name:
        return "delete"
    return "read" if name.startswith(spec.shared_reads) else "write"


def _has_secret(shape: model.Shape | None, above: frozenset[str] = frozenset()) -> bool:
    """Return whether there are AWS credentials anywhere in a response of this shape."""
    if shape is None or shape.name in above:
        return False
    above |= {shape.name}
    if isinstance(shape, model.StructureShape):
        return SECRET in shape.members or any(_has_secret(m, above) for m in shape.members.values())
    if isinstance(shape, model.ListShape):
        return _has_secret(shape.member, above)
    return isinstance(shape, model.MapShape) and _has_secret(shape.value, above)
