"""The resources that a request names: `Deadline::Task::"…"` in `Deadline::Job::"…"`.

All of them are in the request itself, so that they are known before anything is sent to AWS. A
resource is its path: each of its ids with its type, from the AWS service down.

    unified RPCs   `name`, `names`, `updates` and `parent`: `omics/runs/7/tasks/8`
    AWS RPCs       the resource of the operation's HTTP route, and every other resource that the
                   request identifies at any depth, see `identifiers` and `scopes`
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache, partial
from itertools import chain, pairwise
from typing import Any, Final, TypeAlias, cast

from google.protobuf.descriptor import Descriptor
from google.protobuf.message import Message

from taskgate_server import errors
from taskgate_server.auth.actions import SPECS, action_of
from taskgate_server.auth.identifiers import RESOURCE, SERVICE, Path, identifiers_of
from taskgate_server.auth.scopes import (
    MAX_ID_LENGTH,
    ancestors_in,
    check_count,
    check_length,
    compile_scope,
)
from taskgate_server.aws import model
from taskgate_server.services.registry import SERVICES
from taskgate_server.services.spec import ServiceSpec

__all__ = ["NOTHING", "SERVICE", "TARGET", "THIS_SERVER", "Path", "Paths", "compile_paths"]

TARGET: Final = "Target"
SERVER: Final = "Server"
ROLE: Final = "Role"

COMMON: Final = frozenset({SERVICE, ROLE, RESOURCE})
"""The types without a namespace: IAM roles and other ARNs are the same for all AWS services."""
RESERVED: Final = frozenset(
    {SERVER, TARGET, "Action", "Group", "User", "Service", "Certificate", "Anonymous"}
)
"""Types of Taskgate itself, of resources and principals."""
_NAMESPACES: Final = {spec.name: spec.policy_namespace for spec in SERVICES}

MAX_NAME_BYTES: Final = 512
"""Of a task or a parent, in UTF-8. The longest name of a real task has 248."""

Paths: TypeAlias = Callable[[Message], list[Path]]

THIS_SERVER: Final[Path] = ((SERVER, "taskgate"),)
NOTHING: Final[Path] = ((SERVICE, ""),)
"""The resource of a request without a name, and of an item with a malformed one. Only a policy for
all resources permits it."""


def compile_paths(method: str, request_class: type[Message]) -> Paths:
    """Return the function from requests of an RPC to the paths of the resources they name.

    The function raises errors.TaskgateError, INVALID_ARGUMENT, for a malformed name, for an id that
    is longer than ids can be, and for more resources than a request may name; all before it builds
    a path.
    """
    service, _, name = method.rpartition("/")
    spec = SPECS.get(service)
    if spec is not None:
        # Compiled at the first call: all operations together would take 30 ms at the start.
        compiled = cache(partial(_aws_paths, spec, name, request_class))
        return lambda request: compiled()(request)  # noqa: PLW0108  # compiled at a call, not here
    fields = request_class.DESCRIPTOR.fields_by_name
    if "parent" in fields and "names" in fields:
        return _parent_or_names
    if "parent" in fields:
        return lambda request: [_parent(request) or NOTHING]
    if "name" in fields:
        return _name
    items = next((field for field in ("names", "updates") if field in fields), None)
    if items is None:
        return lambda _: [THIS_SERVER]
    return lambda request: _item_paths(request, items)


def named_path(name: str) -> Path:
    """Return the path in a text that has the form of a name: `omics/workflows/7`.

    For examples of decisions, which are about resources of any type. The segments from the first
    one that is no collection are ignored.
    """
    if _is_too_long(name):
        return NOTHING
    service, *rest = name.split("/")
    path = [(SERVICE, service)]
    for collection, key in zip(rest[::2], rest[1::2], strict=False):
        if not (collection.isascii() and collection.isalpha() and collection.endswith("s")):
            break
        path.append((_type_of(collection), key))
    return tuple(path)


def arn_path(arn: str, service: str) -> Path:
    """Return the path of a resource with that ARN in requests of an AWS service.

    For examples of decisions, in which there is no route that has the parents of the resource.
    """
    kind = ROLE if arn.split(":")[2:3] == ["iam"] else RESOURCE
    return identifiers_of(service).parse_arn(arn) or ((SERVICE, service), (kind, arn))


def policy_type(service: str, kind: str) -> str:
    """Return the name of a type in policies: `Deadline::Queue`, which no `Batch::Queue` is.

    Args:
        service: the AWS service of the path in which the type is.
        kind: the type. One that would hide a type of Taskgate gets the suffix `Resource`.
    """
    namespace = _NAMESPACES.get(service)  # none in an example of a service that is not installed
    if kind in COMMON or namespace is None:
        return kind
    return f"{namespace}::{kind}Resource" if kind in RESERVED else f"{namespace}::{kind}"


def policy_types(path: Path) -> list[str]:
    """Return the types in a path as policies name them."""
    root, service = path[0]
    return [policy_type(service, kind) if root == SERVICE else kind for kind, _ in path]


@cache
def parents() -> Mapping[str, frozenset[str]]:
    """Return every type of resource and its possible parent types, as policies name them."""
    found: dict[str, frozenset[str]] = dict.fromkeys((SERVER, TARGET, *COMMON), frozenset())
    for spec in SPECS.values():
        for kind, above in _parents_in(spec.name).items():
            name = policy_type(spec.name, kind)
            found[name] = found.get(name, frozenset()) | _policy_types(spec.name, above)
    return found


def _parents_in(service: str) -> Mapping[str, set[str]]:
    """Return the types of one AWS service and their possible parent types."""
    found: dict[str, set[str]] = {}
    forms = (*TASK_NAMES.paths_of(service), *PARENT_NAMES.paths_of(service))
    for above, kind in chain.from_iterable(pairwise((SERVICE, *types)) for types in forms):
        found.setdefault(kind, set()).add(above)
    identifiers = identifiers_of(service)
    for kind, types in identifiers.parents.items():
        found.setdefault(kind, set()).update(types)
    for operation, route in identifiers.routes.items():
        ends = {branch[-1].type if branch else SERVICE for branch in route}
        outside = _types_in_request(service, operation) - {RESOURCE, *identifiers.parents}
        for kind in outside:
            found.setdefault(kind, set()).update(ends - {RESOURCE})
    return found | {RESOURCE: {SERVICE, *found}}


def _policy_types(service: str, kinds: Iterable[str]) -> frozenset[str]:
    return frozenset(policy_type(service, kind) for kind in kinds)


def types_named(method: str) -> frozenset[str]:
    """Return every type that can be in the paths of an RPC's requests, as policies name them."""
    service, _, name = method.rpartition("/")
    spec = SPECS.get(service)
    if spec is None:
        if service.startswith("grpc.reflection."):
            return frozenset({SERVER})
        return TASK_NAMES.types | PARENT_NAMES.types | {SERVER}
    route = chain.from_iterable(identifiers_of(spec.name).routes[name])
    types = _types_in_request(spec.name, name) | {SERVICE, *(label.type for label in route)}
    return _policy_types(spec.name, types)


# --- Unified RPCs ---------------------------------------------------------------------------------


class NameForms:
    """The forms of names in one kind of field.

    The checks take constant time, since they run before it is known whether the caller may do
    anything.

    Args:
        forms: the forms of each AWS service, such as `omics/runs/{id}`.
    """

    def __init__(self, forms: Mapping[str, Sequence[str]]) -> None:
        self._forms = forms
        self._types: dict[tuple[str, ...], tuple[str, ...]] = {}
        """Service and collections, `("omics", "runs")`, to the types of the ids between them."""
        for form in chain.from_iterable(forms.values()):
            service, *rest = form.split("/")
            self._types[service, *rest[::2]] = tuple(_type_of(each) for each in rest[::2])
        self.types = frozenset(
            policy_type(service, kind)
            for service in forms
            for types in self.paths_of(service)
            for kind in (SERVICE, *types)
        )
        """The types of all ids in such names, as policies name them."""

    def paths_of(self, service: str) -> list[tuple[str, ...]]:
        """Return the types of the ids in each form of an AWS service, in their order."""
        return [types for (name, *_), types in self._types.items() if name == service]

    def parse(self, name: str, field: str) -> Path:
        """Return the path of a name.

        Args:
            name: as the caller sent it.
            field: of the request, for the error.

        Raises:
            errors.TaskgateError: INVALID_ARGUMENT that shows the forms a name must have.
        """
        if _is_too_long(name):
            raise errors.invalid_request({field: f"must have at most {MAX_NAME_BYTES} bytes"})
        parts = name.split("/")
        types = self._types.get((parts[0], *parts[1::2]))
        if types is None or "" in parts or len(parts) != 1 + 2 * len(types):
            forms = self._forms.get(parts[0]) or chain.from_iterable(self._forms.values())
            raise errors.invalid_request({field: f"must have the form {' or '.join(forms)}"})
        return ((SERVICE, parts[0]), *zip(types, parts[2::2], strict=True))


def _is_too_long(name: str) -> bool:
    """Return whether a name is longer than any name can be; takes constant time."""
    return len(name) > MAX_NAME_BYTES or (
        not name.isascii() and len(name.encode(errors="replace")) > MAX_NAME_BYTES
    )


def _type_of(collection: str) -> str:
    """Return `Job` for `jobs`."""
    return collection[:1].upper() + collection[1:].removesuffix("s")


TASK_NAMES: Final = NameForms({spec.name: spec.task_names for spec in SERVICES})
PARENT_NAMES: Final = NameForms({spec.name: list(spec.parent_names.values()) for spec in SERVICES})
"""Of a queue, a job, a step or a run."""


def _name(request: Any) -> list[Path]:
    return [TASK_NAMES.parse(request.name, "name") if request.name else NOTHING]


def _parent(request: Any) -> Path | None:
    return PARENT_NAMES.parse(request.parent, "parent") if request.parent else None


def _parent_or_names(request: Any) -> list[Path]:
    check_count(len(request.names), "names")
    parent = _parent(request)
    paths = [TASK_NAMES.parse(name, f"names[{index}]") for index, name in enumerate(request.names)]
    return [*([parent] if parent else []), *paths] or [NOTHING]


def _item_paths(request: Any, field: str) -> list[Path]:
    """Return the path of each item of a batch: NOTHING for a malformed name.

    A malformed name is an error of its item alone.
    """
    items = getattr(request, field)
    check_count(len(items), field)
    return [_item_path(item if isinstance(item, str) else item.name) for item in items] or [NOTHING]


def _item_path(name: str) -> Path:
    try:
        return TASK_NAMES.parse(name, "name")
    except errors.TaskgateError:
        return NOTHING


# --- AWS RPCs -------------------------------------------------------------------------------------


def _aws_paths(spec: ServiceSpec, name: str, request_class: type[Message]) -> Paths:
    identifiers = identifiers_of(spec.name)
    route = identifiers.routes[name]
    paths_in_route = _route_paths(spec, name, request_class)
    labels = frozenset(label.member for branch in route for label in branch)
    descriptor = cast("Descriptor", request_class.DESCRIPTOR)
    scope = compile_scope(identifiers, name, descriptor, labels)
    if not scope.leaves and not scope.nested:
        return paths_in_route
    root: Path = ((SERVICE, spec.name),)
    # A batch without ids in its route consists of its items.
    is_batch = name.startswith("Batch") and not route[0]
    is_read = action_of(f"{spec.grpc_service_full_name}/{name}").group == "read"
    filters = identifiers.table.filters.get(name, ()) if is_read else ()
    filter_fields = [each.name for each in descriptor.fields if each.json_name in filters]

    def paths(request: Message) -> list[Path]:
        routes = paths_in_route(request)
        found: list[Path] = []
        scope.collect(request, ancestors_in(routes, root), found)
        # `any` of a list and of a string alike: a filter counts if one of its ids is not empty.
        if found and (is_batch or any(any(getattr(request, field)) for field in filter_fields)):
            return found
        return [*routes, *found]

    return paths


def _route_paths(spec: ServiceSpec, name: str, request_class: type[Message]) -> Paths:
    """Return the function from requests to the resources of the operation's route."""
    root: Path = ((SERVICE, spec.name),)
    identifiers = identifiers_of(spec.name)
    fields = {each.json_name: each.name for each in request_class.DESCRIPTOR.fields}
    shape = model.load_service(spec.name).operation_model(name).input_shape

    def limit(member: str) -> int:
        longest = shape.members[member].metadata.get("max", MAX_ID_LENGTH) if shape else 0
        return min(longest, MAX_ID_LENGTH)

    branches = [
        [(label.type, fields[label.member], limit(label.member)) for label in branch]
        for branch in identifiers.routes[name]
    ]

    def arn_path(request: Message) -> list[Path]:
        """Return the path of the ARN in `/tags/{resourceArn}`."""
        field = branches[0][0][1]
        arn: str = getattr(request, field)
        check_length(arn, MAX_ID_LENGTH, field)
        return [identifiers.parse_arn(arn) or (*root, (RESOURCE, arn))]

    def path(request: Message, steps: Sequence[tuple[str, str, int]]) -> Path:
        made = root
        for kind, field, longest in steps:
            key: str = getattr(request, field)
            if len(key) > longest:
                check_length(key, longest, field)
            made += ((kind, key),)
        return made

    if any(kind == RESOURCE for kind, _, _ in branches[0]):
        return arn_path
    return lambda request: [path(request, steps) for steps in branches]


@cache
def _types_in_request(service: str, operation: str) -> frozenset[str]:
    """Return the types of what requests can identify outside of the ids in the route."""
    identifiers = identifiers_of(service)
    route = chain.from_iterable(identifiers.routes[operation])
    labels = {label.member for label in route if label.type != RESOURCE}
    found: set[str] = set()
    for place, each in identifiers.identified_in(operation):
        if place.path[0] not in labels:
            found |= {each.type} if each.form == "id" else {RESOURCE}
            found |= set((each.labels or {}).values())
            found |= set(identifiers.parents) if each.form == "arn" else set()
    return frozenset(found)
