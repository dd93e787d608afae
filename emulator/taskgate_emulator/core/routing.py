"""Finds the operation of a request by its method and path.

The URI templates of all operations form one tree of path segments. A literal segment takes
precedence over a label and a label over a greedy label, so registration order does not matter. Less
specific branches are tried as well, since a literal branch may lack the method.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from urllib.parse import unquote

from taskgate_emulator.core.errors import UnknownOperationError, unparsable
from taskgate_server.aws.model import OperationModel

__all__ = ["Route", "Router"]

_LABEL = re.compile(r"\{(?P<name>[^}+]+)(?P<greedy>\+?)\}")


@dataclass(frozen=True, slots=True)
class Route:
    """An operation and the values of its path labels."""

    operation: OperationModel
    labels: dict[str, str]


@dataclass(frozen=True, slots=True)
class _Endpoint:
    operation: OperationModel
    label_names: tuple[str, ...]


@dataclass(slots=True)
class _Node:
    """A node of the tree: its children, and the operations that end here, by method."""

    literals: dict[str, _Node] = field(default_factory=dict)
    label: _Node | None = None
    greedy: _Node | None = None
    endpoints: dict[str, _Endpoint] = field(default_factory=dict)


class Router:
    """The paths of some operations; one router serves several services on one port.

    Raises:
        ValueError: two operations have the same path and method, or a template has an unknown form.
    """

    def __init__(self, operations: Iterable[OperationModel]) -> None:
        self._root = _Node()
        for operation in operations:
            self._add(operation)

    def find(self, method: str, raw_path: str) -> Route:
        """Return the operation of a request.

        Args:
            method: in upper case.
            raw_path: percent-encoded, without the query.

        Raises:
            UnknownOperationError: no operation has the path, or none with this method.
        """
        # Split before decoding, because an encoded slash belongs to its segment.
        segments = [_decoded(segment) for segment in raw_path.split("/")[1:]]
        allowed: set[str] = set()
        for node, values in _walk(self._root, segments, 0, ()):
            endpoint = node.endpoints.get(method)
            if endpoint is not None:
                return Route(
                    endpoint.operation, dict(zip(endpoint.label_names, values, strict=True))
                )
            allowed.update(node.endpoints)
        raise UnknownOperationError(method, raw_path, allowed)

    def _add(self, operation: OperationModel) -> None:
        method, template = operation.http["method"], operation.http["requestUri"]
        node = self._root
        names: list[str] = []
        for segment in template.split("/")[1:]:
            label = _LABEL.fullmatch(segment)
            if label is None:
                if set("{}?") & set(segment):
                    raise ValueError(f"{operation.name}: cannot route {template}")
                node = node.literals.setdefault(segment, _Node())
            elif label["greedy"]:
                node.greedy = node = node.greedy or _Node()
            else:
                node.label = node = node.label or _Node()
            if label is not None:
                names.append(label["name"])
        if method in node.endpoints:
            other = node.endpoints[method].operation.name
            raise ValueError(f"{operation.name} and {other} have one path: {method} {template}")
        node.endpoints[method] = _Endpoint(operation, tuple(names))


def _walk(
    node: _Node, segments: list[str], position: int, values: tuple[str, ...]
) -> Iterator[tuple[_Node, tuple[str, ...]]]:
    """Yield every node that matches the whole path, the most specific first."""
    if position == len(segments):
        if node.endpoints:
            yield node, values
        return
    segment = segments[position]
    literal = node.literals.get(segment)
    if literal is not None:
        yield from _walk(literal, segments, position + 1, values)
    # An empty segment matches no label. boto3 sends an empty task id as `GET .../tasks/`; to treat
    # that as ListTasks would hide the caller's mistake.
    if node.label is not None and segment:
        yield from _walk(node.label, segments, position + 1, (*values, segment))
    if node.greedy is not None and segment:
        for end in range(len(segments), position, -1):
            taken = "/".join(segments[position:end])
            yield from _walk(node.greedy, segments, end, (*values, taken))


def _decoded(segment: str) -> str:
    try:
        return unquote(segment, errors="strict")
    except UnicodeDecodeError as error:
        raise unparsable("The path is not UTF-8") from error
