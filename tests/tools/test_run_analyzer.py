"""AWS's HealthOmics tools: the run analyzer reads the manifest of a run that has ended."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable
from io import StringIO
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config

from taskgate_emulator import Emulator, ManualClock
from tests.support.omics_runs import PARAMETERS, run_to_end, start_run, tasks_of
from tests.tools.conftest import Program

pytestmark = pytest.mark.long

NAMES = ["BwaMem2-0-0", "BwaMem2-0-1", "DeepVariant", "MultiQC"]


@pytest.fixture
def omics(aws: Emulator) -> Iterable[Any]:
    client = boto3.client(
        "omics",
        endpoint_url=aws.endpoint_url,
        region_name="us-west-2",
        config=Config(inject_host_prefix=False),
    )
    yield client
    client.close()


@pytest.fixture
def run(omics: Any, clock: ManualClock) -> str:
    """A run of the demo's workflow that has ended."""
    run_id = start_run(omics, "3141592", name="analyzed")
    assert run_to_end(omics, clock, run_id)["status"] == "COMPLETED"
    return run_id


def rows(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(StringIO(text)))


def test_run_is_analyzed(healthomics_tools: Program, omics: Any, run: str) -> None:
    whole, *tasks = rows(healthomics_tools("run_analyzer", run))
    assert (whole["type"], whole["name"]) == ("run", "analyzed")
    assert float(whole["runningSeconds"]) > 180
    assert [task["name"] for task in tasks] == NAMES
    known = {task["name"]: task for task in tasks_of(omics, run)}
    for task in tasks:
        listed = known[task["name"]]
        assert task["omicsInstanceTypeReserved"] == listed["instanceType"]
        assert float(task["runningSeconds"]) == 64
        assert int(task["cpusRequested"]) == listed["cpus"]
        assert 0 < float(task["cpuUtilizationRatio"]) < 1
        assert task["omicsInstanceTypeMinimum"]
        # The emulator has no prices, and the analyzer makes none up.
        assert task["estimatedUSD"] == ""


def test_runs_are_combined(healthomics_tools: Program, run: str) -> None:
    found = rows(healthomics_tools("run_analyzer", "--batch", run))
    assert [(row["name"], row["count"]) for row in found] == [
        ("BwaMem2", "2"),
        ("DeepVariant", "1"),
        ("MultiQC", "1"),
    ]


def test_timeline_is_printed_and_drawn(
    healthomics_tools: Program, run: str, tmp_path: Path
) -> None:
    timeline = rows(healthomics_tools("run_analyzer", "--timeline", run))
    assert [float(row["running"]) for row in timeline] == [64.0] * 4
    healthomics_tools("run_analyzer", run, "--plot", "plots")
    assert f"run/{run}" in (tmp_path / "plots" / f"{run}_timeline.html").read_text()


def test_runs_of_the_demo_are_found_in_their_logs(healthomics_tools: Program, run: str) -> None:
    listed = healthomics_tools("run_analyzer", "--time", "100years")
    assert run in listed
    assert "4688213" in listed


def test_run_is_started_again_from_its_manifest(
    healthomics_tools: Program, omics: Any, run: str
) -> None:
    answer = healthomics_tools("rerun", run).partition("StartRun response:")[2]
    again = omics.get_run(id=json.loads(answer)["id"])
    assert (again["workflowId"], again["parameters"]) == ("3141592", PARAMETERS)
