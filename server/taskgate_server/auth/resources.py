"""What a request names, in the policy's words: `Task::"…"` in `Job::"…"` in `Queue::"…"`.

Everything comes from the request, so that it is known before anything is sent to AWS. A resource is
its path: each of its ids with its type, from the AWS service down.

    unified RPCs   `name`, `names`, `parent`: `omics/runs/7/tasks/8`, see `names`
    AWS RPCs       the resource of the operation's HTTP route, and everything else that the request
                   identifies at any depth, see `identifiers` and `scopes`
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from itertools import chain
from typing import Any, Final, TypeAlias, cast

from google.protobuf.descriptor import Descriptor
from google.protobuf.message import Message

from taskgate_server import errors
from taskgate_server.auth import names
from taskgate_server.auth.actions import SPECS, action_of
from taskgate_server.auth.arns import parse_arn
from taskgate_server.auth.identifiers import (
    RESOURCE,
    SERVICE,
    Identifier,
    Label,
    Path,
    identifiers_of,
    places,
)
from taskgate_server.auth.scope_compiler import ScopeCompiler
from taskgate_server.auth.scopes import MAX_ID_LENGTH, ancestors_in, check_count, check_length
from taskgate_server.aws import model
from taskgate_server.services.spec import ServiceSpec

__all__ = ["NOTHING", "SERVICE", "TARGET", "THIS_SERVER", "Path", "Paths", "compile_paths"]

TARGET: Final = "Target"
SERVER: Final = "Server"
ROLE: Final = "Role"

Paths: TypeAlias = Callable[[Message], list[Path]]

THIS_SERVER: Final[Path] = ((SERVER, "taskgate"),)
NOTHING: Final[Path] = ((SERVICE, ""),)
"""The resource of a request that names nothing. Only a policy for everything permits it."""


def compile_paths(method: str, request_class: type[Message]) -> Paths:
    """Return the function from requests of an RPC to the paths of the resources they name.

    The function raises errors.TaskgateError, INVALID_ARGUMENT, for a name of no known form, for an
    id that is longer than ids can be, and for more resources than a request may name; all before it
    builds a path.
    """
    service, _, name = method.rpartition("/")
    spec = SPECS.get(service)
    if spec is not None:
        return _compiled_at_first_use(lambda: _aws_paths(spec, name, request_class))
    fields = request_class.DESCRIPTOR.fields_by_name
    if "parent" in fields and "names" in fields:
        return _parent_or_names
    if "parent" in fields:
        return lambda request: [_parent(request) or NOTHING]
    if "name" in fields:
        return lambda request: [_task(request) or NOTHING]
    items = next((field for field in ("names", "updates") if field in fields), None)
    if items is None:
        return lambda _: [THIS_SERVER]
    return lambda request: _item_paths(request, items)


def task_path(name: str, field: str) -> Path:
    """Return the path of a task's name in a unified request.

    Raises:
        errors.TaskgateError: INVALID_ARGUMENT that shows the forms a name must have.
    """
    return names.task_forms().path(name, field)


def named_path(name: str) -> Path:
    """Return the path in a text of the form of a name: `omics/workflows/7`.

    For examples of decisions, which are about resources of any type. Segments after one that is no
    collection are left out.
    """
    if names.is_too_long(name):
        return NOTHING
    service, *rest = name.split("/")
    path = [(SERVICE, service)]
    for collection, key in zip(rest[::2], rest[1::2], strict=False):
        if not (collection.isascii() and collection.isalpha() and collection.endswith("s")):
            break
        path.append((names.type_of_collection(collection), key))
    return tuple(path)


def arn_path(arn: str, service: str) -> Path:
    """Return the path of a resource with that ARN in requests of an AWS service.

    For examples of decisions, where no route says what the resource is beneath.
    """
    kind = ROLE if arn.split(":")[2:3] == ["iam"] else RESOURCE
    return parse_arn(arn, service) or ((SERVICE, service), (kind, arn))


def told(path: Path) -> str:
    """Return a path in a form for people."""
    return "/".join(key for _, key in path)


@cache
def parents() -> Mapping[str, frozenset[str]]:
    """Return each type of resource that there can be, and the types that it can be in."""
    found: dict[str, set[str]] = {SERVER: set(), SERVICE: set(), TARGET: set(), RESOURCE: set()}
    for spec in SPECS.values():
        identifiers = identifiers_of(spec.name)
        for kind, above in identifiers.parents.items():
            found.setdefault(kind, set()).update(above)
        for operation in model.operations(model.load_service(spec.name)):
            ends = {branch[-1][0] if branch else SERVICE for branch in identifiers.route(operation)}
            for kind in _types_in_request(spec.name, operation.name) - {
                RESOURCE,
                *identifiers.parents,
            }:
                found.setdefault(kind, set()).update(ends - {RESOURCE})
    found[RESOURCE] |= found.keys() - {SERVER, TARGET, RESOURCE}
    return {kind: frozenset(each) for kind, each in found.items()}


def types_named(method: str) -> frozenset[str]:
    """Return the types of all steps of the paths of an RPC's requests."""
    service, _, name = method.rpartition("/")
    spec = SPECS.get(service)
    if spec is None:
        if service.startswith("grpc.reflection."):
            return frozenset({SERVER})
        return names.task_forms().types | names.parent_forms().types | {SERVER}
    operation = model.load_service(spec.name).operation_model(name)
    route = chain.from_iterable(identifiers_of(spec.name).route(operation))
    return frozenset({SERVICE, *(kind for kind, _ in route)}) | _types_in_request(spec.name, name)


# --- Unified RPCs ---------------------------------------------------------------------------------


def _task(request: Any) -> Path | None:
    return task_path(request.name, "name") if request.name else None


def _parent(request: Any) -> Path | None:
    return names.parent_forms().path(request.parent, "parent") if request.parent else None


def _parent_or_names(request: Any) -> list[Path]:
    check_count(len(request.names), "names")
    parent = _parent(request)
    paths = [task_path(name, f"names[{index}]") for index, name in enumerate(request.names)]
    return [*([parent] if parent else []), *paths] or [NOTHING]


def _item_paths(request: Any, field: str) -> list[Path]:
    """The path of each item of a batch. A malformed name is an error of its item alone."""
    items = getattr(request, field)
    check_count(len(items), field)
    return [item_path(item if isinstance(item, str) else item.name) for item in items] or [NOTHING]


def item_path(name: str) -> Path:
    """Return the path of a task's name in a batch; NOTHING for a malformed one."""
    try:
        return task_path(name, "name")
    except errors.TaskgateError:
        return NOTHING


# --- AWS RPCs -------------------------------------------------------------------------------------


def _compiled_at_first_use(compile_: Callable[[], Paths]) -> Paths:
    """The same function, made when it is needed: all operations together would take 30 ms."""
    compiled: Paths | None = None

    def paths(request: Message) -> list[Path]:
        nonlocal compiled
        if compiled is None:
            compiled = compile_()
        return compiled(request)

    return paths


def _aws_paths(spec: ServiceSpec, name: str, request_class: type[Message]) -> Paths:
    operation = model.load_service(spec.name).operation_model(name)
    branches = identifiers_of(spec.name).route(operation)
    route = _route_paths(spec, operation, branches, request_class)
    labels = frozenset(member for branch in branches for _, member in branch)
    compiler = ScopeCompiler(identifiers_of(spec.name), operation, labels)
    body = compiler.compile(cast("Descriptor", request_class.DESCRIPTOR))
    if body is None:
        return route
    root: Path = ((SERVICE, spec.name),)
    # A batch without ids in its route consists of its items.
    is_batch = name.startswith("Batch") and not branches[0]
    may_narrow = action_of(f"{spec.grpc_service_full_name}/{name}").group == "read"

    def paths(request: Message) -> list[Path]:
        routes = route(request)
        found: list[Path] = []
        narrowed = body.collect(request, ancestors_in(routes, root), found)
        if found and (is_batch or (narrowed and may_narrow)):
            return found
        return [*routes, *found]

    return paths


def _route_paths(
    spec: ServiceSpec,
    operation: model.OperationModel,
    branches: Sequence[Sequence[Label]],
    request_class: type[Message],
) -> Paths:
    root: Path = ((SERVICE, spec.name),)
    fields = {each.json_name: each.name for each in request_class.DESCRIPTOR.fields}
    limits = _length_limits(operation)
    compiled = [
        [(kind, fields[member], limits[member]) for kind, member in branch] for branch in branches
    ]
    if any(kind == RESOURCE for kind, _ in branches[0]):
        return _arn_route(spec, compiled[0][0][1])

    def path(request: Message, steps: Sequence[tuple[str, str, int]]) -> Path:
        made = root
        for kind, field, limit in steps:
            key: str = getattr(request, field)
            if len(key) > limit:
                check_length(key, limit, field)
            made += ((kind, key),)
        return made

    if len(compiled) == 1:
        only = compiled[0]
        return lambda request: [path(request, only)]
    return lambda request: [path(request, steps) for steps in compiled]


def _arn_route(spec: ServiceSpec, field: str) -> Paths:
    """The paths of an operation on what has an ARN: `/tags/{resourceArn}`."""

    def paths(request: Message) -> list[Path]:
        arn: str = getattr(request, field)
        check_length(arn, MAX_ID_LENGTH, field)
        path = parse_arn(arn, spec.name)
        return [path if path is not None else ((SERVICE, spec.name), (RESOURCE, arn))]

    return paths


def _length_limits(operation: model.OperationModel) -> dict[str, int]:
    shape = operation.input_shape
    return {
        member: min(each.metadata.get("max", MAX_ID_LENGTH), MAX_ID_LENGTH)
        for member, each in (shape.members.items() if shape else ())
    }


@cache
def _types_in_request(service: str, name: str) -> frozenset[str]:
    """The types of what requests can identify outside of the ids in the route."""
    operation = model.load_service(service).operation_model(name)
    identifiers = identifiers_of(service)
    labels = {
        member
        for branch in identifiers.route(operation)
        for kind, member in branch
        if kind != RESOURCE
    }
    found: set[str] = set()
    for place in places(operation):
        each = identifiers.classify(operation, place)
        if isinstance(each, Identifier) and place.path[0] not in labels:
            found |= {each.type} if each.form == "id" else {RESOURCE}
            found |= set((each.labels or {}).values())
            found |= set(identifiers.parents) if each.form == "arn" else set()
    return frozenset(found)
