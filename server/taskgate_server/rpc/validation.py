"""The validation of one request: the faults found so far, and how much may still be converted.

A caller chooses how many values a message of 4 MiB has and how many of them are wrong, so both are
bounded here: converting a value takes about a microsecond, and describing a fault several.
"""

from __future__ import annotations

import json
from collections.abc import Sized
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

from taskgate_server.aws.constraints import Check

Path: TypeAlias = tuple[Any, ...]
"""The path of a value: `()` for the request, else the path of its container, followed by a
field's name, an index, or `KEY` and a map's key. It is formatted only when there is a fault."""

ROOT: Final[Path] = ()
KEY: Final = object()

MAX_KEY_CHARACTERS: Final = 256
"""Of a map's key in the path of a fault."""
MAX_PATH_CHARACTERS: Final = 512


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How much of a request is validated."""

    faults: int = 50
    values: int = 75_000
    """Messages, fields, elements and entries, at any depth. An upload of 10,000 parts, which is
    the most, has 60,000; a job parameter with the longest list of lists 34,000."""
    depth: int = 30
    """Levels of structures, lists and objects inside each other. Each is at most two messages, and
    protobuf's `DiscardUnknownFields` stops at 64 of them."""


DEFAULT_LIMITS: Final = Limits()


class ValidationStoppedError(Exception):
    """A limit is reached: the rest of the request is not validated."""


@dataclass(slots=True)
class Validation:
    """The state of one request's validation."""

    limits: Limits = DEFAULT_LIMITS
    faults: dict[str, str] = field(default_factory=dict)
    """Field path to description, the first fault of each path."""
    reports_unknown_fields: bool = False
    """Whether fields that the contract lacks are faults of the message that has them."""
    _values: int = 0
    _depth: int = 0

    def add(self, path: Path, description: str) -> None:
        """Record a fault.

        Raises:
            ValidationStoppedError: there are as many as the limit allows.
        """
        self.faults.setdefault(format_path(path), description)
        if len(self.faults) >= self.limits.faults:
            raise ValidationStoppedError

    def count(self, values: int) -> None:
        """Count values before they are converted.

        Raises:
            ValidationStoppedError: the request has more than the limit allows.
        """
        self._values += values
        if self._values > self.limits.values:
            self.faults.setdefault("", f"has more than {self.limits.values} values")
            raise ValidationStoppedError

    def check(self, check: Check | None, value: Any, path: Path, what: str = "") -> bool:
        """Record the violation of a constraint, and return whether the value is valid.

        Args:
            check: None when the model allows every value.
            value: as boto3 takes it; of a container only the size is looked at.
            path: where it is.
            what: a prefix of the description: nothing or `its key `.
        """
        fault = check(value) if check is not None else None
        if fault is not None:
            self.add(path, what + fault)
        return fault is None

    def measure(self, check: Check | None, values: Sized, path: Path) -> None:
        """Count the elements of a container, before any of them is looked at.

        Raises:
            ValidationStoppedError: there are other than the model allows, or too many in all.
        """
        if not self.check(check, values, path) and len(values):
            raise ValidationStoppedError
        self.count(len(values))

    def descend(self, path: Path) -> None:
        """Enter a level; `ascend` leaves it.

        Raises:
            ValidationStoppedError: it is deeper than the limit allows.
        """
        self._depth += 1
        if self._depth > self.limits.depth:
            self.faults.setdefault(
                format_path(path), f"is nested deeper than {self.limits.depth} levels"
            )
            raise ValidationStoppedError

    def ascend(self) -> None:
        """Leave a level."""
        self._depth -= 1


def format_path(path: Path) -> str:
    """Return a path in the caller's spelling, such as `identifiers[3].task_id`.

    Long keys, and what exceeds 512 characters, are cut.
    """
    steps: list[str] = []
    while path:
        steps.append(_format_step(path))
        path = path[0]
    text = "".join(reversed(steps)).removeprefix(".")
    return _cut(text, MAX_PATH_CHARACTERS)


def _format_step(path: Path) -> str:
    if path[1] is KEY:
        return f"[{json.dumps(_cut(path[2], MAX_KEY_CHARACTERS))}]"
    if isinstance(path[1], int):
        return f"[{path[1]}]"
    return f".{_cut(path[1], MAX_KEY_CHARACTERS)}"


def _cut(text: str, characters: int) -> str:
    return text if len(text) <= characters else text[: characters - 3] + "..."
