"""Describes how the constraints of a value differ between two models: tightened or relaxed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

Json: TypeAlias = Mapping[str, Any]


def constraint_change(old: Json, new: Json) -> str:
    """Return the change of minimum, maximum and pattern; empty if there is none."""
    if old.get("enum") or new.get("enum"):
        return ""  # the words are the constraint
    changes = [
        *_bound("min", old, new, rises_tighten=True),
        *_bound("max", old, new, rises_tighten=False),
        *_pattern(old.get("pattern"), new.get("pattern")),
    ]
    return ", ".join(changes)


def _bound(key: str, old: Json, new: Json, *, rises_tighten: bool) -> list[str]:
    before, after = _limit(key, old), _limit(key, new)
    if before == after:
        return []
    if before is None or after is None:
        is_tighter = before is None
    else:
        is_tighter = (after > before) == rises_tighten
    return [f"{key} {_text(before)} -> {_text(after)} ({_effect(is_tighter)})"]


def _limit(key: str, shape: Json) -> Any:
    """Return a bound; None for a minimal length or size of 0, which every value has."""
    limit = shape.get(key)
    is_number = shape.get("type") in ("integer", "long", "float", "double")
    return None if key == "min" and limit == 0 and not is_number else limit


def _pattern(before: str | None, after: str | None) -> list[str]:
    if before == after:
        return []
    effect = _effect(before is None) if before is None or after is None else "changed"
    return [f"pattern {_text(before)} -> {_text(after)} ({effect})"]


def _effect(is_tighter: bool) -> str:  # noqa: FBT001  # the only argument
    return "tightened" if is_tighter else "relaxed"


def _text(value: object) -> str:
    return "none" if value is None else str(value)
