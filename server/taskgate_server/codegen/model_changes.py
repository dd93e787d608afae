"""Compares two versions of an AWS service's model in what callers and operators can notice.

Names, types and numbers are compared in `update`, from the locks. Everything else is here: routes,
errors, required members, constraints, and every trait that the model may have. Shapes are compared
along the members that refer to them, since their names may differ.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

Json: TypeAlias = Mapping[str, Any]

SECTIONS: Final = (
    "service",
    "routes",
    "errors",
    "required",
    "constraints",
    "types",
    "idempotency tokens",
    "sensitive",
    "streaming",
    "locations",
    "pagination",
    "deprecated",
    "other",
)

MAX_PLACES: Final = 4
"""Of one change that has many."""

_DOCUMENTATION = frozenset({"documentation", "documentationUrl", "deprecatedMessage"})
_OPERATION = frozenset({"name", "http", "input", "output", "errors", "endpoint", "deprecated"})
_STRUCTURAL = frozenset(
    {"type", "shape", "members", "member", "key", "value", "required", "enum", "union", "document"}
)
_CONSTRAINTS = frozenset({"min", "max", "pattern"})
_FLAGS: Mapping[str, tuple[str, str]] = {
    "sensitive": ("sensitive", "sensitive"),
    "idempotencyToken": ("idempotency tokens", "idempotency token"),
    "streaming": ("streaming", "stream of bytes"),
    "requiresLength": ("streaming", "length required"),
    "eventstream": ("streaming", "event stream"),
    "payload": ("streaming", "payload"),
    "location": ("locations", "location"),
    "locationName": ("locations", "name in HTTP"),
    "deprecated": ("deprecated", "deprecated"),
}
"""Trait -> its section and description."""
_NEWS = ("sensitive", "idempotencyToken", "streaming", "requiresLength", "deprecated")
"""Traits of new members that are worth a line."""
_NUMBERS = (frozenset({"integer", "long"}), frozenset({"float", "double"}))
"""Types of shapes that the same field may have."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AwsModel:
    """A service's model and pagination data as botocore stores them."""

    description: Json
    pagination: Json = field(default_factory=dict)


def model_changes(before: AwsModel, after: AwsModel) -> dict[str, list[str]]:
    """Return the differences by section, each with a sign: + new, - removed, ~ changed."""
    comparison = _Comparison(before, after)
    comparison.compare()
    return comparison.lines()


def documentation_changes(before: AwsModel, after: AwsModel) -> dict[str, int]:
    """Return how many operations, shapes and members have only another text."""
    counts = {}
    for kind in ("operations", "shapes"):
        olds, news = before.description.get(kind, {}), after.description.get(kind, {})
        both = [(olds[name], news[name]) for name in olds.keys() & news.keys()]
        counts[kind] = sum(_has_other_text(old, new) for old, new in both)
        if kind == "shapes":
            members = (
                (old["members"][name], new["members"][name])
                for old, new in both
                for name in old.get("members", {}).keys() & new.get("members", {}).keys()
            )
            counts["members"] = sum(_has_other_text(old, new) for old, new in members)
    return counts


def _has_other_text(old: Json, new: Json) -> bool:
    return any(old.get(key) != new.get(key) for key in _DOCUMENTATION)


class _Comparison:
    def __init__(self, before: AwsModel, after: AwsModel) -> None:
        self._before, self._after = before, after
        self._places: dict[tuple[str, str], list[str]] = {}  # section, change -> where
        self._visited: set[tuple[str, str, bool]] = set()
        self._unvalidated = 0

    def compare(self) -> None:
        old, new = self._before.description, self._after.description
        self._traits("service", "metadata", old.get("metadata", {}), new.get("metadata", {}))
        for name in sorted(old["operations"].keys() & new["operations"].keys()):
            self._operation(name, old["operations"][name], new["operations"][name])
        for name in sorted(old["shapes"].keys() & new["shapes"].keys()):
            one, other = old["shapes"][name], new["shapes"][name]
            if one.get("exception") or other.get("exception"):
                self._traits("errors", name, one.get("error", {}), other.get("error", {}))
                self._traits("errors", name, _without(one, "error"), _without(other, "error"))
                self._error_members(name, one.get("members", {}), other.get("members", {}))
        self._pages()

    def lines(self) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {section: [] for section in SECTIONS}
        for (section, change), places in self._places.items():
            shown = ", ".join(places[:MAX_PLACES])
            more = f" and {len(places) - MAX_PLACES} more" if len(places) > MAX_PLACES else ""
            sign, _, text = change.partition(" ")
            found[section].append(f"{sign} {shown}{more}{': ' if text else ''}{text}")
        if self._unvalidated:
            found["constraints"].append(
                f"~ {self._unvalidated} in responses, which are not validated"
            )
        return {section: lines for section, lines in found.items() if lines}

    def _add(self, section: str, place: str, change: str) -> None:
        places = self._places.setdefault((section, change), [])
        if place not in places:
            places.append(place)

    def _traits(self, section: str, place: str, old: Json, new: Json) -> None:
        for key in sorted(old.keys() | new.keys()):
            if key in _DOCUMENTATION or key in _STRUCTURAL or old.get(key) == new.get(key):
                continue
            self._add(section, place, f"~ {key} {_text(old.get(key))} -> {_text(new.get(key))}")

    def _operation(self, name: str, old: Json, new: Json) -> None:
        routes = [f"{each['http']['method']} {each['http']['requestUri']}" for each in (old, new)]
        if routes[0] != routes[1]:
            self._add("routes", name, f"~ {routes[0]} -> {routes[1]}")
        known = ("method", "requestUri")
        self._traits("routes", name, _without(old["http"], *known), _without(new["http"], *known))
        self._traits("routes", name, old.get("endpoint", {}), new.get("endpoint", {}))
        errors = [{each["shape"] for each in op.get("errors", ())} for op in (old, new)]
        for sign, names in (("+", errors[1] - errors[0]), ("-", errors[0] - errors[1])):
            for error in sorted(names):
                self._add("errors", name, f"{sign} {error}")
        self._flag("deprecated", name, old, new)
        self._traits("other", name, _without(old, *_OPERATION), _without(new, *_OPERATION))
        for key in ("input", "output"):
            one, other = old.get(key), new.get(key)
            if one is not None and other is not None:
                self._follow(one, other, f"{name}{key.capitalize()}", in_request=key == "input")
            elif one is not other:
                sign = "+" if one is None else "-"
                self._add("other", name, f"{sign} {'request' if key == 'input' else 'response'}")

    def _error_members(self, name: str, old: Json, new: Json) -> None:
        for sign, members in (("+", new.keys() - old.keys()), ("-", old.keys() - new.keys())):
            for member in sorted(members):
                self._add("errors", f"{name}.{member}", sign)

    # --- along members --------------------------------------------------------------------------

    def _follow(self, old: Json, new: Json, place: str, *, in_request: bool) -> None:
        """Compare two references to shapes, and what is inside them."""
        one, other = self._resolve(self._before, old), self._resolve(self._after, new)
        if one["type"] != other["type"]:
            if {one["type"], other["type"]} not in _NUMBERS:
                return  # a new field: reported from the locks
            self._add("types", place, f"~ {one['type']} -> {other['type']}")
        self._values(one, other, place, in_request=in_request)
        pair = (old["shape"], new["shape"], in_request)
        if one["type"] == "structure":
            if pair not in self._visited:
                self._visited.add(pair)
                self._members(new["shape"], one, other, in_request=in_request)
            return
        for part, suffix in (("member", "[]"), ("key", "{key}"), ("value", "{}")):
            if part in one and part in other and len(place) < _MAX_PLACE:
                self._follow(one[part], other[part], place + suffix, in_request=in_request)

    @staticmethod
    def _resolve(model: AwsModel, reference: Json) -> dict[str, Any]:
        return {**model.description["shapes"][reference["shape"]], **reference}

    def _members(self, owner: str, old: Json, new: Json, *, in_request: bool) -> None:
        for name in (*old["members"], *new["members"]):
            place = f"{owner}.{name}"
            if in_request:
                self._required(place, name, old, new)
            if name in old["members"] and name in new["members"]:
                one, other = old["members"][name], new["members"][name]
                self._follow(one, other, place, in_request=in_request)
            elif name in new["members"]:
                for trait in _NEWS:
                    self._flag(trait, place, {}, self._resolve(self._after, new["members"][name]))

    def _required(self, place: str, name: str, old: Json, new: Json) -> None:
        was, is_now = (name in each.get("required", ()) for each in (old, new))
        if was == is_now:
            return
        is_new = name not in old["members"]
        if is_now:
            self._add("required", place, "+ new member" if is_new else "+")
        elif name in new["members"]:
            self._add("required", place, "-")

    def _values(self, old: Json, new: Json, place: str, *, in_request: bool) -> None:
        change = _constraint_change(old, new)
        if change and in_request:
            self._add("constraints", place, f"~ {change}")
        elif change:
            self._unvalidated += 1
        for trait in _FLAGS:
            self._flag(trait, place, old, new)
        handled = (*_CONSTRAINTS, *_FLAGS)
        self._traits("other", place, _without(old, *handled), _without(new, *handled))

    def _flag(self, trait: str, place: str, old: Json, new: Json) -> None:
        section, noun = _FLAGS[trait]
        one, other = old.get(trait), new.get(trait)
        if bool(one) != bool(other):
            value = other or one
            detail = "" if value is True else f" {_text(value)}"
            self._add(section, place, f"{'+' if other else '-'} {noun}{detail}")
        elif one != other and one:
            self._add(section, place, f"~ {noun} {_text(one)} -> {_text(other)}")

    def _pages(self) -> None:
        old, new = self._before.pagination, self._after.pagination
        for name in sorted(old.keys() | new.keys()):
            if name not in old or name not in new:
                self._add("pagination", name, "+" if name in new else "-")
            else:
                self._traits("pagination", name, old[name], new[name])


_MAX_PLACE = 200
"""Characters of a place; a list may hold itself."""


def _without(mapping: Json, *keys: str) -> dict[str, Any]:
    return {key: value for key, value in mapping.items() if key not in keys}


def _text(value: object) -> str:
    return "none" if value is None else str(value)


def _constraint_change(old: Json, new: Json) -> str:
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


def flatten(changes: Mapping[str, list[str]]) -> Iterator[str]:
    """Yield the lines of sections, those of a section below its name."""
    for section, lines in changes.items():
        if lines:
            yield f"  {section}:"
            yield from (f"    {line}" for line in lines)
