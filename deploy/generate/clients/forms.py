"""The names of tasks and parents, as the clients of all languages have them: `NameType`."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from taskgate_server.services.spec import ServiceSpec
from taskgate_server.tasks.backend import load_backend


@dataclass(frozen=True, slots=True, kw_only=True)
class NameType:
    """A type of names: the tasks, jobs or queues of an AWS service."""

    service: str
    """botocore's name of the service."""
    title: str
    """The service's name in prose."""
    collections: tuple[str, ...]
    """The literal segments: `("runs", "tasks")`."""
    is_task: bool
    is_parent: bool

    @property
    def ids(self) -> tuple[str, ...]:
        """What each id identifies, in lowerCamelCase: `("run", "task")`."""
        return tuple(singular(each) for each in self.collections)

    @property
    def kind(self) -> str:
        """What the name identifies, in lowerCamelCase: `task`."""
        return self.ids[-1]

    @property
    def type_name(self) -> str:
        """The service and the kind in UpperCamelCase: `OmicsTask`."""
        return camel(self.service) + upper_first(self.kind)

    @property
    def form(self) -> str:
        """The form: `omics/runs/{run}/tasks/{task}`."""
        pairs = zip(self.collections, self.ids, strict=True)
        return "/".join((self.service, *(f"{each}/{{{key}}}" for each, key in pairs)))

    @property
    def description(self) -> str:
        """What the name identifies, in prose: `a task of AWS HealthOmics`."""
        words = snake(self.kind).replace("_", " ")
        return f"{'an' if words[0] in 'aeiou' else 'a'} {words} of {self.title}"

    def is_within(self, other: NameType) -> bool:
        """Return whether names of this type start with those of another one."""
        count = len(other.collections)
        same = self.service == other.service and self.collections[:count] == other.collections
        return same and len(self.collections) > count


@dataclass(frozen=True, slots=True, kw_only=True)
class Contract:
    """What the clients know about the AWS services."""

    specs: Sequence[ServiceSpec]
    names: Sequence[NameType]
    roots: Sequence[str]
    """The forms of the parents that are polled with everything they contain."""

    @property
    def tasks(self) -> Sequence[NameType]:
        """The names of tasks."""
        return [each for each in self.names if each.is_task]

    @property
    def parents(self) -> Sequence[NameType]:
        """The names of parents; a name may be both."""
        return [each for each in self.names if each.is_parent]

    def parents_of(self, name: NameType) -> Sequence[NameType]:
        """Return the parents that names of a type contain, the closest first."""
        return [each for each in reversed(self.parents) if name.is_within(each)]


def read_contract(specs: Iterable[ServiceSpec]) -> Contract:
    """Return what the clients know about some services.

    Raises:
        ValueError: there is no rule for a name.
    """
    specs = list(specs)
    names = [name for spec in specs for name in _names(spec)]
    types = [each.type_name for each in names]
    for name in names:
        if types.count(name.type_name) > 1 or len(set(name.ids)) < len(name.ids):
            raise ValueError(f"{name.form} has the same type or id as another name")
    roots = [
        _name(spec, spec.parent_names[load_backend(spec).root_kind], is_task=False).form
        for spec in specs
    ]
    return Contract(specs=specs, names=names, roots=roots)


def _names(spec: ServiceSpec) -> Sequence[NameType]:
    """Return the names of a service, the shortest first."""
    tasks = {_collections(form) for form in spec.task_names}
    found = {
        _collections(form): _name(spec, form, is_task=_collections(form) in tasks)
        for form in (*spec.parent_names.values(), *spec.task_names)
    }
    return sorted(found.values(), key=lambda each: len(each.collections))


def _name(spec: ServiceSpec, form: str, *, is_task: bool) -> NameType:
    collections = _collections(form)
    return NameType(
        service=spec.name,
        title=spec.title,
        collections=collections,
        is_task=is_task,
        is_parent=collections in {_collections(each) for each in spec.parent_names.values()},
    )


def _collections(form: str) -> tuple[str, ...]:
    _, *rest = form.split("/")
    collections, ids = rest[0::2], rest[1::2]
    is_regular = len(collections) == len(ids) and all(each.startswith("{") for each in ids)
    if not is_regular or any(each.startswith("{") for each in collections):
        raise ValueError(f"{form} is not a sequence of collections and ids")
    return tuple(collections)


def singular(collection: str) -> str:
    """Return what a collection contains: `task` for `tasks`."""
    for plural, ending in (("ies", "y"), ("ches", "ch"), ("sses", "ss"), ("s", "")):
        if collection.endswith(plural):
            return collection.removesuffix(plural) + ending
    return collection


def snake(name: str) -> str:
    """Return a camelCase name in snake_case."""
    return re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()


def upper_first(name: str) -> str:
    """Return a lowerCamelCase name in UpperCamelCase."""
    return name[:1].upper() + name[1:]


def camel(name: str) -> str:
    """Return botocore's name of a service in UpperCamelCase."""
    return "".join(upper_first(part) for part in re.split("[-_]", name))
