"""Names and the exports of the package."""

from __future__ import annotations

import pytest

import taskgate_client
from taskgate_client import (
    DeadlineJobName,
    DeadlineTaskName,
    OmicsRunName,
    OmicsTaskName,
    parse_parent_name,
    parse_task_name,
)

DEADLINE = DeadlineTaskName("farm-1", "queue-2", "job-3", "step-4", "task-5")
OMICS = OmicsTaskName("1", "2")


def test_round_trips() -> None:
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
def test_what_is_no_name(name: str) -> None:
    for parse in (parse_task_name, parse_parent_name):
        with pytest.raises(ValueError, match="must have the form"):
            parse(name)


def test_a_task_is_no_parent_and_a_parent_no_task() -> None:
    with pytest.raises(ValueError, match="is no name of a parent"):
        parse_parent_name(str(OMICS))
    with pytest.raises(ValueError, match="is no task name"):
        parse_task_name("omics/runs/1")


def test_ids_with_slashes_make_no_names() -> None:
    with pytest.raises(ValueError, match="has a slash"):
        str(OmicsRunName("1/tasks/2"))


@pytest.mark.parametrize("name", taskgate_client.__all__)
def test_every_export_is_there(name: str) -> None:
    assert getattr(taskgate_client, name) is not None


def test_what_is_not_exported() -> None:
    with pytest.raises(AttributeError, match="nothing_of_the_kind"):
        getattr(taskgate_client, "nothing_of_the_kind")  # noqa: B009  # mypy knows it is not there
