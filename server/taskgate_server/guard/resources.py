"""What a request is about, as the policy names it: `Task::"…"` in `Job::"…"` in `Queue::"…"`.

Everything comes from the request, so that it is known before AWS is asked. A resource is its path:
each of its ids with its type, from the AWS service down.

    unified RPCs   `name`, `names`, `parent`: `omics/runs/7/tasks/8`
    AWS RPCs       the ids in the operation's HTTP route, and the other ids of the request
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from itertools import chain, pairwise
from typing import Any, TypeAlias

from google.protobuf.descriptor import Descriptor
from google.protobuf.message import Message

from taskgate_server.aws import model
from taskgate_server.aws.services import ServiceSpec
from taskgate_server.guard.actions import SPECS

Path: TypeAlias = tuple[tuple[str, str], ...]
"""Types and ids: `(("AwsService", "omics"), ("Run", "7"))`."""

TARGET = "Target"

Paths: TypeAlias = Callable[[Message], list[Path]]

SERVICE = "AwsService"
THIS_SERVER: Path = (("Server", "taskgate"),)
NOTHING: Path = ((SERVICE, ""),)
"""What a request is about that names nothing. Only a policy for everything allows it."""

Step: TypeAlias = tuple[str, str]
"""A type and the AWS member that has the id."""


def compile_paths(method: str, request_class: type[Message]) -> Paths:
    """The function from requests of an RPC to the paths of what they are about."""
    service, _, name = method.rpartition("/")
    spec = SPECS.get(service)
    if spec is not None:
        return _aws_paths(spec, name, request_class)
    fields = [
        field for field in ("name", "names", "parent", "updates") if _has(request_class, field)
    ]
    if not fields:
        return lambda _: [THIS_SERVER]

    def paths(request: Message) -> list[Path]:
        named = chain.from_iterable(_names(getattr(request, field)) for field in fields)
        return [named_path(name) for name in named if name] or [NOTHING]

    return paths


def named_path(name: str) -> Path:
    """The path in the name of a task or parent; as far as it goes in a name of no known form."""
    service, *rest = name.split("/")
    path = [(SERVICE, service)]
    for collection, key in zip(rest[::2], rest[1::2], strict=False):
        if not re.fullmatch("[a-z]+s", collection):
            break
        path.append((_type(collection.removesuffix("s")), key))
    return tuple(path)


def told(path: Path) -> str:
    """A path for people."""
    return "/".join(key for _, key in path)


@cache
def parents() -> dict[str, frozenset[str]]:
    """Each type of resource that there can be, and the types that it can be in."""
    found: dict[str, set[str]] = {"Server": set(), SERVICE: set(), TARGET: set()}
    for spec in SPECS.values():
        for operation in model.operations(model.load_service(spec.name)):
            extras = [kind for kind, _ in _extras(operation)]
            for branch in _branches(spec, operation):
                kinds = [SERVICE, *(kind for kind, _ in branch)]
                for parent, kind in pairwise(kinds):
                    found.setdefault(kind, set()).add(parent)
                for extra in extras:
                    found.setdefault(extra, set()).add(kinds[-1])
    return {kind: frozenset(each) for kind, each in found.items()}


def types_named(method: str) -> frozenset[str]:
    """The types that the last step of a path can have in requests of an RPC.

    Those of a unified RPC come from names in the request, and so can be any.
    """
    service, _, name = method.rpartition("/")
    spec = SPECS.get(service)
    if spec is None:
        return frozenset(parents())
    operation = model.load_service(spec.name).operation_model(name)
    items = _items(spec, operation)
    branches = items[1] if items is not None else _branches(spec, operation)
    steps = [*chain.from_iterable(branches), *_extras(operation)]
    return frozenset({SERVICE, *(kind for kind, _ in steps)})


def _has(kind: type[Message], field: str) -> bool:
    return field in kind.DESCRIPTOR.fields_by_name


def _names(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    else:
        yield from (each if isinstance(each, str) else each.name for each in value)


def _type(word: str) -> str:
    return word[:1].upper() + word[1:]


# --- AWS RPCs -------------------------------------------------------------------------------------


def _aws_paths(spec: ServiceSpec, name: str, request_class: type[Message]) -> Paths:
    operation = model.load_service(spec.name).operation_model(name)
    root = ((SERVICE, spec.name),)
    items = _items(spec, operation)
    if items is not None:
        member, branches = items
        field = _field_names(request_class.DESCRIPTOR)[member]
        return lambda request: (
            [root + path for item in getattr(request, field) for path in _filled(branches, item)]
            or [root]
        )
    branches, extras = _branches(spec, operation), _extras(operation)
    is_read = name.startswith(spec.shared_reads)

    def paths(request: Message) -> list[Path]:
        routes = [root + path for path in _filled(branches, request)]
        others = [
            routes[-1] + ((kind, key),)
            for kind, member in extras
            for key in _values(request, member)
        ]
        # A read is narrowed by its other ids. Whoever writes needs leave for all of them.
        return others if is_read and others else [*routes, *others]

    return paths


def _branches(spec: ServiceSpec, operation: model.OperationModel) -> list[list[Step]]:
    """The ids in the operation's route, with their types.

    Two next to each other are two resources: `/queue-fleet-associations/{queueId}/{fleetId}`.
    """
    labels = _labels(operation)
    types = _types_of_collections(spec.name)
    branches: list[list[Step]] = [[]]
    before = ""
    for part in operation.http["requestUri"].partition("?")[0].split("/"):
        if part.startswith("{"):
            member = labels[part.strip("{}+")]
            kind = _type_of_member(member) or types.get(before) or _type(before.removesuffix("s"))
            if before.startswith("{"):
                branches.append([*branches[-1][:-1], (kind, member)])
            else:
                branches = [[*branch, (kind, member)] for branch in branches]
        before = part
    return branches


@cache
def _types_of_collections(service: str) -> Mapping[str, str]:
    """Some routes have `/sequencestore/{id}`, others `/sequencestore/{sequenceStoreId}`."""
    pairs: dict[str, str] = {}
    for operation in model.operations(model.load_service(service)):
        labels = _labels(operation)
        segments = operation.http["requestUri"].partition("?")[0].split("/")
        for before, part in pairwise(segments):
            kind = part.startswith("{") and _type_of_member(labels[part.strip("{}+")])
            if kind and kind.lower() == before.lower():
                pairs[before] = kind
    return pairs


def _labels(operation: model.OperationModel) -> dict[str, str]:
    """The labels of the route, and the members whose values they stand for."""
    shape = operation.input_shape
    return {
        member_shape.serialization.get("name", member): member
        for member, member_shape in (shape.members.items() if shape else ())
        if member_shape.serialization.get("location") == "uri"
    }


def _type_of_member(member: str) -> str:
    """`Queue` for `queueId`; nothing for `id` and `name`, whose type only the route tells."""
    return _type(re.sub("(Ids?|Name|Arn)$", "", member)) if member not in ("id", "name") else ""


def _extras(operation: model.OperationModel) -> list[Step]:
    """The ids of a request that are not in its route."""
    shape, labels = operation.input_shape, set(_labels(operation).values())
    return [
        (_type_of_member(member), member)
        for member, kind in (shape.members.items() if shape else ())
        if member not in labels and _is_id(member, kind) and not model.is_idempotency_token(kind)
    ]


def _is_id(member: str, shape: model.Shape) -> bool:
    if isinstance(shape, model.ListShape):
        return member.endswith("Ids") and isinstance(shape.member, model.StringShape)
    return member.endswith("Id") and isinstance(shape, model.StringShape)


def _items(
    spec: ServiceSpec, operation: model.OperationModel
) -> tuple[str, list[list[Step]]] | None:
    """Of `BatchGetTask`: the member with the items, each of which has the ids of `GetTask`."""
    service = model.load_service(spec.name)
    single = operation.name.removeprefix("Batch")
    shape = operation.input_shape
    if single == operation.name or single not in service.operation_names or shape is None:
        return None
    branches = _branches(spec, service.operation_model(single))
    wanted = {member for branch in branches for _, member in branch}
    for member, kind in shape.members.items():
        item = kind.member if isinstance(kind, model.ListShape) else None
        if isinstance(item, model.StructureShape) and wanted <= set(item.members):
            return member, branches
    return None


def _filled(branches: Sequence[Sequence[Step]], message: Message) -> list[Path]:
    return [
        tuple((kind, next(_values(message, member), "")) for kind, member in branch)
        for branch in branches
    ]


def _values(message: Message, member: str) -> Iterator[str]:
    """What a message has for an AWS member, without what is empty."""
    value = getattr(message, _field_names(message.DESCRIPTOR)[member])
    yield from (each for each in ([value] if isinstance(value, str) else value) if each)


@cache
def _field_names(descriptor: Descriptor) -> Mapping[str, str]:
    """AWS member -> field: a field's JSON name is its member's."""
    fields: Any = descriptor.fields
    return {str(field.json_name): str(field.name) for field in fields}
