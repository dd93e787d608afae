"""Names and the exports of the package."""

from __future__ import annotations

import pytest

import taskgate_client
from taskgate_client import (
    DeadlineJobName,
    DeadlineTaskName,
    OmicsRunName,
    OmicsTaskName,
    names,
    parse_parent_name,
    parse_task_name,
)

DEADLINE = DeadlineTaskName("farm-1", "queue-2", "job-3", "step-4", "task-5")
OMICS = OmicsTaskName("1", "2")


def test_names_are_parsed_and_formatted() -> None:
    for task in (DEADLINE, OMICS):
        assert parse_task_name(str(task)) == task
    step, job = DEADLINE.step_name, DEADLINE.job_name
    for parent in (step, job, job.queue_name, OMICS.run_name):
        assert parse_parent_name(str(parent)) == parent
        assert str(DEADLINE).startswith(f"{parent}/") or str(OMICS).startswith(f"{parent}/")
    assert job == DeadlineJobName("farm-1", "queue-2", "job-3")
    assert step.job_name == job
    assert OMICS.run_name == OmicsRunName("1")


@pytest.mark.parametrize(
    "name",
    [
        "",
        "omics",
        "omics/runs",
        "omics/runs/",
        "omics/runs/1/tasks",
        "deadline/farms/f",
        "x/runs/1",
    ],
)
def test_malformed_names_are_rejected(name: str) -> None:
    for parse in (parse_task_name, parse_parent_name):
        with pytest.raises(ValueError, match="the form is"):
            parse(name)


def test_a_task_is_not_a_parent_and_a_parent_not_a_task() -> None:
    with pytest.raises(ValueError, match="is not a parent name"):
        parse_parent_name(str(OMICS))
    with pytest.raises(ValueError, match="is not a task name"):
        parse_task_name("omics/runs/1")


def test_ids_with_slashes_are_rejected() -> None:
    with pytest.raises(ValueError, match="contains a slash"):
        str(OmicsRunName("1/tasks/2"))


@pytest.mark.parametrize("name", [*taskgate_client.__all__, *names.__all__])
def test_every_exported_name_exists(name: str) -> None:
    assert getattr(taskgate_client, name) is not None


def test_an_unknown_attribute_raises() -> None:
    with pytest.raises(AttributeError, match="unknown_name"):
        getattr(taskgate_client, "unknown_name")  # noqa: B009  # mypy rejects the attribute
