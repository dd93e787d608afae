"""Task names, built from ids and split into them.

A name is one string, and the first thing in it is the AWS service:
`deadline/farms/{farm}/queues/{queue}/jobs/{job}/steps/{step}/tasks/{task}` or
`omics/runs/{run}/tasks/{task}`.
"""

from __future__ import annotations

from dataclasses import astuple, dataclass
from typing import ClassVar, TypeAlias


@dataclass(frozen=True, slots=True)
class DeadlineTaskName:
    """A task of an AWS Deadline Cloud render job; `str()` gives its name."""

    farm: str
    queue: str
    job: str
    step: str
    task: str

    collections: ClassVar[tuple[str, ...]] = ("farms", "queues", "jobs", "steps", "tasks")
    service: ClassVar[str] = "deadline"

    def __str__(self) -> str:
        return _join(self.service, self.collections, astuple(self))


@dataclass(frozen=True, slots=True)
class OmicsTaskName:
    """A task of an AWS HealthOmics workflow run; `str()` gives its name."""

    run: str
    task: str

    collections: ClassVar[tuple[str, ...]] = ("runs", "tasks")
    service: ClassVar[str] = "omics"

    def __str__(self) -> str:
        return _join(self.service, self.collections, astuple(self))


TaskName: TypeAlias = DeadlineTaskName | OmicsTaskName


def parse_task_name(name: str) -> TaskName:
    """The ids in a task's name.

    Raises:
        ValueError: the name has neither form, or an id is empty.
    """
    for kind in (DeadlineTaskName, OmicsTaskName):
        service, *rest = name.split("/")
        collections, ids = tuple(rest[0::2]), rest[1::2]
        if service == kind.service and collections == kind.collections:
            if len(ids) == len(collections) and all(ids):
                return kind(*ids)
            break
    forms = " or ".join(_form(kind) for kind in (DeadlineTaskName, OmicsTaskName))
    raise ValueError(f"{name!r} is no task name; it must have the form {forms}")


def _join(service: str, collections: tuple[str, ...], ids: tuple[str, ...]) -> str:
    for collection, each in zip(collections, ids, strict=True):
        if not each or "/" in each:
            raise ValueError(f"the id {each!r} under {collection} is empty or has a slash")
    pairs = zip(collections, ids, strict=True)
    return "/".join([service, *(part for pair in pairs for part in pair)])


def _form(kind: type[DeadlineTaskName] | type[OmicsTaskName]) -> str:
    ids = tuple("{" + collection.removesuffix("s") + "}" for collection in kind.collections)
    return _join(kind.service, kind.collections, ids)
