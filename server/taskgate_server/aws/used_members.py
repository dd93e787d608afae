"""Checks that AWS's model has the members that the code of a service uses.

The code of a service reads responses by the names of members, so that a member that AWS renames or
removes would look like one that is absent. The module `used_members` of a service's folder lists
what the folder uses, as `USED_MEMBERS`: operation -> `UsedMembers`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Final

from taskgate_server.aws import model
from taskgate_server.services.spec import ServiceSpec

MODULE: Final = "used_members"
"""The module of a service's folder that lists what the folder uses."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UsedMembers:
    """The members of an operation that the code of a service uses.

    A path leads through structures, and through the elements of lists: `tasks.taskId`.
    """

    request: tuple[str, ...] = ()
    response: tuple[str, ...] = ()


class MissingMembersError(Exception):
    """AWS's model lacks members that the code of a service uses."""


def load(spec: ServiceSpec) -> Mapping[str, UsedMembers]:
    """Return what the folder of a service uses; nothing if it has no such list."""
    if find_spec(f"{spec.package}.{MODULE}") is None:
        return {}
    used: Mapping[str, UsedMembers] = spec.load(MODULE).USED_MEMBERS
    return used


def check(spec: ServiceSpec) -> None:
    """Check that the installed model of a service has all members that its folder uses.

    Raises:
        MissingMembersError: it lacks some.
    """
    missing = list(find_missing(model.load_service(spec.name), load(spec)))
    if missing:
        raise MissingMembersError(
            f"botocore {model.BOTOCORE_VERSION} has no {', '.join(missing)}: this version of"
            " Taskgate needs another one"
        )


def find_missing(service: model.ServiceModel, used: Mapping[str, UsedMembers]) -> Iterator[str]:
    """Yield the operations and members that a model lacks: `GetTask response.runStatus`."""
    for operation, members in used.items():
        if operation not in service.operation_names:
            yield operation
            continue
        found = service.operation_model(operation)
        for part, shape, paths in (
            ("request", found.input_shape, members.request),
            ("response", found.output_shape, members.response),
        ):
            for path in paths:
                if not _has(shape, path.split(".")):
                    yield f"{operation} {part}.{path}"


def _has(shape: model.Shape | None, names: list[str]) -> bool:
    for name in names:
        while isinstance(shape, model.ListShape):
            shape = shape.member
        if not isinstance(shape, model.StructureShape) or name not in shape.members:
            return False
        shape = shape.members[name]
    return True
