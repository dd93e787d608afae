"""Which members of AWS requests identify resources, and of which type.

Derived from botocore's model by rules; `ServiceSpec.identifiers` lists the exceptions:

    route    `/farms/{farmId}/queues/{queueId}`: a Queue in a Farm. A label `id` or `name` gets the
             noun of the operation that reads what is there: `GetReadSet` -> ReadSet
    ids      `sourceJobId` -> the longest ending that is a type: Job. Else the shape (`ReadSetId`),
             else, for a plain `id` or `ids`, the noun of the operation
    names    count where the route of their type has a name for a label
    ARNs     of a resource of the service itself: see `arns`; all others are `Resource`s
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from itertools import pairwise
from typing import Final, Literal, TypeAlias

from taskgate_server.aws import model
from taskgate_server.services.registry import SERVICES
from taskgate_server.services.spec import IdentifierTable

_TABLES: Final = {spec.name: spec.identifiers for spec in SERVICES}

SERVICE: Final = "AwsService"
RESOURCE: Final = "Resource"
"""The type of what has an ARN and no other type."""

Path: TypeAlias = tuple[tuple[str, str], ...]
"""Types and ids: `(("AwsService", "omics"), ("Run", "7"))`."""

Label: TypeAlias = tuple[str, str]
"""A type, and the member of the request that has the id."""

_SUFFIX: Final = re.compile(r"(Id|Name|Arn|Identifier)s?(ToAdd|ToRemove)?$")
_BARE: Final = re.compile(r"(id|name|arn|identifier)s?")
"""What identifies something without saying of which type."""
_VERB: Final = re.compile(r"^(Batch)?[A-Z][a-z]+")
_ID_PATTERN: Final = re.compile(r"arn:|\[(a-f0-9|0-9a-f)\]\{|-\[\\w\]|\[0-9\]\{12\}")
"""Patterns of ids and ARNs in botocore's models."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Identifier:
    """What the values of a member identify."""

    form: Literal["id", "arn", "labelled"]
    """An id alone, an ARN of a resource of the AWS services here, or `LABEL:id:rest`."""
    type: str = ""
    """The type of the resource; empty if it depends on the value."""
    labels: Mapping[str, str] | None = None
    """Of labelled values: the type for each label."""


@dataclass(frozen=True, slots=True)
class NotResource:
    """A member that looks like an identifier and identifies no resource of the policy."""

    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a request has a text: `identifiers`, `[]`, `jobId`."""

    path: tuple[str, ...]
    """AWS members from the request down; `[]` for items, `{}` for values and `{key}` for keys."""
    shape: model.Shape

    @property
    def member(self) -> str:
        """The innermost member."""
        return next(each for each in reversed(self.path) if each[0] not in "[{")

    @property
    def is_key(self) -> bool:
        """Whether it is the key of a map."""
        return self.path[-1] == "{key}"


class ServiceIdentifiers:
    """The identifiers of one AWS service's requests.

    Args:
        name: botocore's name of the service.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.table = _TABLES.get(name, IdentifierTable())
        self._service = model.load_service(name)
        self._routes: dict[str, list[list[Label]]] = {}

    @cached_property
    def parents(self) -> Mapping[str, frozenset[str]]:
        """Each type of the service's routes, and the types that it is in."""
        found: dict[str, set[str]] = {}
        for operation in model.operations(self._service):
            for branch in self.route(operation):
                for (parent, _), (kind, _) in pairwise([(SERVICE, ""), *branch]):
                    found.setdefault(kind, set()).add(parent)
        found.pop(RESOURCE, None)  # `/tags/{resourceArn}`
        return {kind: frozenset(each) for kind, each in found.items()}

    @cached_property
    def _named(self) -> frozenset[str]:
        """The types whose ids are names."""
        return frozenset(
            kind
            for operation in model.operations(self._service)
            for branch in self.route(operation)
            for kind, member in branch
            if member.lower().endswith("name")
        )

    @cached_property
    def collections(self) -> frozenset[Label]:
        """The words before the ids of routes, with the types that follow: `jobs`, `Job`."""
        pairs: set[Label] = set()
        for operation in model.operations(self._service):
            segments = _segments(operation)
            words = {
                part.strip("{}+"): before
                for before, part in pairwise(segments)
                if part.startswith("{") and not before.startswith("{")
            }
            labels = {member: label for label, member in _labels(operation).items()}
            pairs |= {
                (words[labels[member]], kind)
                for branch in self.route(operation)
                for kind, member in branch
                if labels[member] in words and kind in self.parents
            }
        return frozenset(pairs)

    @cached_property
    def ancestors(self) -> Mapping[str, tuple[str, ...]]:
        """Each type of the routes, and the types that it is in, directly or not, nearest first."""
        return {
            kind: tuple(sorted(self._above(kind), key=lambda each: (-self.depths[each], each)))
            for kind in self.parents
        }

    @cached_property
    def depths(self) -> Mapping[str, int]:
        """How many resources there are at most from the service down to one of each type."""
        found: dict[str, int] = {}
        while len(found) < len(self.parents):
            for kind, parents in self.parents.items():
                above = parents - {SERVICE}
                if above <= found.keys():
                    found[kind] = 1 + max((found[each] for each in above), default=0)
        return found

    def _above(self, kind: str) -> frozenset[str]:
        direct = self.parents[kind] - {SERVICE}
        return direct.union(*(self._above(parent) for parent in direct))

    def route(self, operation: model.OperationModel) -> list[list[Label]]:
        """The ids in the operation's HTTP route, with their types.

        Two next to each other are two resources: `/queue-fleet-associations/{queueId}/{fleetId}`.
        """
        known = self._routes.get(operation.name)
        if known is None:
            known = self._routes[operation.name] = self._read_route(operation)
        return known

    def _read_route(self, operation: model.OperationModel) -> list[list[Label]]:
        labels = _labels(operation)
        branches: list[list[Label]] = [[]]
        prefix, before = "", ""
        for part in _segments(operation):
            prefix += "/{}" if part.startswith("{") else f"/{part}"
            if part.startswith("{"):
                member = labels[part.strip("{}+")]
                label = self._label_type(member, prefix, before), member
                if before.startswith("{"):
                    branches.append([*branches[-1][:-1], label])
                else:
                    branches = [[*branch, label] for branch in branches]
            before = part
        return branches

    def _label_type(self, member: str, prefix: str, before: str) -> str:
        if member in self.table.types:
            return self.table.types[member]
        noun, stem = self._nouns.get(prefix, ""), _stem(member)
        if not stem:
            return noun or _pascal(before.removesuffix("s"))
        return noun if noun.endswith(stem) else stem

    @cached_property
    def _nouns(self) -> Mapping[str, str]:
        """The noun of the `Get…` operation for each route that ends with an id."""
        return {
            "".join("/{}" if part.startswith("{") else f"/{part}" for part in segments): _noun(each)
            for each in self._service.operation_names
            if each.startswith("Get")
            and (segments := _segments(self._service.operation_model(each)))[-1].startswith("{")
        }

    def classify(
        self, operation: model.OperationModel, place: Place
    ) -> Identifier | NotResource | None:
        """What the member at a place identifies; None if it is no identifier.

        A member that is called like an identifier and that no rule knows identifies a resource of a
        type of its own, so that it counts until somebody decides otherwise.
        """
        listed = None if place.is_key else self._listed(operation.name, place)
        if listed is not None:
            return listed
        if not place.is_key and place.member.lower().endswith(("arn", "arns")):
            return self._arn(place.member)
        kind = self._type(operation.name, place)
        if kind:
            return Identifier(form="id", type=kind)
        if looks_like_identifier(place):
            return Identifier(form="id", type=_stem(place.member) or _noun(operation.name))
        return None

    def _listed(self, operation: str, place: Place) -> Identifier | NotResource | None:
        for key in (f"{operation}.{place.member}", place.member):
            if key in self.table.types:
                return Identifier(form="id", type=self.table.types[key])
            if key in self.table.labelled:
                return Identifier(form="labelled", labels=self.table.labelled[key])
            if key in self.table.not_resources:
                return NotResource(self.table.not_resources[key])
        if model.is_idempotency_token(place.shape):
            return NotResource("an idempotency token")
        return None

    def _arn(self, member: str) -> Identifier:
        stem = _stem(member)
        if stem == RESOURCE or self._ending(stem):
            return Identifier(form="arn")
        return Identifier(form="id", type=RESOURCE)

    def _type(self, operation: str, place: Place) -> str:
        """The known type that a member identifies by its name, its shape or its operation."""
        texts = [place.shape.name] if place.is_key else [place.member, place.shape.name]
        return next((kind for text in texts if (kind := self._named_type(operation, text))), "")

    def _named_type(self, operation: str, text: str) -> str:
        found = _SUFFIX.search(text) or _BARE.fullmatch(text)
        if found is None:
            return ""
        stem, noun = _stem(text), _noun(operation)
        kind = self._ending(stem) or (noun if noun.endswith(stem) and noun in self.parents else "")
        return kind if kind in self._named or found[1].lower() != "name" else ""

    def _ending(self, stem: str) -> str:
        """The longest ending of a stem that is a type: `Job` of `SourceJob`."""
        return next((end for end in _endings(stem) if end in self.parents), "")


@cache
def identifiers_of(service: str) -> ServiceIdentifiers:
    """The identifiers of an AWS service."""
    return ServiceIdentifiers(service)


def looks_like_identifier(place: Place) -> bool:
    """Whether a text is called like an id or ARN, or has the pattern of one."""
    if place.is_key:
        return place.shape.name.endswith("Id")
    called = re.search(
        r"^(id|arn|identifier)s?$|(Id|Arn|Identifier)s?(ToAdd|ToRemove)?$", place.member
    )
    pattern = str(place.shape.metadata.get("pattern", ""))
    return bool(called or (_ID_PATTERN.search(pattern) and place.shape.name.endswith("Id")))


def places(operation: model.OperationModel) -> Iterator[Place]:
    """Every text in the requests of an operation, at any depth."""
    if operation.input_shape is not None:
        yield from _places(operation.input_shape, (), frozenset())


def _places(shape: model.Shape, path: tuple[str, ...], above: frozenset[str]) -> Iterator[Place]:
    if isinstance(shape, model.StructureShape):
        if shape.name in above:  # filters in filters
            return
        for member, each in shape.members.items():
            yield from _places(each, (*path, member), above | {shape.name})
    elif isinstance(shape, model.ListShape):
        yield from _places(shape.member, (*path, "[]"), above)
    elif isinstance(shape, model.MapShape):
        yield from _places(shape.key, (*path, "{key}"), above)
        yield from _places(shape.value, (*path, "{}"), above)
    elif isinstance(shape, model.StringShape) and not model.enum_values(shape):
        yield Place(path=path, shape=shape)


def _segments(operation: model.OperationModel) -> list[str]:
    uri: str = operation.http["requestUri"]
    return uri.partition("?")[0].strip("/").split("/")


def _labels(operation: model.OperationModel) -> dict[str, str]:
    """The labels of the route, and the members whose values they stand for."""
    shape = operation.input_shape
    return {
        member_shape.serialization.get("name", member): member
        for member, member_shape in (shape.members.items() if shape else ())
        if member_shape.serialization.get("location") == "uri"
    }


def _stem(name: str) -> str:
    """`SourceJob` of `sourceJobId`; empty for `id` and `name`."""
    return "" if _BARE.fullmatch(name) else _pascal(_SUFFIX.sub("", name))


def _noun(operation: str) -> str:
    """`ReadSet` of `BatchDeleteReadSet`."""
    return _VERB.sub("", operation).removesuffix("s")


def _endings(stem: str) -> list[str]:
    """`SourceJob` and `Job` of `SourceJob`."""
    return [stem[match.start() :] for match in re.finditer("[A-Z]", stem)]


def _pascal(word: str) -> str:
    return word[:1].upper() + word[1:]
