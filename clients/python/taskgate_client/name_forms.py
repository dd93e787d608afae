"""Parsing and formatting of names, by their forms: `omics/runs/{run}/tasks/{task}`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import astuple, dataclass, fields
from typing import ClassVar, TypeVar


@dataclass(frozen=True, slots=True)
class Name:
    """The name of a task, or of a parent of tasks; `str()` formats it."""

    form: ClassVar[str]
    """Literal segments, and ids in braces."""

    @property
    def ids(self) -> tuple[str, ...]:
        """The ids, in order."""
        return astuple(self)

    def __str__(self) -> str:
        for field, each in zip(fields(self), self.ids, strict=True):
            if not each or "/" in each:
                raise ValueError(
                    f"the id {each!r} of the {field.name} is empty or contains a slash"
                )
        ids = iter(self.ids)
        return "/".join(
            next(ids) if is_id(segment) else segment for segment in self.form.split("/")
        )


_Name = TypeVar("_Name", bound=Name)


def parse(name: str, kinds: Sequence[type[_Name]], description: str) -> _Name:
    """Parse a name that has one of several forms.

    Args:
        name: the text.
        kinds: the types of the forms.
        description: of these types, for the error.

    Raises:
        ValueError: the name has none of the forms, or an id is empty.
    """
    for kind in kinds:
        ids = match(kind.form.split("/"), name.split("/"))
        if ids is not None:
            return kind(*ids)
    forms = " or ".join(kind.form for kind in kinds)
    raise ValueError(f"{name!r} is not a {description}; the form is {forms}")


def match(form: Sequence[str], name: Sequence[str]) -> list[str] | None:
    """Return the ids in the segments of a name; None if it does not have the form."""
    if len(form) != len(name):
        return None
    pairs = list(zip(form, name, strict=True))
    if any(not each if is_id(segment) else each != segment for segment, each in pairs):
        return None
    return [each for segment, each in pairs if is_id(segment)]


def is_id(segment: str) -> bool:
    """Return whether a segment of a form stands for an id."""
    return segment.startswith("{")
