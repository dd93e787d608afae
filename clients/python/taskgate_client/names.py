"""Typed names of tasks and of their parents.

A name is a string that starts with the AWS service. The name of a task is
`deadline/farms/{farm}/queues/{queue}/jobs/{job}/steps/{step}/tasks/{task}` or
`omics/runs/{run}/tasks/{task}`; the name of a parent is a prefix that ends with a queue, job, step
or run.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import astuple, dataclass
from typing import ClassVar, TypeAlias, TypeVar


@dataclass(frozen=True, slots=True)
class DeadlineQueueName:
    """A queue of an AWS Deadline Cloud farm; `str()` gives its name."""

    farm: str
    queue: str

    collections: ClassVar[tuple[str, ...]] = ("farms", "queues")
    service: ClassVar[str] = "deadline"

    def __str__(self) -> str:
        return _join(self.service, self.collections, astuple(self))


@dataclass(frozen=True, slots=True)
class DeadlineJobName:
    """A render job; `str()` gives its name."""

    farm: str
    queue: str
    job: str

    collections: ClassVar[tuple[str, ...]] = (*DeadlineQueueName.collections, "jobs")
    service: ClassVar[str] = "deadline"

    def __str__(self) -> str:
        return _join(self.service, self.collections, astuple(self))

    @property
    def queue_name(self) -> DeadlineQueueName:
        """The queue of the job."""
        return DeadlineQueueName(self.farm, self.queue)


@dataclass(frozen=True, slots=True)
class DeadlineStepName:
    """A step of a render job; `str()` gives its name."""

    farm: str
    queue: str
    job: str
    step: str

    collections: ClassVar[tuple[str, ...]] = (*DeadlineJobName.collections, "steps")
    service: ClassVar[str] = "deadline"

    def __str__(self) -> str:
        return _join(self.service, self.collections, astuple(self))

    @property
    def job_name(self) -> DeadlineJobName:
        """The job of the step."""
        return DeadlineJobName(self.farm, self.queue, self.job)


@dataclass(frozen=True, slots=True)
class DeadlineTaskName:
    """A task of an AWS Deadline Cloud render job; `str()` gives its name."""

    farm: str
    queue: str
    job: str
    step: str
    task: str

    collections: ClassVar[tuple[str, ...]] = (*DeadlineStepName.collections, "tasks")
    service: ClassVar[str] = "deadline"

    def __str__(self) -> str:
        return _join(self.service, self.collections, astuple(self))

    @property
    def step_name(self) -> DeadlineStepName:
        """The step of the task."""
        return DeadlineStepName(self.farm, self.queue, self.job, self.step)

    @property
    def job_name(self) -> DeadlineJobName:
        """The job of the task."""
        return self.step_name.job_name


@dataclass(frozen=True, slots=True)
class OmicsRunName:
    """An AWS HealthOmics workflow run; `str()` gives its name."""

    run: str

    collections: ClassVar[tuple[str, ...]] = ("runs",)
    service: ClassVar[str] = "omics"

    def __str__(self) -> str:
        return _join(self.service, self.collections, astuple(self))


@dataclass(frozen=True, slots=True)
class OmicsTaskName:
    """A task of an AWS HealthOmics workflow run; `str()` gives its name."""

    run: str
    task: str

    collections: ClassVar[tuple[str, ...]] = (*OmicsRunName.collections, "tasks")
    service: ClassVar[str] = "omics"

    def __str__(self) -> str:
        return _join(self.service, self.collections, astuple(self))

    @property
    def run_name(self) -> OmicsRunName:
        """The run of the task."""
        return OmicsRunName(self.run)


TaskName: TypeAlias = DeadlineTaskName | OmicsTaskName
ParentName: TypeAlias = DeadlineQueueName | DeadlineJobName | DeadlineStepName | OmicsRunName
_Name = TypeVar("_Name", bound=TaskName | ParentName)

TASK_NAMES: tuple[type[TaskName], ...] = (DeadlineTaskName, OmicsTaskName)
PARENT_NAMES: tuple[type[ParentName], ...] = (
    DeadlineStepName,
    DeadlineJobName,
    DeadlineQueueName,
    OmicsRunName,
)


def parse_task_name(name: str) -> TaskName:
    """Parse the name of a task.

    Raises:
        ValueError: the name has neither form, or an id is empty.
    """
    return _parse(name, TASK_NAMES, "task name")


def parse_parent_name(name: str) -> ParentName:
    """Parse the name of a queue, job, step or run.

    Raises:
        ValueError: the name has none of the forms, or an id is empty.
    """
    return _parse(name, PARENT_NAMES, "parent name")


def _parse(name: str, kinds: Sequence[type[_Name]], description: str) -> _Name:
    service, *rest = name.split("/")
    collections, ids = tuple(rest[0::2]), rest[1::2]
    for kind in kinds:
        matches = service == kind.service and collections == kind.collections
        if matches and len(ids) == len(collections) and all(ids):
            return kind(*ids)
    forms = " or ".join(_form(kind) for kind in kinds)
    raise ValueError(f"{name!r} is not a {description}; the form is {forms}")


def _join(service: str, collections: tuple[str, ...], ids: tuple[str, ...]) -> str:
    for collection, each in zip(collections, ids, strict=True):
        if not each or "/" in each:
            raise ValueError(f"the id {each!r} in {collection} is empty or contains a slash")
    pairs = zip(collections, ids, strict=True)
    return "/".join([service, *(part for pair in pairs for part in pair)])


def _form(kind: type[_Name]) -> str:
    ids = tuple("{" + collection.removesuffix("s") + "}" for collection in kind.collections)
    return _join(kind.service, kind.collections, ids)
