"""Names of tasks and of their parents in unified requests, as paths of the policy.

Only names of a form that an AWS service declares have a path. All checks take constant time, since
they run before it is known whether the caller may do anything.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Final

from taskgate_server import errors
from taskgate_server.auth.identifiers import SERVICE, Path
from taskgate_server.services.registry import SERVICES
from taskgate_server.services.spec import ServiceSpec

MAX_NAME_BYTES: Final = 512
"""In UTF-8. The longest name of a real task has 248."""


@dataclass(frozen=True, slots=True)
class NameForms:
    """The forms that a name in one kind of field can have."""

    texts: Mapping[str, tuple[str, ...]]
    """Of each AWS service: `omics/runs/{id}`."""

    _types: dict[tuple[str, ...], tuple[str, ...]] = field(default_factory=dict)
    """Service and collections, `("omics", "runs")`, to the types of the ids between them."""

    def __post_init__(self) -> None:
        for text in (text for texts in self.texts.values() for text in texts):
            collections = text.split("/")[1::2]
            types = tuple(type_of_collection(each) for each in collections)
            self._types[text.split("/")[0], *collections] = types

    @property
    def types(self) -> frozenset[str]:
        """The types of everything in a name."""
        return frozenset({SERVICE, *(kind for types in self._types.values() for kind in types)})

    def path(self, name: str, where: str) -> Path:
        """Return the path in a name.

        Args:
            name: as the caller sent it.
            where: the field of the request that has it.

        Raises:
            errors.TaskgateError: INVALID_ARGUMENT that shows the forms a name must have.
        """
        if is_too_long(name):
            raise errors.invalid_request({where: f"must have at most {MAX_NAME_BYTES} bytes"})
        parts = name.split("/")
        types = self._types.get((parts[0], *parts[1::2]))
        if types is None or "" in parts or len(parts) != 1 + 2 * len(types):
            forms = self.texts.get(parts[0]) or [t for texts in self.texts.values() for t in texts]
            raise errors.invalid_request({where: f"must have the form {' or '.join(forms)}"})
        return ((SERVICE, parts[0]), *zip(types, parts[2::2], strict=True))


@cache
def task_forms() -> NameForms:
    """The forms of the names of tasks."""
    return NameForms({spec.name: (spec.task_name,) for spec in SERVICES})


@cache
def parent_forms() -> NameForms:
    """The forms of the names of what has tasks: a queue, a job, a step, a run."""
    return NameForms({spec.name: tuple(_parents(spec)) for spec in SERVICES})


def is_too_long(name: str) -> bool:
    """Whether a name is longer than any name can be; takes constant time."""
    return len(name) > MAX_NAME_BYTES or (
        not name.isascii() and len(name.encode(errors="replace")) > MAX_NAME_BYTES
    )


def type_of_collection(word: str) -> str:
    """`Job` for `jobs`."""
    return word[:1].upper() + word[1:].removesuffix("s")


def _parents(spec: ServiceSpec) -> Iterator[str]:
    segments = spec.task_name.split("/")
    for kind in spec.task_parents:
        yield "/".join(segments[: segments.index(kind) + 2])
