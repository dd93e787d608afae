"""Names of tasks and of what has them, built from ids and split into them.

A name is one string, and the first thing in it is the AWS service. A task's is
`deadline/farms/{farm}/queues/{queue}/jobs/{job}/steps/{step}/tasks/{task}` or
`omics/runs/{run}/tasks/{task}`; a parent's is the same, cut after a queue, a job, a step or a run.
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
        """The queue that the job is in."""
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
        """The job that the step is a part of."""
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
        """The step that the task is a part of."""
        return DeadlineStepName(self.farm, self.queue, self.job, self.step)

    @property
    def job_name(self) -> DeadlineJobName:
        """The job that the task is a part of."""
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
        """The run that the task is a part of."""
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
    """The ids in a task's name.

    Raises:
        ValueError: the name has neither form, or an id is empty.
    """
    return _parse(name, TASK_NAMES, "task name")


def parse_parent_name(name: str) -> ParentName:
    """The ids in the name of a queue, a job, a step or a run.

    Raises:
        ValueError: the name has none of the forms, or an id is empty.
    """
    return _parse(name, PARENT_NAMES, "name of a parent")


def _parse(name: str, kinds: Sequence[type[_Name]], what: str) -> _Name:
    service, *rest = name.split("/")
    collections, ids = tuple(rest[0::2]), rest[1::2]
    for kind in kinds:
        same_form = service == kind.service and collections == kind.collections
        if same_form and len(ids) == len(collections) and all(ids):
            return kind(*ids)
    forms = " or ".join(_form(kind) for kind in kinds)
    raise ValueError(f"{name!r} is no {what}; it must have the form {forms}")


def _join(service: str, collections: tuple[str, ...], ids: tuple[str, ...]) -> str:
    for collection, each in zip(collections, ids, strict=True):
        if not each or "/" in each:
            raise ValueError(f"the id {each!r} under {collection} is empty or has a slash")
    pairs = zip(collections, ids, strict=True)
    return "/".join([service, *(part for pair in pairs for part in pair)])


def _form(kind: type[_Name]) -> str:
    ids = tuple("{" + collection.removesuffix("s") + "}" for collection in kind.collections)
    return _join(kind.service, kind.collections, ids)
