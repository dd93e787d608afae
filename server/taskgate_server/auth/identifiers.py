"""Which members of AWS requests identify resources, and of which type.

Derived from botocore's model by rules; `ServiceSpec.identifiers` lists the exceptions:

    route    `/farms/{farmId}/queues/{queueId}`: a Queue in a Farm. A label `id` or `name` takes the
             noun of the `Get…` operation with the same route: `GetReadSet` -> ReadSet
    ids      `sourceJobId` -> the longest ending that is a type: Job. Otherwise the shape
             (`ReadSetId`); for a plain `id` or `ids`, the noun of the operation
    names    identify a resource only if the route of its type has a name as the label
    ARNs     of the service's own resources become paths, see `parse_arn`; any other ARN is a
             `Resource`
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from itertools import pairwise
from typing import Final, Literal, NamedTuple, TypeAlias

from taskgate_server.aws import model
from taskgate_server.services.registry import SERVICES
from taskgate_server.services.spec import IdentifierTable

_TABLES: Final = {spec.name: spec.identifiers for spec in SERVICES}

SERVICE: Final = "AwsService"
RESOURCE: Final = "Resource"
"""The type of a resource that has an ARN and no other type."""

MAX_ARN_DEPTH: Final = 8
"""Resources in one ARN; those of AWS have at most three."""

_ARN_PARTS: Final = 6
"""`arn:partition:service:region:account:resource`."""

_SUFFIX: Final = re.compile(r"(Id|Name|Arn|Identifier)s?(ToAdd|ToRemove)?$")
_BARE: Final = re.compile(r"(id|name|arn|identifier)s?")
"""A member that identifies something without naming its type."""
_VERB: Final = re.compile(r"^(Batch)?[A-Z][a-z]+")
_ID_PATTERN: Final = re.compile(r"arn:|\[(a-f0-9|0-9a-f)\]\{|-\[\\w\]|\[0-9\]\{12\}")
"""Patterns of ids and ARNs in botocore's models."""

Path: TypeAlias = tuple[tuple[str, str], ...]
"""Types and ids: `(("AwsService", "omics"), ("Run", "7"))`."""


class Label(NamedTuple):
    """An id in the route of an operation."""

    type: str
    member: str
    """The member of the request that has the id."""
    collection: str
    """The fixed segment before it: `jobs`; empty directly after another label."""


Route: TypeAlias = Sequence[Sequence[Label]]
"""The labels of a route, as one or more branches from the service down.

Adjacent labels are siblings, not parent and child: `/queue-fleet-associations/{queueId}/{fleetId}`
has two branches.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Identifier:
    """What the values of a member identify."""

    form: Literal["id", "arn", "labelled"]
    """An id alone, an ARN of a resource of the same AWS service, or `LABEL:id:rest`."""
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
    """The position of a string in a request: `identifiers`, `[]`, `jobId`."""

    path: tuple[str, ...]
    """AWS members from the request down; `[]` for items, `{}` for values and `{key}` for keys."""
    shape: model.Shape
    is_required: bool = False
    """Whether the innermost structure requires the member."""

    @property
    def member(self) -> str:
        """The innermost member."""
        return next(each for each in reversed(self.path) if each[0] not in "[{")

    @property
    def is_key(self) -> bool:
        """Whether it is the key of a map."""
        return self.path[-1] == "{key}"


class ServiceIdentifiers:
    """The identifiers in the requests of the AWS service with this name in botocore."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.table = _TABLES.get(name, IdentifierTable())
        self._service = model.load_service(name)

    @cached_property
    def routes(self) -> Mapping[str, Route]:
        """The route of each operation."""
        return {each.name: self._route(each) for each in model.operations(self._service)}

    @cached_property
    def parents(self) -> Mapping[str, frozenset[str]]:
        """Each type in the routes, and its possible parent types."""
        found: dict[str, set[str]] = {}
        for branch in self._branches():
            for parent, kind in pairwise([SERVICE, *(label.type for label in branch)]):
                found.setdefault(kind, set()).add(parent)
        found.pop(RESOURCE, None)  # `/tags/{resourceArn}`
        return {kind: frozenset(each) for kind, each in found.items()}

    @cached_property
    def ancestors(self) -> Mapping[str, tuple[str, ...]]:
        """Each type in the routes, and all types above it except the service, nearest first."""
        return {
            kind: tuple(sorted(self._above(kind), key=lambda each: (-self.depths[each], each)))
            for kind in self.parents
        }

    @cached_property
    def depths(self) -> Mapping[str, int]:
        """The number of types above each type: ancestors have fewer than their descendants."""
        return {kind: len(self._above(kind)) for kind in self.parents}

    def _above(self, kind: str) -> frozenset[str]:
        direct = self.parents[kind] - {SERVICE}
        return direct.union(*(self._above(parent) for parent in direct))

    def _branches(self) -> Iterator[Sequence[Label]]:
        return (branch for route in self.routes.values() for branch in route)

    @cached_property
    def _types_with_names(self) -> frozenset[str]:
        """The types whose ids are names."""
        labels = (label for branch in self._branches() for label in branch)
        return frozenset(each.type for each in labels if each.member.lower().endswith("name"))

    @cached_property
    def _arn_words(self) -> Mapping[tuple[str, str], str]:
        """The type of each word of an ARN beneath each parent; beneath "", of the word anywhere."""
        labels = {(each.collection, each.type) for branch in self._branches() for each in branch}
        found: dict[tuple[str, str], str] = {}
        for collection, kind in sorted(labels):
            if collection and kind in self.parents:
                for spelling in (kind, collection, collection.removesuffix("s")):
                    for parent in (*self.parents[kind], ""):
                        found.setdefault((parent, _normalized(spelling)), kind)
        return found

    def parse_arn(self, arn: str) -> Path | None:
        """Return the path of a resource of this service with that ARN; None for any other text.

        `arn:aws:deadline:us-west-2:111122223333:farm/f/queue/q` is Queue q in Farm f. The words of
        ARNs are those of the service's routes, in the singular:
        https://docs.aws.amazon.com/service-authorization/latest/reference/list_deadline.html

        The rest of an ARN with an unknown word becomes a `Resource` beneath the known part, so that
        a policy for a workflow also covers an unknown form of ARN for a part of that workflow.
        """
        parts = arn.split(":", _ARN_PARTS - 1)
        if len(parts) < _ARN_PARTS or parts[0].lower() != "arn" or parts[2].lower() != self.name:
            return None
        path: Path = ((SERVICE, self.name),)
        segments = re.split("[/:]", parts[5], maxsplit=2 * MAX_ARN_DEPTH)
        for word, key in zip(segments[::2], segments[1::2], strict=False):
            normal = _normalized(word)
            # Beneath the parent first: `task/8` after a run names a Task, alone it names none.
            kind = self._arn_words.get((path[-1][0], normal)) or self._arn_words.get(("", normal))
            if not kind or not key or any(kind == above for above, _ in path):
                break
            path += ((kind, key),)
        is_whole = len(segments) == 2 * (len(path) - 1)
        return path if is_whole else (*path, (RESOURCE, arn))

    def _route(self, operation: model.OperationModel) -> Route:
        branches: list[list[Label]] = [[]]
        prefix, previous = "", model.Segment("", "")
        for segment in model.route(operation):
            prefix += f"/{segment.text or '{}'}"
            if member := segment.member:
                label = Label(
                    self._label_type(member, prefix, previous.text), member, previous.text
                )
                if previous.member:
                    branches.append([*branches[-1][:-1], label])
                else:
                    branches = [[*branch, label] for branch in branches]
            previous = segment
        return branches

    def _label_type(self, member: str, prefix: str, collection: str) -> str:
        if member in self.table.types:
            return self.table.types[member]
        noun, stem = self._nouns.get(prefix, ""), _stem(member)
        if not stem:
            return noun or _pascal(collection.removesuffix("s"))
        return noun if noun.endswith(stem) else stem

    @cached_property
    def _nouns(self) -> Mapping[str, str]:
        """The noun of the `Get…` operation for each route that ends with an id."""
        return {
            "".join(f"/{segment.text or '{}'}" for segment in segments): _noun(name)
            for name in self._service.operation_names
            if name.startswith("Get")
            and (segments := model.route(self._service.operation_model(name)))[-1].member
        }

    def identified_in(self, operation: str) -> Iterator[tuple[Place, Identifier]]:
        """Yield every identifier in the requests of an operation, at any depth."""
        for place in places(self._service.operation_model(operation)):
            found = self.classify(operation, place)
            if isinstance(found, Identifier):
                yield place, found

    def classify(self, operation: str, place: Place) -> Identifier | NotResource | None:
        """Return what the string at a place identifies; None if it is no identifier.

        A member that is named like an identifier and matches no rule identifies a resource of a
        type of its own, so that policies consider it until the table has an entry for it.
        """
        if not place.is_key:
            listed = self._listed(operation, place)
            if listed is not None:
                return listed
            if place.member.lower().endswith(("arn", "arns")):
                stem = _stem(place.member)
                if stem == RESOURCE or self._longest_type(stem):
                    return Identifier(form="arn")
                return Identifier(form="id", type=RESOURCE)
        texts = [place.shape.name] if place.is_key else [place.member, place.shape.name]
        kind = next((kind for text in texts if (kind := self._type_in(operation, text))), "")
        if not kind and looks_like_identifier(place):
            kind = _stem(place.member) or _noun(operation)
        return Identifier(form="id", type=kind) if kind else None

    def _listed(self, operation: str, place: Place) -> Identifier | NotResource | None:
        """Return what the table of exceptions has for a member."""
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

    def _type_in(self, operation: str, text: str) -> str:
        """Return the known type in the name of a member or shape; empty if there is none."""
        suffix = _SUFFIX.search(text) or _BARE.fullmatch(text)
        if suffix is None:
            return ""
        stem, noun = _stem(text), _noun(operation)
        kind = self._longest_type(stem)
        if not kind and noun.endswith(stem) and noun in self.parents:
            kind = noun
        is_name = suffix[1].lower() == "name"
        return "" if is_name and kind not in self._types_with_names else kind

    def _longest_type(self, stem: str) -> str:
        """Return the longest ending of a stem that is a type: `Job` of `SourceJob`."""
        endings = (stem[match.start() :] for match in re.finditer("[A-Z]", stem))
        return next((end for end in endings if end in self.parents), "")


@cache
def identifiers_of(service: str) -> ServiceIdentifiers:
    """Return the identifiers of an AWS service."""
    return ServiceIdentifiers(service)


def looks_like_identifier(place: Place) -> bool:
    """Return whether a string is named like an id or ARN, or has the pattern of one."""
    if place.is_key:
        return place.shape.name.endswith("Id")
    is_named_so = re.search(
        r"^(id|arn|identifier)s?$|(Id|Arn|Identifier)s?(ToAdd|ToRemove)?$", place.member
    )
    pattern = str(place.shape.metadata.get("pattern", ""))
    has_pattern = _ID_PATTERN.search(pattern) and place.shape.name.endswith("Id")
    return bool(is_named_so or has_pattern)


def places(operation: model.OperationModel) -> Iterator[Place]:
    """Yield the place of every string in the requests of an operation, at any depth."""
    if operation.input_shape is not None:
        yield from _places(operation.input_shape, (), frozenset(), is_required=False)


def _places(
    shape: model.Shape, path: tuple[str, ...], above: frozenset[str], *, is_required: bool
) -> Iterator[Place]:
    if isinstance(shape, model.StructureShape):
        if shape.name in above:  # filters within filters, which identify nothing
            return
        for member, each in shape.members.items():
            required = model.is_required(shape, member)
            yield from _places(each, (*path, member), above | {shape.name}, is_required=required)
    elif isinstance(shape, model.ListShape):
        yield from _places(shape.member, (*path, "[]"), above, is_required=is_required)
    elif isinstance(shape, model.MapShape):
        yield from _places(shape.key, (*path, "{key}"), above, is_required=is_required)
        yield from _places(shape.value, (*path, "{}"), above, is_required=is_required)
    elif isinstance(shape, model.StringShape) and not model.enum_values(shape):
        yield Place(path=path, shape=shape, is_required=is_required)


def _normalized(word: str) -> str:
    """Return `licenseendpoint` for `license-endpoint` and `LicenseEndpoint`."""
    return word.replace("-", "").replace("_", "").lower()


def _stem(name: str) -> str:
    """Return `SourceJob` for `sourceJobId`; an empty string for `id` and `name`."""
    return "" if _BARE.fullmatch(name) else _pascal(_SUFFIX.sub("", name))


def _noun(operation: str) -> str:
    """Return `ReadSet` for `BatchDeleteReadSet`."""
    return _VERB.sub("", operation).removesuffix("s")


def _pascal(word: str) -> str:
    return word[:1].upper() + word[1:]
