"""The resources of an AWS service, derived from its model.

An operation that gets, updates or deletes one resource has a path that ends in the resource's id.
That path identifies the resource, and its labels are the key: `/farms/{farmId}/queues/{queueId}` is
`deadline.Queue` with two ids, inside `deadline.Farm`. Other operations of a resource are found by
their names (Create…, List…s).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache

from taskgate_emulator.core.state import Key
from taskgate_server.aws.model import (
    ListShape,
    OperationModel,
    Shape,
    StructureShape,
    load_service,
    operations,
    streaming_member,
)

__all__ = ["Catalog", "Resource", "load_catalog"]

_LABEL = re.compile(r"\{(?P<name>[^}+]+)\+?\}")
_ITEM_VERBS = {
    "Get": r"Get(?P<noun>.+)",
    "Update": r"Update(?P<noun>.+)",
    "Delete": r"Delete(?P<noun>.+)",
    "Put": r"Put(?P<noun>.+)",
    "Associate": r"AssociateMemberTo(?P<noun>.+)",
    "Disassociate": r"DisassociateMemberFrom(?P<noun>.+)",
}
_OTHER_VERBS = {
    "Create": r"Create(?P<noun>.+)",
    "List": r"List(?P<noun>.+)",
    "BatchGet": r"BatchGet(?P<noun>.+)",
}


@dataclass(slots=True)
class Resource:
    """A resource type of a service."""

    service: str
    noun: str
    template: tuple[str, ...]
    """The segments of its path; every label is `{}`."""
    labels: tuple[str, ...]
    """The label names of its path, outermost first."""
    operations: dict[str, OperationModel] = field(default_factory=dict)
    """By verb: `Create`, `Get`, `List`, ..."""
    outer: tuple[Resource, ...] = ()
    """The resources that contain it, outermost first."""

    @property
    def kind(self) -> str:
        """The kind of its rows."""
        return f"{self.service}.{self.noun}"

    @property
    def scope_size(self) -> int:
        """The number of labels that name its parents; the others are its id, several for a link."""
        trailing = 0
        for segment in reversed(self.template):
            if segment != "{}":
                break
            trailing += 1
        return len(self.labels) - trailing

    def key(self, params: Mapping[str, str], labels: tuple[str, ...] | None = None) -> Key:
        """Return the key of a row from the params of a call."""
        names = labels or self.labels
        ids = [str(params[name]) for name in names]
        return (*ids[: self.scope_size], "/".join(ids[self.scope_size :]))

    @property
    def got(self) -> StructureShape | None:
        """The shape of the resource in Get's response, without its wrapper."""
        operation = self.operations.get("Get")
        output = operation.output_shape if operation else None
        wrapper = self.wrapper
        if output is None or wrapper is None:
            return output
        inner: Shape = output.members[wrapper]
        return inner if isinstance(inner, StructureShape) else None

    @property
    def wrapper(self) -> str | None:
        """The only member of Get's response, if the resource is inside it."""
        operation = self.operations.get("Get")
        output = operation.output_shape if operation else None
        if output is None or len(output.members) != 1:
            return None
        ((name, member),) = output.members.items()
        return name if isinstance(member, StructureShape) and _is(name, self.noun) else None

    @property
    def row(self) -> StructureShape | None:
        """The shape of an item in List's response."""
        operation = self.operations.get("List")
        found = rows_member(operation) if operation else None
        return found[1] if found else None


class Catalog:
    """All resources of a service.

    Args:
        service: its name in botocore.
    """

    def __init__(self, service: str) -> None:
        self.service = service
        self.resources: dict[str, Resource] = {}
        self.verbs: dict[str, tuple[str, Resource]] = {}
        """By operation: its verb and its resource."""
        models = [each for each in operations(load_service(service)) if _is_plain(each)]
        for operation in models:
            self._add_item(operation)
        for operation in models:
            self._add_other(operation)
        by_template = {resource.template: resource for resource in self.resources.values()}
        for resource in self.resources.values():
            resource.outer = tuple(_outer(resource.template, by_template))

    def _add_item(self, operation: OperationModel) -> None:
        segments = _segments(operation)
        if not _LABEL.fullmatch(segments[-1]):
            return
        for verb, noun in _matches(operation.name, _ITEM_VERBS):
            name = f"{noun}Member" if "ssociate" in verb else noun
            labels = tuple(found["name"] for each in segments if (found := _LABEL.fullmatch(each)))
            template = tuple("{}" if _LABEL.fullmatch(each) else each for each in segments)
            known = self.resources.setdefault(name, Resource(self.service, name, template, labels))
            if known.template == template:
                self._enter(operation, verb, known)

    def _add_other(self, operation: OperationModel) -> None:
        for verb, noun in _matches(operation.name, _OTHER_VERBS):
            for resource in self.resources.values():
                if noun == resource.noun or (verb == "List" and noun in _plurals(resource.noun)):
                    self._enter(operation, verb, resource)

    def _enter(self, operation: OperationModel, verb: str, resource: Resource) -> None:
        resource.operations[verb] = operation
        self.verbs[operation.name] = (verb, resource)


@cache
def load_catalog(service: str) -> Catalog:
    """Return the catalog of a service."""
    return Catalog(service)


def rows_member(operation: OperationModel) -> tuple[str, StructureShape] | None:
    """Return the name and item shape of the list of structures in a response, `errors` excepted."""
    output = operation.output_shape
    for name, shape in output.members.items() if output else ():
        if name != "errors" and isinstance(shape, ListShape):
            row: Shape = shape.member
            if isinstance(row, StructureShape):
                return name, row
    return None


def _is_plain(operation: OperationModel) -> bool:
    # `…ForQueue` and the like are views of another resource, and a stream is not a resource.
    return not re.search(r"For[A-Z]", operation.name) and not streaming_member(
        operation.output_shape
    )


def _segments(operation: OperationModel) -> list[str]:
    template: str = operation.http["requestUri"]
    return template.split("/")[1:]


def _matches(name: str, verbs: Mapping[str, str]) -> Iterable[tuple[str, str]]:
    for verb, pattern in verbs.items():
        found = re.fullmatch(pattern, name)
        if found is not None:
            yield verb, found["noun"]


def _plurals(noun: str) -> tuple[str, ...]:
    return f"{noun}s", f"{noun}es", f"{noun.removesuffix('y')}ies"


def _is(member: str, noun: str) -> bool:
    return member.lower() == noun.lower()


def _outer(
    template: tuple[str, ...], known: Mapping[tuple[str, ...], Resource]
) -> Iterable[Resource]:
    for end in range(1, len(template)):
        resource = known.get(template[:end])
        if resource is not None:
            yield resource
