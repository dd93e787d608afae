"""Finds everything that a request of an AWS RPC identifies, at any depth.

A `Scope` is the compiled form of one structure of the model, without what identifies nothing. What
it finds is placed beneath the nearest of its ancestors that the same structure, one around it or
the route names: `jobId` and `stepId` of an item give `Job::"j"` > `Step::"s"`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import chain, pairwise
from typing import Any, Final, Literal, TypeAlias

from google.protobuf.message import Message

from taskgate_server import errors
from taskgate_server.auth.arns import parse_arn
from taskgate_server.auth.identifiers import (
    RESOURCE,
    SERVICE,
    Identifier,
    Path,
    ServiceIdentifiers,
)

MAX_RESOURCES: Final = 1000
"""Of one request: as many as BatchGetTasks takes names."""

MAX_ID_LENGTH: Final = 2048
"""Characters of an id or ARN, where the model has no lower limit."""

ROUTE: Final = ""
"""Among the ancestors: the resource of the route."""

Ancestors: TypeAlias = dict[str, list[Path]]
"""The paths that are known so far, by their type."""

Hop: TypeAlias = Literal["message", "list", "map"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Leaf:
    """A field whose values identify resources."""

    field: str
    place: str
    """For people: `identifiers[].job_id`."""
    repeated: bool
    """Whether it is a list, or a map whose keys count."""
    required: bool
    narrows: bool
    """Whether it is a filter, see `IdentifierTable.filters`."""
    max_length: int
    identifier: Identifier
    identifiers: ServiceIdentifiers

    def values(self, message: Message) -> list[str]:
        """The values that are not empty.

        Raises:
            errors.TaskgateError: INVALID_ARGUMENT for too many or too long ones.
        """
        found: Any = getattr(message, self.field)
        if not found:
            return []
        if self.repeated:
            check_count(len(found), self.place)
        values = [each for each in found if each] if self.repeated else [found]
        for value in values:
            check_length(value, self.max_length, self.place)
        return values

    def absolute(self, value: str) -> Path | None:
        """The path that a value has by itself: that of an ARN."""
        return parse_arn(value, self.identifiers.name) if self.identifier.form == "arn" else None

    def is_in(self, other: Leaf) -> bool:
        """Whether its resources are directly in those of another leaf."""
        return self.identifiers.ancestors.get(self.identifier.type, ())[:1] == (
            other.identifier.type,
        )

    def step(self, value: str) -> tuple[str, str]:
        """The type and id in a value that needs ancestors."""
        if self.identifier.labels is not None:
            label, _, rest = value.partition(":")
            if label in self.identifier.labels:
                return self.identifier.labels[label], rest.partition(":")[0]
            return RESOURCE, value
        return self.identifier.type or RESOURCE, value

    def ancestor(self, kind: str, known: Ancestors) -> str:
        """The nearest ancestor that is known of a resource of this type."""
        above = self.identifiers.ancestors.get(kind)
        if above is None:
            return ROUTE
        return next((each for each in above if each in known), SERVICE)


@dataclass(frozen=True, kw_only=True)
class Scope:
    """What one structure of a request identifies."""

    leaves: list[Leaf] = field(default_factory=list)
    """Those of ancestors first."""
    nested: list[tuple[str, Hop, Scope]] = field(default_factory=list)
    """Fields with structures, what each holds, and the structures' own scopes."""

    @cached_property
    def _is_chain(self) -> bool:
        """Whether it holds the ids of one resource and nothing else: `farmId`, `queueId`."""
        return (
            not self.nested
            and all(
                leaf.required and not leaf.repeated and leaf.identifier.form == "id"
                for leaf in self.leaves
            )
            and all(below.is_in(above) for above, below in pairwise(self.leaves))
        )

    def _collect_chain(self, message: Message, known: Ancestors, found: list[Path]) -> bool:
        """Add the path of a chain, if all of its ids are set."""
        steps = tuple((leaf.identifier.type, getattr(message, leaf.field)) for leaf in self.leaves)
        for leaf, (_, key) in zip(self.leaves, steps, strict=True):
            if not key:
                return False
            check_length(key, leaf.max_length, leaf.place)
        first = self.leaves[0]
        found.extend(each + steps for each in known[first.ancestor(first.identifier.type, known)])
        return True

    def collect(self, message: Message, known: Ancestors, found: list[Path]) -> bool:
        """Add the paths of everything that a message identifies.

        Args:
            message: the request, or a part of it.
            known: possible ancestors; with `ROUTE` and `SERVICE`.
            found: the list to add to.

        Returns:
            Whether a filter is set.

        Raises:
            errors.TaskgateError: INVALID_ARGUMENT for too many resources or too long ids.
        """
        if self._is_chain and self._collect_chain(message, known, found):
            return any(leaf.narrows for leaf in self.leaves)
        own = _Found(dict(known))
        narrowed = False
        for leaf in self.leaves:
            values = leaf.values(message)
            narrowed |= leaf.narrows and bool(values)
            own.add(leaf, values)
        found.extend(own.paths())
        check_count(len(found), "")
        for name, hop, scope in self.nested:
            for each in _messages(message, name, hop):
                scope.collect(each, own.known, found)
        return narrowed


@dataclass(slots=True)
class _Found:
    """What is found in one message."""

    known: Ancestors
    _own: Ancestors = field(default_factory=dict)
    _absolute: list[Path] = field(default_factory=list)
    _replaced: set[str] = field(default_factory=set)
    """Types that only say where a required member is: the farm and queue of a job."""

    def add(self, leaf: Leaf, values: Iterable[str]) -> None:
        for value in values:
            path = leaf.absolute(value)
            if path is not None:
                self._absolute.append(path)
                continue
            kind, key = leaf.step(value)
            ancestor = leaf.ancestor(kind, self.known)
            beneath = self.known[ancestor]
            paths = self._own.setdefault(kind, [])
            check_count(len(paths) + len(beneath), leaf.place)
            paths.extend((*each, (kind, key)) for each in beneath)
            if leaf.required and ancestor in self._own:
                self._replaced.add(ancestor)
        self.known |= self._own

    def paths(self) -> Iterable[Path]:
        kept = (paths for kind, paths in self._own.items() if kind not in self._replaced)
        return chain(self._absolute, *kept)


def ancestors_in(routes: Sequence[Path], root: Path) -> Ancestors:
    """Return the possible ancestors in the paths of a route."""
    known: Ancestors = {SERVICE: [root], ROUTE: [routes[-1]]}
    for path in routes:
        for index, (kind, _) in enumerate(path):
            known.setdefault(kind, [path[: index + 1]])
    return known


def check_count(count: int, place: str) -> None:
    """Raise INVALID_ARGUMENT for more resources than one request may name."""
    if count > MAX_RESOURCES:
        raise errors.invalid_request({place: f"must name at most {MAX_RESOURCES} resources"})


def check_length(value: str, limit: int, place: str) -> None:
    """Raise INVALID_ARGUMENT for an id that is too long."""
    if len(value) > limit:
        raise errors.invalid_request(
            {place: f"has length {len(value)}, must be at most {limit}"},
        )


def _messages(message: Message, name: str, hop: Hop) -> Iterable[Message]:
    if hop == "message":
        return (getattr(message, name),) if message.HasField(name) else ()
    held: Any = getattr(message, name)
    check_count(len(held), name)
    each: Iterable[Message] = held.values() if hop == "map" else held
    return each
