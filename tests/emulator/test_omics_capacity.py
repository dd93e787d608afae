"""HealthOmics' capacity limits, through boto3."""

from __future__ import annotations

from typing import Any

import pytest

from taskgate_emulator import ManualClock
from tests.support.omics_runs import MANY, make_workflow, names, run_to_end, start_run, tasks_of


@pytest.fixture
def workflow(omics: Any, clock: ManualClock) -> str:
    return make_workflow(omics, clock)


def test_no_more_than_25_tasks_of_a_run_have_capacity(
    omics: Any, clock: ManualClock, workflow: str
) -> None:
    run = start_run(omics, workflow, parameters=MANY)
    clock.advance(15)
    assert len(names(omics, run, "PENDING")) == 5
    maximum = 0
    for _ in range(60):
        counts = [task["status"] for task in tasks_of(omics, run)]
        maximum = max(
            maximum, sum(status in {"STARTING", "RUNNING", "STOPPING"} for status in counts)
        )
        clock.advance(3)
    assert maximum == 25
    assert run_to_end(omics, clock, run)["status"] == "COMPLETED"
    assert len(names(omics, run, "COMPLETED")) == 31


def test_no_more_than_10_runs_with_static_storage_have_capacity(
    omics: Any, clock: ManualClock, workflow: str
) -> None:
    runs = [start_run(omics, workflow) for _ in range(11)]
    later = start_run(omics, workflow, priority=100)
    urgent = start_run(omics, workflow, priority=1)
    dynamic = start_run(omics, workflow, storageType="DYNAMIC")
    clock.advance(20)
    # The urgent one was not there yet when capacity was given; next time it is the first.
    active = [run for run in runs if omics.get_run(id=run)["status"] != "PENDING"]
    assert len(active) == 10
    assert omics.get_run(id=dynamic)["status"] == "RUNNING"
    started: list[str] = []
    for number in range(3):
        omics.cancel_run(id=active[number])
        clock.advance(4)
        waiting = {*runs, later, urgent} - {*active, *started}
        started += [run for run in waiting if omics.get_run(id=run)["status"] != "PENDING"]
    assert started == [urgent, later, *(run for run in runs if run not in active)]


def test_run_group_limits_runs_and_cpus(omics: Any, clock: ManualClock, workflow: str) -> None:
    group = omics.create_run_group(name="g", maxRuns=1, maxCpus=5)["id"]
    first, second = (start_run(omics, workflow, runGroupId=group) for _ in range(2))
    clock.advance(20)
    assert [omics.get_run(id=run)["status"] for run in (first, second)] == ["RUNNING", "PENDING"]
    # Of two tasks with four CPUs each the group lets one run.
    assert (len(names(omics, first, "RUNNING")), len(names(omics, first, "PENDING"))) == (1, 1)
    assert [row["id"] for row in omics.list_runs(runGroupId=group)["items"]] == [first, second]
    assert run_to_end(omics, clock, first)["status"] == "COMPLETED"
    assert run_to_end(omics, clock, second)["status"] == "COMPLETED"


def test_tasks_of_the_run_with_the_higher_priority_go_first(
    omics: Any, clock: ManualClock, workflow: str
) -> None:
    group = omics.create_run_group(name="g", maxCpus=5)["id"]
    late = start_run(omics, workflow, runGroupId=group)
    clock.advance(20)
    low, high = (start_run(omics, workflow, runGroupId=group, priority=p) for p in (2, 1))
    while not names(omics, late, "COMPLETED"):
        clock.advance(2)
    # The group has four of five CPUs to give.
    assert [len(names(omics, run, "STARTING")) for run in (late, low, high)] == [0, 0, 1]


def test_run_group_times_out_runs(omics: Any, clock: ManualClock, workflow: str) -> None:
    group = omics.create_run_group(name="g", maxDuration=1)["id"]
    run = run_to_end(omics, clock, start_run(omics, workflow, runGroupId=group))
    assert (run["status"], run["failureReason"]) == ("FAILED", "RUN_TIMED_OUT")
    assert 60 <= (run["stopTime"] - run["startTime"]).total_seconds() <= 65
